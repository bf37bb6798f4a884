"""Logins of programs: robots, and whoever has a user's access token."""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import anyio.to_thread

from longshore.access import passwords
from longshore.access.header import Login
from longshore.access.verification import Verifications
from longshore.db.database import Database
from longshore.identity import access_tokens, credentials, robots, store
from longshore.identity.access_tokens import AccessToken
from longshore.identity.authentication import Proof
from longshore.identity.robots import Robot

#: Seconds between two notes of the same one's use.
_NOTED: Final = 600.0


async def harbors_prefix() -> str:
    """What robots' names begin with where nobody says otherwise."""
    return robots.HARBORS


class Programs:
    """An Authenticator for what is no person's password. Nobody else is asked about logins that it knows: a
    directory has no business with our secrets."""

    def __init__(
        self,
        database: Database,
        verifications: Verifications[Proof | None],
        *,
        prefix: Callable[[], Awaitable[str]] = harbors_prefix,
        notes: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``prefix`` tells what administrators let robots' names begin with. ``notes``: whether it is noted
        when one was used last. ``clock`` tells POSIX seconds."""
        self._database = database
        self._verifications = verifications
        self._prefix = prefix
        self._notes = notes
        self._clock = clock
        self._decoy = ""

    async def start(self) -> None:
        self._decoy = await anyio.to_thread.run_sync(passwords.hash_argon2, b"no robot's secret")

    async def stop(self) -> None:
        """Nothing to end."""

    async def knows(self, login: Login) -> bool:
        """Whether ``login`` is a robot's or holds an access token, good or not."""
        return access_tokens.is_one(login.password) or await self._robot(login) is not None

    async def authenticate(self, login: Login, client: str) -> Proof | None:
        """See :class:`longshore.identity.authentication.Authenticator`."""
        name = await self._robot(login)
        if name is not None:
            return await self._by_robot(name, login.password, client)
        return await self._by_token(login, client) if access_tokens.is_one(login.password) else None

    async def _robot(self, login: Login) -> str | None:
        return robots.spelled(login.user, await self._prefix())

    async def _by_robot(self, name: str, secret: bytes, client: str) -> Proof | None:
        robot = await self._database.read(partial(store.find_robot, name=name))
        hashes = robot.hashes(self._clock()) if robot is not None else []
        if credentials.is_made(secret, credentials.ROBOT_PREFIX):
            found = credentials.made(secret, hashes)
        else:
            found = await self._chosen(secret, hashes)
        if robot is None or found is None:
            return None
        await self._used(robot, store.touch_robot, client)
        return Proof(robot.login, credentials.seal(robots.KIND, robot.id, found))

    async def _chosen(self, secret: bytes, hashes: list[str]) -> str | None:
        return await self._verifications.in_thread(
            lambda: credentials.chosen(secret, hashes, self._decoy)
        )

    async def _by_token(self, login: Login, client: str) -> Proof | None:
        hashed = credentials.digest(login.password)
        find = partial(store.find_access_token_by_hash, secret_hash=hashed, now=self._clock())
        token = await self._database.read(find)
        if token is None or login.user not in ("", token.user):
            return None
        await self._used(token, store.touch_access_token, client)
        return Proof(token.login, credentials.seal(access_tokens.KIND, token.id, hashed))

    async def _used(
        self, found: Robot | AccessToken, touch: Callable[..., Any], client: str
    ) -> None:
        """Note it, if that is due and they are let in: a secret that has ended, or is tried from where it is not
        good, has not been used."""
        now = self._clock()
        if not self._notes or now - (found.last_used_at or 0.0) < _NOTED:
            return
        find = partial(store.standing, user=found.login, project="", now=now)
        standing = await self._database.read(find)
        foreign = standing.networks and not credentials.is_among(client, standing.networks)
        if not (standing.disabled or standing.expired or foreign):
            note = partial(touch, id=found.id, now=now, address=client)
            await self._database.write(note, durable=False)
