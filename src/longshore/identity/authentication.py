"""Ways to prove who one is with a name and a password."""

from dataclasses import dataclass
from functools import partial
from typing import Protocol

import anyio.to_thread

from longshore.access import passwords
from longshore.access.header import Login
from longshore.access.verification import Verifications
from longshore.db.database import Database
from longshore.identity import credentials, store
from longshore.identity.access_tokens import KIND


@dataclass(frozen=True, slots=True)
class Proof:
    """Whose password that was: ``user`` is a name that standings know. ``seal`` is that of the standing
    at that moment: the proof counts as long as the standing has the same. ``renewable``: a refresh token may
    stand for it from now on; only for who has all of the user's rights, and whose end the seal tells of.
    ``by_password``: by the password of the person, not by a token: a session may be opened with it."""

    user: str
    seal: str
    renewable: bool = False
    by_password: bool = False


class Authenticator(Protocol):
    """One way to prove who one is with a name and a password. The controller asks them in order."""

    async def authenticate(self, login: Login, client: str) -> Proof | None:
        """Whose password that is. None: a name that this way does not know, or a wrong password; the
        others are asked then. ``client`` is the address that the login comes from.

        Takes no longer for a name that is unknown. Raises Unavailable when it cannot tell.
        """

    async def start(self) -> None:
        """Called once, before the first login."""

    async def stop(self) -> None:
        """Called once, after the last."""


class IDTokens(Protocol):
    """Knows users by the ID tokens of OpenID providers."""

    async def bearer(self, id_token: str) -> str:
        """The name of the user whom a token is about; empty when nobody is. Raises TokenRefused, and
        ProviderUnavailable when it cannot tell."""

    async def any(self) -> bool:
        """Whether any token could be good: without a provider, tokens say nothing about anybody."""

    async def close(self) -> None:
        """Called once, after the last."""


class LocalPasswords:
    """Passwords whose hashes are in the database; the CLI secrets of users who have none."""

    def __init__(self, database: Database, verifications: Verifications[Proof | None]) -> None:
        self._database = database
        self._verifications = verifications
        self._decoy = ""

    async def start(self) -> None:
        self._decoy = await anyio.to_thread.run_sync(passwords.hash_argon2, b"nobody's password")

    async def stop(self) -> None:
        """Nothing to end."""

    async def authenticate(self, login: Login, client: str) -> Proof | None:
        """See :class:`Authenticator`."""
        hashed, seal = await self._database.read(partial(store.find_password, user=login.user))
        token = None
        if hashed is None:
            token = await self._database.read(partial(store.find_cli_secret, user=login.user))
        compared = hashed or (token.secret_hash if token else self._decoy)
        right = await self._verifications.in_thread(
            lambda: passwords.verify(compared, login.password)
        )
        if right and token is not None:
            return Proof(token.login, credentials.seal(KIND, token.id, token.secret_hash))
        if not right or hashed is None:
            return None
        return Proof(login.user, seal, renewable=True, by_password=True)
