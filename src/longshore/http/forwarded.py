"""Who the client is when a proxy stands between: Forwarded (RFC 7239) and X-Forwarded-*.

These headers are believed only when the connection comes from a trusted address. Each proxy adds
to the right what it saw, so the list of hops is read from the right: as long as a hop is a trusted
proxy, what the hop before it said counts. What lies further left may be anybody's invention.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from longshore.telemetry.exchange import Exchange

if TYPE_CHECKING:
    from starlette.types import Scope

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_FORWARDED: Final = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"}
)
#: RFC 9110 7.2: what a Host may be. Everything else would end up in URLs that we write.
_HOST: Final = re.compile(r"[A-Za-z0-9._\-]{1,255}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
#: RFC 7239 section 4: a pair is a token and a token or quoted string.
_PAIR: Final = re.compile(
    r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^",;\s]*)\s*([;,]|$)'
)
_NODE_PORT: Final = re.compile(r"(?:\[([^\]]*)\]|([^:]*))(?::[0-9A-Za-z._-]+)?")


class TrustedProxies:
    """The networks whose word about the client is taken."""

    def __init__(self, networks: Sequence[str]) -> None:
        """Raises ValueError for text that is no network in CIDR form."""
        self._networks: tuple[_Network, ...] = tuple(
            ipaddress.ip_network(text, strict=False) for text in networks
        )
        self._trusts = lru_cache(maxsize=1024)(self._look_up)

    def trusts(self, address: str) -> bool:
        return self._trusts(address)

    def _look_up(self, address: str) -> bool:
        if not address:
            return True  # a Unix socket: whoever may open it is a local proxy
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)

    def apply(self, scope: "Scope", exchange: Exchange) -> None:
        """Fill in the exchange's client, host and user agent, and the scope's scheme."""
        client = scope.get("client")
        exchange.client = _plain(client[0]) if client else ""
        forwarded = False
        for name, value in scope["headers"]:
            if name == b"host":
                exchange.host = _valid_host(value.decode("latin-1"))
            elif name == b"user-agent":
                exchange.user_agent = value[:256].decode("latin-1")
            elif name in _FORWARDED:
                forwarded = True
        if forwarded and self._trusts(exchange.client):
            self._believe(scope, exchange)

    def _believe(self, scope: "Scope", exchange: Exchange) -> None:
        # A proxy may add a line of its own instead of adding to one: together they are one list.
        lines: dict[bytes, str] = {}
        for name, value in scope["headers"]:
            if name in _FORWARDED:
                text = value.decode("latin-1")
                lines[name] = f"{lines[name]},{text}" if name in lines else text
        hop = self._client_hop(_parse_forwarded(lines.get(b"forwarded", "")))
        proto = hop.get("proto") or _first(lines.get(b"x-forwarded-proto", ""))
        host = hop.get("host") or _first(lines.get(b"x-forwarded-host", ""))
        chain = lines.get(b"x-forwarded-for", "").split(",")
        client = hop.get("for") or self._nearest(_node(text) for text in chain if text.strip())
        if proto.lower() in ("http", "https"):
            scope["scheme"] = proto.lower()
        exchange.host = _valid_host(host) or exchange.host
        exchange.client = client or exchange.client

    def _client_hop(self, hops: Sequence[dict[str, str]]) -> dict[str, str]:
        """The right-most element whose ``for`` is no trusted proxy; empty when there is none."""
        for hop in reversed(hops):
            hop["for"] = _node(hop.get("for", ""))
            if not (hop["for"] and self._trusts(hop["for"])):
                return hop
        return hops[0] if hops else {}

    def _nearest(self, hops: Iterable[str]) -> str:
        """The right-most hop that is no trusted proxy; the left-most when all of them are."""
        known = list(hops)
        return next((hop for hop in reversed(known) if not self._trusts(hop)), (known or [""])[0])


def _first(value: str) -> str:
    return value.partition(",")[0].strip()


@lru_cache(maxsize=1024)
def _valid_host(value: str) -> str:
    return value if _HOST.fullmatch(value) else ""


@lru_cache(maxsize=1024)
def _plain(address: str) -> str:
    """Addresses in one spelling; IPv4 clients of a socket that speaks both by their IPv4 address.
    Text that is no address stays as it is."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or parsed)


@lru_cache(maxsize=1024)
def _node(text: str) -> str:
    """The address of ``192.0.2.1``, ``192.0.2.1:4711``, ``[2001:db8::1]:4711``; other names
    (``unknown``, ``_hidden``) as they are."""
    stripped = text.strip()[:64]
    match = _NODE_PORT.fullmatch(stripped)
    return _plain((match[1] or match[2] or "") if match else stripped)


def _parse_forwarded(value: str) -> list[dict[str, str]]:
    """The elements of a Forwarded header, left to right; what does not parse ends the list."""
    elements: list[dict[str, str]] = [{}]
    position = 0
    while position < len(value):
        match = _PAIR.match(value, position)
        if match is None:
            return []
        text = match[2]
        if text.startswith('"'):
            text = re.sub(r"\\(.)", r"\1", text[1:-1])
        elements[-1].setdefault(match[1].lower(), text)
        if match[3] == ",":
            elements.append({})
        position = match.end()
    return [element for element in elements if element]
