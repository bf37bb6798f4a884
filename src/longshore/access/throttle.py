"""Guessing passwords gets slower with every miss.

Counted are misses per user *and* address, so that nobody can slow somebody else's login from
another address, and, much more generously, per address alone against guessing through many names.
Who logged in from an address before is not held up by what others do there (many people share the
address of a company or of a proxy). Each process counts for itself.
"""

import ipaddress
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from cachetools import TTLCache

from longshore.access.refusals import shown
from longshore.oci.errors import TooManyRequests

_TABLE: Final = 16384
_FORGET: Final = 1800.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """``free`` misses cost nothing; then waits of 1, 2, 4 ... up to ``longest`` seconds."""

    free: int
    longest: float

    def wait(self, misses: int) -> float:
        if misses < self.free:
            return 0.0
        return min(self.longest, 2.0 ** min(misses - self.free, 32))


PER_LOGIN: Final = Backoff(free=5, longest=300.0)
PER_ADDRESS: Final = Backoff(free=100, longest=30.0)


@dataclass(frozen=True, slots=True)
class _Misses:
    count: int = 0
    until: float = 0.0


class Throttle:
    """``admit`` before a password is checked, ``succeeded``, ``failed`` or ``released`` after."""

    def __init__(
        self,
        *,
        per_login: Backoff = PER_LOGIN,
        per_address: Backoff = PER_ADDRESS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_login = per_login
        self._per_address = per_address
        self._clock = clock
        self._logins: TTLCache[tuple[str, str], _Misses] = TTLCache(_TABLE, _FORGET, timer=clock)
        self._addresses: TTLCache[str, _Misses] = TTLCache(_TABLE, _FORGET, timer=clock)
        self._known: TTLCache[tuple[str, str], bool] = TTLCache(_TABLE, 86400.0, timer=clock)

    def admit(self, user: str, client: str) -> None:
        """Let one attempt through. Raises TooManyRequests, with Retry-After, when it is too soon.

        The attempt counts as a miss until it succeeds: guesses sent in parallel, or hung up on
        before the answer, are counted like any other.
        """
        address = network(client)
        login = (user[:256], address)
        now = self._clock()
        misses = self._logins.get(login, _Misses())
        until = misses.until
        if login not in self._known:
            until = max(until, self._addresses.get(address, _Misses()).until)
        if until > now:
            seconds = math.ceil(until - now)
            raise TooManyRequests(
                f"too many failed logins as {shown(user)} or from {shown(client)}: "
                f"wait {seconds} s, then log in with the right password "
                "(logins that were accepted before are not affected)",
                headers={"Retry-After": str(seconds)},
            )
        self._logins[login] = _more(misses, now, self._per_login)

    def succeeded(self, user: str, client: str) -> None:
        """Forget the misses of this user at this address."""
        login = (user[:256], network(client))
        self._logins.pop(login, None)
        self._known[login] = True

    def released(self, user: str, client: str) -> None:
        """The attempt was no miss, and nobody is let in for it: it does not count."""
        login = (user[:256], network(client))
        misses = self._logins.get(login)
        if misses is not None:
            self._logins[login] = _Misses(max(0, misses.count - 1))

    def failed(self, client: str) -> None:
        """Count the miss for the address too (for the login it was counted by ``admit``)."""
        address = network(client)
        misses = self._addresses.get(address, _Misses())
        self._addresses[address] = _more(misses, self._clock(), self._per_address)


def _more(misses: _Misses, now: float, backoff: Backoff) -> _Misses:
    count = misses.count + 1
    return replace(misses, count=count, until=now + backoff.wait(count))


def network(client: str) -> str:
    """What counts as one address: an IPv4 address, an IPv6 /64 (what one subscriber has)."""
    try:
        parsed = ipaddress.ip_address(client)
    except ValueError:
        return client[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((parsed, 64), strict=False))
    return str(parsed)
