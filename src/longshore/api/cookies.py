"""The cookies of sessions: ``sid``, and ``_gorilla_csrf`` with the header that answers it.

The names are Harbor's, which its clients know; the prefix ``__Host-`` would be another name, so what it would
promise is kept otherwise (docs/decisions/040-sessions.md).
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Final

from longshore.http.request import Request

SESSION: Final = "sid"
CSRF: Final = "_gorilla_csrf"
CSRF_HEADER: Final = "X-Harbor-CSRF-Token"
_SIZE: Final = 32

Headers = list[tuple[str, str]]


def session_headers(request: Request, text: str) -> Headers:
    """What gives a client the session ``text``."""
    return [
        ("Set-Cookie", session_cookie(request, text)),
        *csrf_headers(request, text),
    ]


def session_cookie(request: Request, text: str) -> str:
    """The value of Set-Cookie for the session ``text``."""
    return _cookie(request, SESSION, text, "Lax")


def farewell_headers(request: Request) -> Headers:
    """What makes a client forget its session."""
    return [
        ("Set-Cookie", session_cookie(request, "") + "; Max-Age=0"),
        ("Set-Cookie", _cookie(request, CSRF, "", "Strict") + "; Max-Age=0"),
    ]


def csrf_headers(request: Request, session: str) -> Headers:
    """The token that changes in the session have to bring: in a cookie, and masked for the header."""
    token = _token(session)
    return [
        (CSRF_HEADER, masked(token)),
        ("Set-Cookie", _cookie(request, CSRF, _encoded(token), "Strict")),
    ]


def is_answered(request: Request, session: str) -> bool:
    """Whether a request brings the token of the session in both places."""
    expected = _token(session)
    in_cookie = _decoded(request.cookies.get(CSRF, ""))
    in_header = unmasked(request.headers.get(CSRF_HEADER, ""))
    right = hmac.compare_digest(in_cookie, expected), hmac.compare_digest(in_header, expected)
    return all(right)


def masked(token: bytes) -> str:
    """``token`` in another form each time: compressed replies tell nothing of it by their length."""
    pad = secrets.token_bytes(len(token))
    return _encoded(pad + _xor(pad, token))


def unmasked(text: str) -> bytes:
    """What was masked; empty for nonsense."""
    both = _decoded(text)
    return _xor(both[:_SIZE], both[_SIZE:]) if len(both) == 2 * _SIZE else b""


def _token(session: str) -> bytes:
    """Only who has the session can make it, so one of another session, or an earlier one, does not fit."""
    return hmac.digest(session.encode("utf-8", "replace"), b"longshore csrf", hashlib.sha256)


def _cookie(request: Request, name: str, value: str, same_site: str) -> str:
    secure = "; Secure" if request.scope["scheme"] == "https" else ""
    return f"{name}={value}; Path=/; HttpOnly; SameSite={same_site}{secure}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
