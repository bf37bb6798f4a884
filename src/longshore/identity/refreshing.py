"""Refresh tokens (what `docker login` keeps as ``identitytoken``): given, found, used.

A refresh token stands for the password that it was given for and ends with it, with its user, when it is
revoked, and when it is not used for long. It is not replaced when it is used: docker and containerd keep
the first one for ever, and several clients share one file of logins. For that reason ``client_id`` is kept to
be shown and not compared: buildkit and skopeo use what `docker login` was given.
"""

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from longshore.access.grant import Asking
from longshore.db.database import Database
from longshore.identity import store
from longshore.identity.model import RefreshToken, Standing

#: Says what it is, to people and to programs that look for secrets in files.
PREFIX: Final = "lsr_"
_LONGEST: Final = 200
#: Seconds between two notes of the same one's use: a push asks for many tokens.
_NOTED: Final = 3600.0


@dataclass(frozen=True, slots=True)
class RefreshTokens:
    """The refresh tokens of the registry. They last ``lifetime`` seconds after their last use; ``clock``
    tells POSIX seconds."""

    database: Database
    lifetime: float
    clock: Callable[[], float] = time.time

    async def give(self, standing: Standing, asking: Asking, address: str) -> str:
        """A new one for a user who has proved their password just now."""
        made = PREFIX + secrets.token_urlsafe(32)
        now = self.clock()
        add = partial(
            store.add_refresh_token,
            user_id=standing.user_id,
            token_hash=_hash(made),
            seal=standing.seal,
            service=asking.service,
            client_id=asking.client_id,
            address=address,
            now=now,
            expires_at=now + self.lifetime,
        )
        await self.database.write(add)
        return made

    async def find(self, text: str, service: str) -> RefreshToken | None:
        """The one that ``text`` is, if it has not expired and was given for ``service`` (when both say one).
        Whether its user and their password are still the same, the caller has to look."""
        if not text.startswith(PREFIX) or len(text) > _LONGEST:
            return None
        # 256 random bits: a fast hash is enough, and looking it up tells nothing by its time.
        found = await self.database.read(partial(store.find_refresh_token, token_hash=_hash(text)))
        if found is None or found.expires_at < self.clock():
            return None
        if service and found.service and service != found.service:
            return None
        return found

    async def used(self, found: RefreshToken) -> None:
        """Note that it was used just now."""
        now = self.clock()
        if now - found.last_used_at < min(_NOTED, self.lifetime / 10):
            return
        touch = partial(
            store.touch_refresh_token, id=found.id, now=now, expires_at=now + self.lifetime
        )
        await self.database.write(touch, durable=False)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
