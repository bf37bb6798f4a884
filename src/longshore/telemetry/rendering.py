"""Log entries as bytes: JSON, key=value text, or logstash's JSON.

Everything a client can choose (paths, user names, user agents) reaches the log through here, and
no character of it can end a line or forge a field.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, Literal

import orjson

Formatter = Literal["text", "json", "logstash"]

Render = Callable[[float, str, str, dict[str, Any]], bytes]
"""POSIX seconds, level, message and fields to one line that ends with a line feed."""

#: What stands in ``key=value`` without quotes (logrus prints the same set bare).
_BARE: Final = re.compile(r"[A-Za-z0-9\-._/@^+:,]+")
_LONGEST: Final = 1024
_REMEMBERED: Final = 128


def renderer(formatter: Formatter, added: Mapping[str, Any]) -> Render:
    """How entries look; ``added`` fields (``log.fields``) are on every one of them."""
    if formatter == "text":
        return _text(added)
    if formatter == "logstash":
        return _json(added, "@timestamp", "message", {"@version": "1"})
    return _json(added, "time", "msg", {})


def _json(
    added: Mapping[str, Any], time_key: str, message_key: str, fixed: Mapping[str, Any]
) -> Render:
    tail = _dump({**fixed, **added})[1:-1]
    end = (b"," + tail if tail else b"") + b"}\n"

    def render(seconds: float, level: str, message: str, fields: dict[str, Any]) -> bytes:
        entry = {time_key: _moment(seconds), "level": level, message_key: message, **fields}
        return _dump(entry)[:-1] + end

    return render


def _dump(entry: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(entry, default=str)
    except TypeError:
        # Text from outside may hold what is no Unicode; json writes such halves as escapes.
        return json.dumps(entry, default=str).encode("ascii")


def _text(added: Mapping[str, Any]) -> Render:
    end = "".join(f" {name}={_value(value)}" for name, value in added.items()) + "\n"

    def render(seconds: float, level: str, message: str, fields: dict[str, Any]) -> bytes:
        pairs = "".join([f" {name}={_value(value)}" for name, value in fields.items()])
        line = f"time={_moment(seconds)} level={level} msg={_value(message)}{pairs}{end}"
        return line.encode("ascii")

    return render


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _quoted(value) if len(value) > _REMEMBERED else _remembered(value)
    if isinstance(value, int | float):
        return str(value)
    return _quoted(str(value))


def _quoted(text: str) -> str:
    return text if _BARE.fullmatch(text) else json.dumps(text)


#: Routes, repositories, users and agents come again and again.
_remembered = lru_cache(maxsize=4096)(_quoted)


_second: tuple[int, str] = (0, "1970-01-01T00:00:00")


def _moment(seconds: float) -> str:
    """RFC 3339 in UTC with milliseconds. The text of a second is made once."""
    global _second
    whole = int(seconds)
    if _second[0] != whole:
        _second = (whole, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)))
    return f"{_second[1]}.{int((seconds - whole) * 1000):03d}Z"


def shorten(text: str) -> str:
    """At most 1024 characters: a log line is no place for a novel."""
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
