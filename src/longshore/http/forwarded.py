"""Who the client is when a proxy stands between: Forwarded (RFC 7239) and X-Forwarded-*.

These headers are believed only when the connection comes from a trusted address.
"""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from longshore.telemetry.exchange import Exchange

if TYPE_CHECKING:
    from starlette.types import Scope

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return address == ""  # a Unix socket: whoever may open it is a local proxy
        return any(parsed in network for network in self._networks)

    def apply(self, scope: "Scope", exchange: Exchange) -> None:
        """Fill in the exchange's client, host and user agent, and the scope's scheme."""
        client = scope.get("client")
        address = client[0] if client else ""
        headers = {}
        for name, value in scope["headers"]:
            if name in _INTERESTING:
                headers[name] = value.decode("latin-1")
        exchange.client = address
        exchange.host = headers.get(b"host", "")
        exchange.user_agent = headers.get(b"user-agent", "")[:256]
        if len(headers) > (b"host" in headers) + (b"user-agent" in headers) and self.trusts(
            address
        ):
            self._believe(headers, scope, exchange)

    def _believe(self, headers: dict[bytes, str], scope: "Scope", exchange: Exchange) -> None:
        forwarded = _parse_forwarded(headers.get(b"forwarded", ""))
        proto = forwarded.get("proto") or _first(headers.get(b"x-forwarded-proto", ""))
        host = forwarded.get("host") or _first(headers.get(b"x-forwarded-host", ""))
        client = forwarded.get("for") or self._nearest(headers.get(b"x-forwarded-for", ""))
        if proto.lower() in ("http", "https"):
            scope["scheme"] = proto.lower()
        if host:
            exchange.host = host
        if client:
            exchange.client = client

    def _nearest(self, chain: str) -> str:
        """The right-most address that is not itself a trusted proxy: the left ones are hearsay."""
        hops = [hop.strip() for hop in chain.split(",") if hop.strip()]
        for hop in reversed(hops):
            if not self.trusts(hop):
                return hop
        return hops[0] if hops else ""


_INTERESTING = frozenset(
    {
        b"host",
        b"user-agent",
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
    }
)


def _first(value: str) -> str:
    return value.partition(",")[0].strip()


def _parse_forwarded(value: str) -> dict[str, str]:
    """The first element of a Forwarded header; RFC 7239 section 4."""
    pairs = (pair.partition("=") for pair in _first(value).split(";"))
    return {name.strip().lower(): text.strip().strip('"') for name, _, text in pairs if text}
