"""The Authorization request header: RFC 9110 section 11.6.2, RFC 7617 (Basic), RFC 6750 (Bearer).

Nothing in this module raises, whatever a client sends.
"""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Final

from longshore.http.request import Request

#: Longer Basic headers are refused unread.
MAX_LENGTH: Final = 8192


@dataclass(frozen=True, slots=True)
class Login:
    """A user name and a password, as they came."""

    user: str
    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A header that means nothing to us; ``reason`` finishes the sentence "the header ..."."""

    reason: str


def authorization(request: Request) -> bytes:
    """The raw value of the request's first Authorization header; empty when there is none.

    Reads the scope itself because Starlette's Headers would decode every header, on every request.
    """
    for name, value in request.scope["headers"]:
        if name == b"authorization":
            return bytes(value)
    return b""


def is_bearer(value: bytes) -> bool:
    """Whether the header claims to hold a token."""
    return value[:7].lower() == b"bearer "


def parse_login(value: bytes) -> Login | Unreadable | None:
    """The user name and password in a header; None when it says nothing.

    Nothing is also a Basic login with neither user nor password: some clients answer a Basic
    challenge that way when they have no credentials.
    """
    scheme, rest = _split(value)
    match scheme:
        case b"":
            return None
        case b"basic" if len(value) <= MAX_LENGTH:
            return _parse_basic(rest)
        case b"basic":
            return Unreadable(f"has {len(value)} bytes, more than the {MAX_LENGTH} that are read")
        case b"bearer":
            return Unreadable("holds a token where a user name and a password are due")
        case _:
            return Unreadable("uses another scheme than Basic")


def basic(login: Login) -> bytes:
    """The header that holds ``login``, whose user name has no colon."""
    return b"Basic " + base64.b64encode(login.user.encode() + b":" + login.password)


def parse_token(value: bytes) -> str:
    """The token in a header, not looked at; empty when the header holds none."""
    scheme, rest = _split(value)
    return rest.decode("latin-1") if scheme == b"bearer" else ""


def _split(value: bytes) -> tuple[bytes, bytes]:
    scheme, _, rest = value.strip().partition(b" ")
    return scheme.lower(), rest.strip()


def _parse_basic(encoded: bytes) -> Login | Unreadable | None:
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return Unreadable("is not Base64 after 'Basic'")
    user, colon, password = decoded.partition(b":")
    if not colon:
        return Unreadable("has no colon between user and password")
    if not user and not password:
        return None
    if b"\0" in user:
        return Unreadable("has a user name with the character NUL")
    try:
        return Login(user.decode("utf-8"), password)
    except UnicodeDecodeError:
        return Unreadable("has a user name that is not UTF-8")
