"""From an error status to an exception: the registry's own words, made safe to show."""

import email.utils
import time
from collections.abc import Mapping
from typing import Any, Final

import httpx
import orjson

from longshore.client.errors import (
    Forbidden,
    NotFound,
    NotSupported,
    Overloaded,
    Refused,
    Unauthenticated,
)

#: Worth another attempt. 501, 505 and 507 are answers that waiting does not change.
TEMPORARY_STATUSES: Final = frozenset({408, 429, 499, 500, 502, 503, 504, 520, 521, 522, 523, 524})

_KINDS: Final[Mapping[int, type[Refused]]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    405: NotSupported,
    429: Overloaded,
    501: NotSupported,
}
_LONGEST_MESSAGE = 600


def refusal(registry: str, response: httpx.Response, body: bytes) -> Refused:
    """The exception for an error response, whatever its body holds."""
    error = _first_error(body)
    code, said = error.get("code"), error.get("message")
    code = printable(code) if isinstance(code, str) else ""
    said = printable(said) if isinstance(said, str) else ""
    status = response.status_code
    request = f"{response.request.method} {printable(response.request.url.path)}"
    reason = said or printable(response.reason_phrase) or "no reason given"
    named = f"{code}, {status}" if code else str(status)
    kind = _KINDS.get(status, Refused)
    return kind(
        f"{registry}: {reason} ({named}) for {request}{_advice(registry, status)}",
        status=status,
        code=code,
        detail=error.get("detail"),
        temporary=status in TEMPORARY_STATUSES,
        retry_after=retry_after(response.headers.get("Retry-After", "")),
    )


def _advice(registry: str, status: int) -> str:
    if status == httpx.codes.UNAUTHORIZED:
        return f"; log in with 'longshore login {registry}'"
    return ""


def _first_error(body: bytes) -> Mapping[str, Any]:
    try:
        errors = orjson.loads(body)["errors"]
        return errors[0] if isinstance(errors[0], dict) else {}
    except (ValueError, LookupError, TypeError):
        return {}


def printable(text: str) -> str:
    """One line without control characters: what a server says must not steer a terminal."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    return shown if len(shown) <= _LONGEST_MESSAGE else shown[:_LONGEST_MESSAGE] + "..."


def retry_after(value: str) -> float | None:
    """Seconds to wait (RFC 9110 section 10.2.3: a number of seconds or a date)."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        when = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, when.timestamp() - time.time())
