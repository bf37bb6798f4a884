"""Logging in with a password: proved once, remembered for minutes, slower with every miss."""

import time
from collections.abc import Callable
from typing import Final

import anyio.to_thread
from cachetools import TTLCache

from longshore.access import htpasswd
from longshore.access.header import Login
from longshore.access.htpasswd import Users
from longshore.access.model import Principal
from longshore.access.proofs import Proofs
from longshore.access.throttle import Throttle
from longshore.access.verification import Verifications
from longshore.access.watched import WatchedFile

_SECONDS: Final = 60.0
_SIZE: Final = 4096


class Logins:
    """The users of one htpasswd file."""

    def __init__(
        self,
        file: WatchedFile[Users],
        *,
        throttle: Throttle | None = None,
        seconds: float = _SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A login is remembered for ``seconds``, or until the file changes."""
        self._file = file
        self._throttle = throttle or Throttle(clock=clock)
        self._proofs: Proofs[Principal] = Proofs(TTLCache(_SIZE, seconds, timer=clock))
        self._verifications: Verifications[Principal | None] = Verifications()

    async def start(self) -> None:
        """Read the file; make one if there is none. Raises AccessError."""
        await anyio.to_thread.run_sync(htpasswd.create_if_missing, self._file.path)
        await self._file.load()

    def stop(self) -> None:
        self._verifications.close()

    async def fresh(self) -> None:
        """Look at the file if the last look is too long ago."""
        if self._file.due:
            await self._file.check()

    def proved(self, value: bytes) -> Principal | None:
        """Whose credentials an Authorization header holds, if that was proved before."""
        return self._proofs.find(self._proofs.key(value), self._file.generation)

    def seal(self, user: str) -> str:
        """Changes when the user's password does; empty when there is no such user."""
        return self._file.content.seals.get(user, "")

    async def prove(self, value: bytes, login: Login, client: str) -> Principal | None:
        """Who ``login``, sent in the header ``value`` from ``client``, is; None when it is wrong.

        Raises TooManyRequests after too many misses, Unavailable when too many are checked.
        """
        key = self._proofs.key(value)
        return await self._verifications.run(key, lambda: self._check(key, login, client))

    async def _check(self, key: bytes, login: Login, client: str) -> Principal | None:
        self._throttle.admit(login.user, client)
        # A password that was set a moment ago counts at once; next to bcrypt a look is cheap.
        await self._file.check(now=True)
        users, generation = self._file.content, self._file.generation
        right = await self._verifications.in_thread(
            lambda: users.verify(login.user, login.password)
        )
        if not right:
            self._throttle.failed(client)
            return None
        principal = Principal(login.user, "htpasswd")
        self._throttle.succeeded(login.user, client)
        self._proofs.remember(key, generation, principal)
        return principal
