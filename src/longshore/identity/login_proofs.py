"""What logins prove: whoever knows is asked once, right answers are remembered for a while, wrong ones slow down."""

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from cachetools import TTLCache

from longshore.access.header import Login
from longshore.access.proofs import Proofs
from longshore.access.throttle import Throttle
from longshore.access.verification import Verifications
from longshore.db.database import Connection, Database
from longshore.identity import access_tokens, store
from longshore.identity.authentication import Authenticator, LocalPasswords, Proof
from longshore.identity.lockout import Lockout
from longshore.identity.model import MARK
from longshore.identity.programs import Programs, harbors_prefix
from longshore.identity.standings import Standings
from longshore.oci.errors import Unavailable

_PROOFS: Final = 4096


class LoginProofs:
    """One per process."""

    def __init__(
        self,
        database: Database,
        standings: Standings,
        throttle: Throttle,
        lockout: Lockout | None,
        authenticators: Sequence[Authenticator],
        *,
        robot_prefix: Callable[[], Awaitable[str]] = harbors_prefix,
        notes: bool = True,
        seconds: float = 60.0,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``authenticators`` are asked after the passwords of the database. What was right is remembered for
        ``seconds``. ``lockout`` counts misses for all processes, beside ``throttle``. ``robot_prefix`` and ``notes``
        as for :class:`Programs`. ``clock`` tells POSIX seconds."""
        self._database = database
        self._standings = standings
        self._throttle = throttle
        self._lockout = lockout
        self._known: Proofs[Proof] = Proofs(TTLCache(_PROOFS, seconds, timer=monotonic))
        self._verifications: Verifications[Proof | None] = Verifications()
        # First, so that an administrator gets in whatever has become of a directory.
        local = LocalPasswords(database, self._verifications)
        self._authenticators = (local, *authenticators)
        self._programs = Programs(
            database, self._verifications, prefix=robot_prefix, notes=notes, clock=clock
        )

    async def start(self) -> None:
        await self._programs.start()
        for authenticator in self._authenticators:
            await authenticator.start()

    async def stop(self) -> None:
        for authenticator in reversed(self._authenticators):
            await authenticator.stop()
        await self._programs.stop()
        self._verifications.close()

    def key(self, value: bytes) -> bytes:
        """What stands for a header that holds a login, in memory."""
        return self._known.key(value)

    def known(self, value: bytes) -> Proof | None:
        """What the header ``value`` proved a moment ago."""
        return self._known.find(self._known.key(value), 0)

    async def prove(self, value: bytes, login: Login, client: str) -> Proof | None:
        """What ``login``, which the header ``value`` holds, proves now; None: nothing. Raises TooManyRequests when it
        comes too soon after misses, Unavailable when nobody can tell."""
        key = self._known.key(value)
        return await self._verifications.run(key, lambda: self._check(key, login, client))

    async def forget_misses(self, user: str, client: str) -> None:
        """Of a user at an address, who has shown everything that it takes."""
        self._throttle.succeeded(user, client)
        if self._lockout is not None:
            await self._lockout.succeeded(user, client)

    async def ask(self, login: Login, client: str) -> Proof | None:
        """What ``login`` proves, by asking those who know in order: one who cannot tell does not keep the next from
        it. Raises Unavailable when one cannot and the others know nothing."""
        if await self._programs.knows(login):
            return await self._programs.authenticate(login, client)
        away: Unavailable | None = None
        for authenticator in self._authenticators:
            try:
                proof = await authenticator.authenticate(login, client)
            except Unavailable as error:
                away = away or error
            else:
                if proof is not None:
                    return proof
        if away is not None:
            raise away
        return None

    async def _check(self, key: bytes, login: Login, client: str) -> Proof | None:
        if access_tokens.is_one(login.password):
            return await self._check_token(key, login, client)
        self._throttle.admit(login.user, client)
        if self._lockout is not None:
            await self._lockout.admit(login.user, client)
        try:
            proof = await self.ask(login, client)
        except Unavailable:
            # A directory is away, but the password that is kept here was wrong.
            if await self._database.read(partial(_has_password, user=login.user)):
                await self._missed(login, client)
            raise
        if proof is None:
            await self._missed(login, client)
            return None
        self._known.remember(key, 0, proof)
        if proof.by_password and (await self._standings.of(proof.user, "")).second_factor:
            # Who guesses codes must not begin anew with the password that they know.
            self._throttle.released(login.user, client)
        else:
            await self.forget_misses(login.user, client)
        return proof

    async def _check_token(self, key: bytes, login: Login, client: str) -> Proof | None:
        """Nobody guesses 256 bits: misses are counted apart from those of passwords, and whoever has a token of
        somebody must not begin anew with guesses of their password by sending it in between."""
        guesser = f"{login.user}{MARK}"
        self._throttle.admit(guesser, client)
        proof = await self._programs.authenticate(login, client)
        if proof is None:
            self._throttle.failed(client)
            if self._lockout is not None:
                await self._lockout.tell(login.user, client, "unknown or ended access token")
            return None
        self._throttle.succeeded(guesser, client)
        self._known.remember(key, 0, proof)
        return proof

    async def _missed(self, login: Login, client: str) -> None:
        self._throttle.failed(client)
        if self._lockout is not None:
            await self._lockout.failed(login.user, client)


def _has_password(connection: Connection, user: str) -> bool:
    hashed, _ = store.find_password(connection, user)
    return hashed is not None
