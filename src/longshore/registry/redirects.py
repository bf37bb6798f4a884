"""Which clients are sent to the storage for the bytes of a blob, and for how long."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RedirectRules:
    """``lifetime`` is how many seconds a presigned URL is valid. Clients of ``networks`` (CIDR; none
    given: all clients) are redirected, except those of ``exempt``."""

    lifetime: float = 20 * 60.0
    networks: Sequence[str] = ()
    exempt: Sequence[str] = ()

    def redirects(self, client: str) -> bool:
        """Whether a client of this address is redirected. An address that is not known (a Unix
        socket) is in no network."""
        if not self.networks and not self.exempt:
            return True
        if _within(client, self.exempt):
            return False
        return not self.networks or _within(client, self.networks)


def _within(client: str, networks: Sequence[str]) -> bool:
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return False
    return any(address in ipaddress.ip_network(network) for network in networks)
