"""Requests that another site makes a browser send are refused.

Three defences, each enough for browsers of these years: what the browser says of where a request comes from
(``Sec-Fetch-Site``, ``Origin``), the token of the session (Harbor's ``X-Harbor-CSRF-Token``, against the cookie
``_gorilla_csrf``), and ``SameSite``. The token is asked for only where the cookie of a session was sent: whoever
sends a password with each request needs none.
"""

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from longshore.access.refusals import shown
from longshore.api import cookies
from longshore.api.errors import Forbidden
from longshore.http.errors import error_response
from longshore.http.mounted import SCOPE_KEY
from longshore.http.request import Request

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: They do not rely on the session that was sent: one begins, one ends. Where they come from is looked at.
_WITHOUT_TOKEN: Final = frozenset({"/c/login", "/c/log_out"})
_PORTS: Final = {"http": 80, "https": 443}


class ForeignRequests:
    """Goes before the application; every reply in a session has the token for the next change."""

    def __init__(self, application: "ASGIApp") -> None:
        self.application = application

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        request: Request = scope[SCOPE_KEY]
        session = request.cookies.get(cookies.SESSION, "")

        async def with_token(message: Any) -> None:
            if message["type"] == "http.response.start" and session:
                headers = list(message.get("headers", ()))
                # Where the session begins or ends, the reply has said what there is to say.
                if not any(name == b"set-cookie" for name, _ in headers):
                    headers += [
                        (name.lower().encode(), value.encode("latin-1"))
                        for name, value in cookies.csrf_headers(request, session)
                    ]
                message = {**message, "headers": headers}
            await send(message)

        refusal = refusal_of(request, scope["path"], session)
        if refusal is None:
            await self.application(scope, receive, with_token)
            return
        request.exchange.reason, request.exchange.message = refusal.code, refusal.message
        made = error_response(refusal)
        head = [(b"content-type", b"application/json; charset=utf-8")]
        await with_token({"type": "http.response.start", "status": made.status, "headers": head})
        await with_token({"type": "http.response.body", "body": made.body})


def refusal_of(request: Request, path: str, session: str) -> Forbidden | None:
    """Why a request in the ``session`` (its text) is not carried out; None when a page of ours may have sent
    it."""
    if request.method in _SAFE and path not in _WITHOUT_TOKEN:
        return None
    if (refusal := foreign(request)) is not None:
        return refusal
    if session and path not in _WITHOUT_TOKEN and not cookies.is_answered(request, session):
        return Forbidden(
            f"CSRF token is missing or not that of this session: send the header {cookies.CSRF_HEADER} "
            f"and the cookie {cookies.CSRF} that came with this reply"
        )
    return None


def foreign(request: Request) -> Forbidden | None:
    """Why a request is not carried out that a browser says a page of another site has sent; None for others."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return Forbidden(f"this was sent by a page of another site (Sec-Fetch-Site: {shown(site)})")
    origin = request.headers.get("origin")
    # What a browser itself says is the same origin is so, whatever a proxy has made of the host.
    if origin is not None and site is None and not _is_ours(origin, request):
        return Forbidden(
            f"this was sent by a page of {shown(origin)}, and here is {shown(request.external_url)}; "
            "if that is the same, the proxy before the registry does not hand on the host"
        )
    return None


def _is_ours(origin: str, request: Request) -> bool:
    """Whether a page of ``origin`` is one of this host; a proxy may have ended TLS."""
    try:
        theirs, ours = urlsplit(origin), urlsplit(request.external_url)
        scheme = theirs.scheme
        port = theirs.port or _PORTS.get(scheme)
        return theirs.hostname == ours.hostname and port == (ours.port or _PORTS.get(scheme))
    except ValueError:
        return False
