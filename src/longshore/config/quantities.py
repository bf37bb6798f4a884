"""Durations and sizes as a person writes them in config.yml.

Durations follow Go's ``time.ParseDuration``, as distribution's configuration does: ``30s``,
``168h``, ``1h30m``, ``100ms``. In code they are seconds (``float``). Sizes are bytes (``int``),
written as a number or with a unit: ``4MiB``, ``10MB``.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_NANOSECONDS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
#: Go's time.Duration is an int64 of nanoseconds.
_LONGEST: Final = 2**63 - 1

_BYTES: Final = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SIZE = re.compile(r"(\d+)\s*([a-z]*)", re.IGNORECASE | re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds. Raises ValueError for anything but a non-negative duration with units."""
    stripped = text.strip()
    if stripped == "0":
        return 0.0
    parts = _PART.findall(stripped)
    if not parts or "".join(number + unit for number, unit in parts) != stripped:
        raise ValueError(_not_a_duration(stripped))
    total = sum((Decimal(number) * _NANOSECONDS[unit] for number, unit in parts), Decimal())
    if total > _LONGEST:
        raise ValueError(f"{text!r} is longer than 292 years")
    return int(total) / 1e9


def _not_a_duration(text: str) -> str:
    if re.fullmatch(r"[0-9.]+", text):
        # distribution reads such a number as nanoseconds, which nobody means.
        return f"{text!r} has no unit; write {text}s for seconds, {text}m for minutes"
    if text.startswith("-"):
        return f"{text!r} is negative; a duration starts at 0s"
    return f"{text!r} is not a duration; write a number and a unit, such as 100ms, 30s, 168h, 1h30m"


def format_duration(seconds: float) -> str:
    """The shortest form that :func:`parse_duration` reads back as the same number of nanoseconds.

    >>> format_duration(5400)
    '1h30m'
    """
    rest = round(Decimal(seconds).scaleb(9))  # in floats the last nanoseconds would be lost
    if rest == 0:
        return "0s"
    written = ""
    for unit in ("h", "m", "s", "ms", "us", "ns"):
        count, rest = divmod(rest, _NANOSECONDS[unit])
        written += f"{count}{unit}" if count else ""
    return written


def parse_size(text: str) -> int:
    """Bytes. ``MB`` is a million, ``MiB`` is 2**20. Raises ValueError."""
    match = _SIZE.fullmatch(text.strip())
    factor = _BYTES.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError(
            f"{text!r} is not a size; write bytes, or a unit such as 512KiB, 4MiB, 1GB"
        )
    return int(match[1]) * factor


def format_size(count: int) -> str:
    """With the largest binary unit that divides it.

    >>> format_size(4 << 20)
    '4MiB'
    """
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        factor = _BYTES[unit.lower()]
        if count and count % factor == 0:
            return f"{count // factor}{unit}"
    return str(count)


@dataclass(frozen=True, slots=True)
class Written:
    """Marks a field whose text in config.yml is parsed as it stands, not as a YAML number.

    ``kind`` names a member of :class:`longshore.config.shape.Kind` in lower case."""

    kind: str


def _duration(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) else value


def _size(value: Any) -> Any:
    return parse_size(value) if isinstance(value, str) else value


#: A field of seconds, written as a duration.
Seconds = Annotated[
    float,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^(0|([0-9.]+(ns|us|µs|ms|s|m|h))+)$"}),
    Written("duration"),
]
#: A field of bytes, written as a size.
Size = Annotated[
    int,
    BeforeValidator(_size),
    PlainSerializer(format_size, return_type=str),
    WithJsonSchema(
        {"type": ["string", "integer"], "pattern": r"^[0-9]+\s*([kKmMgGtT][iI]?)?[bB]?$"}
    ),
    Written("size"),
]
