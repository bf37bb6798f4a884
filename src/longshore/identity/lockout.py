"""Guessing passwords gets slower with every miss, wherever the guesses arrive.

``longshore.access.throttle`` counts in one process, before anything is asked; here misses are counted in the
database, for all processes and nodes: per user and address, per address, and per user whatever the address, which
is against guessing from many. Nobody locks somebody else out with that: who logged in from an address in the last
weeks is held up there only by what was missed as them from there, and everybody else by half a minute at most.
Sessions and tokens that exist are not logins and are never held up.

A login that succeeds costs one read more, and a write once a day for each user and address.
"""

import hashlib
import math
from dataclasses import dataclass
from functools import partial
from typing import Final

import anyio
import anyio.to_thread

from longshore.access import passwords
from longshore.access.refusals import shown
from longshore.access.throttle import PER_ADDRESS, PER_LOGIN, Backoff, network
from longshore.db.database import Connection, Database
from longshore.identity import store
from longshore.identity.changes import Changes
from longshore.oci.errors import TooManyRequests, Unavailable
from longshore.outbox.model import Origin
from longshore.telemetry import clock

#: Misses as one user from anywhere.
PER_USER: Final = Backoff(free=50, longest=30.0)
#: Users that people make of themselves at one address.
PER_REGISTRATION: Final = Backoff(free=10, longest=300.0)
#: Of them, how many wait at most in one process for the hash of their password.
WAITING: Final = 32
#: Seconds after which misses are forgotten, and after which it is forgotten that somebody logged in.
FORGET: Final = 1800.0
KNOWN: Final = 30 * 86400.0
_NOTED: Final = 86400.0


@dataclass(frozen=True, slots=True)
class Lockout:
    """``admit`` before a password is checked, ``succeeded`` or ``failed`` after. ``changes`` tells of misses."""

    database: Database
    changes: Changes
    per_login: Backoff = PER_LOGIN
    per_address: Backoff = PER_ADDRESS
    per_user: Backoff = PER_USER

    async def admit(self, user: str, client: str) -> None:
        """Raises TooManyRequests, with Retry-After, when it is too soon."""
        await self.database.read(partial(self.admitted, user=user, client=client))

    def admitted(self, connection: Connection, user: str, client: str) -> None:
        """The same, within a transaction: of attempts that hold one another up there, none is admitted for
        those before it not having been counted yet."""
        keys, now = _Keys.of(user, client), clock.timestamp()
        found = store.find_misses(connection, keys.all)
        counted = [keys.login] if keys.known in found else [keys.login, keys.address, keys.user]
        until = max((found[key].until for key in counted if key in found), default=0.0)
        if until > now:
            seconds = math.ceil(until - now)
            raise TooManyRequests(
                f"too many failed logins as {shown(user)} or from {shown(client)}: "
                f"wait {seconds} s, then log in with the right password "
                "(logins that were accepted before are not affected)",
                headers={"Retry-After": str(seconds)},
            )

    async def succeeded(self, user: str, client: str) -> None:
        """Forget the misses of this user at this address, and remember that they are known there."""
        keys, now = _Keys.of(user, client), clock.timestamp()
        found = await self.database.read(partial(store.find_misses, keys=[keys.login, keys.known]))
        known = found.get(keys.known)
        if keys.login in found or known is None or known.updated_at < now - _NOTED:
            work = partial(store.forget_misses, login=keys.login, known=keys.known, now=now)
            await self.database.write(work, durable=False)

    async def failed(self, user: str, client: str) -> None:
        """Count a miss, and tell of it."""
        count = partial(self.missed, user=user, client=client)
        await self.database.write(count, durable=False)
        await self.tell(user, client, "unknown user or wrong password")

    def missed(self, connection: Connection, user: str, client: str) -> None:
        """Count a miss, within a transaction."""
        keys, now = _Keys.of(user, client), clock.timestamp()
        counted = {
            keys.login: self.per_login,
            keys.address: self.per_address,
            keys.user: self.per_user,
        }
        for key in sorted(counted):  # in one order, so that two of them never wait for each other
            store.add_miss(connection, key, now, FORGET, counted[key].wait)

    async def tell(self, user: str, client: str, what: str) -> None:
        """Tell of a miss in the audit log: ``what`` was wrong."""
        known = await self.database.read(partial(store.find_user, name=user))
        await self.changes.failed(
            "login",
            "user",
            # What nobody is called may be a password that was typed as a name.
            "(unknown)" if known is None else known.name,
            description=what,
            origin=Origin(actor="", address=client),
        )


class Registrations:
    """People who make themselves users: how often somebody may try at one address, for nobody should fill the
    list of users, and how much of this machine all of them may use. One per process."""

    def __init__(self, database: Database, per_address: Backoff = PER_REGISTRATION) -> None:
        self._database = database
        self._per_address = per_address
        # One thread of its own kind: however many they are, logins and other requests go on.
        self._hashing = anyio.CapacityLimiter(1)

    async def admit(self, client: str) -> None:
        """Let one try through. Raises TooManyRequests, with Retry-After, when it is too soon."""
        key = _hash("register", network(client))

        def held_up(connection: Connection) -> float:
            found = store.find_misses(connection, [key]).get(key)
            return 0.0 if found is None else found.until - clock.timestamp()

        def counted(connection: Connection) -> float:
            # Looked at and counted under one lock: none of many at the same time slips through.
            now = clock.timestamp()
            until = store.admit_one(connection, key, now, FORGET, self._per_address.wait)
            return until - now if until else 0.0

        # Whoever is too early anyway writes nothing.
        seconds = await self._database.read(held_up)
        if seconds <= 0:
            seconds = await self._database.write(counted, durable=False)
        if seconds > 0:
            wait = max(1, math.ceil(seconds))
            raise TooManyRequests(
                f"too many registrations from {shown(client)}: wait {wait} s",
                headers={"Retry-After": str(wait)},
            )

    async def hash(self, password: bytes) -> str:
        """The hash of a password that somebody chose. Raises Unavailable, with Retry-After, when too many wait
        for theirs."""
        if self._hashing.statistics().tasks_waiting >= WAITING:
            raise Unavailable(
                "too many people register at this moment; try again in a few seconds",
                headers={"Retry-After": "5"},
            )
        return await anyio.to_thread.run_sync(
            passwords.hash_argon2, password, limiter=self._hashing
        )


@dataclass(frozen=True, slots=True)
class _Keys:
    """Hashes: what is typed as a name may be a password, and none is longer than another."""

    login: str
    address: str
    user: str
    known: str

    @classmethod
    def of(cls, user: str, client: str) -> "_Keys":
        address = network(client)
        return cls(
            _hash("login", user, address),
            _hash("address", address),
            _hash("user", user),
            _hash("known", user, address),
        )

    @property
    def all(self) -> list[str]:
        return [self.login, self.address, self.user, self.known]


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:40]
