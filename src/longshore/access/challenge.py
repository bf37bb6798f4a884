"""WWW-Authenticate: how a client is told to prove who it is. RFC 9110 section 11.6.1, the Docker
token specification, and the form distribution gives both."""

from collections.abc import Sequence
from typing import Final, Literal

from longshore.access.model import Access, Action
from longshore.http.request import Request

TokenFault = Literal["invalid_token", "insufficient_scope"]


def basic(realm: str) -> str:
    """Ask for a user name and a password."""
    return f"Basic realm={_quote(realm)}"


def bearer(
    realm: str, service: str, wanted: Sequence[Access], fault: TokenFault | None = None
) -> str:
    """Ask for a token from ``realm``; ``fault`` says what was wrong with the one that was sent."""
    parts = [f"Bearer realm={_quote(realm)}", f"service={_quote(service)}"]
    if wanted:
        parts.append(f"scope={_quote(scope(wanted))}")
    if fault is not None:
        parts.append(f"error={_quote(fault)}")
    return ",".join(parts)


def scope(wanted: Sequence[Access]) -> str:
    """Every right once, grouped by what it is about, in the order of asking:
    ``repository:a:pull,push repository:b:pull``."""
    merged: dict[tuple[str, str], dict[Action, None]] = {}
    for access in wanted:
        merged.setdefault((access.type, access.name), {}).update(dict.fromkeys(access.actions))
    return " ".join(
        Access(kind, name, tuple(actions)).scope for (kind, name), actions in merged.items()
    )


def origin(request: Request) -> str:
    """Scheme and host for a URL that this very client is to call back.

    A proxy that ends TLS is often not among the trusted ones. Its ``X-Forwarded-Proto: https`` is
    believed here all the same: the answer goes only to whoever sent that header, and a token
    endpoint named with ``http`` would draw passwords out of TLS.
    """
    url = request.external_url
    if url.startswith("http:") and _forwarded_proto(request) == "https":
        return "https" + url.removeprefix("http")
    return url


def redirect_origin(request: Request) -> str:
    """The same for ``auth.token.autoredirect``, by distribution's rule: the scheme a proxy
    reports, otherwise https."""
    proto = _forwarded_proto(request)
    host = request.external_url.partition("://")[2]
    if request.scope["scheme"] == "https" or proto not in _SCHEMES:
        return f"https://{host}"
    return f"{proto}://{host}"


_SCHEMES: Final = frozenset({"http", "https"})


def _forwarded_proto(request: Request) -> str:
    return request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
