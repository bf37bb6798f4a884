"""Sessions of browsers: opened by a login, found by what their cookie holds, ended.

A session belongs to a user and to what was proved when it was opened (the seal of their standing): it ends
with the password, with the user, when an administrator is made or no longer one, when it is not used for a
while, and after a time however much it is used. The cookie is 256 random bits of which only a hash is kept, and
a new one at every login: whoever plants a cookie before a login has nothing after it.
"""

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from longshore.db.database import Connection, Database
from longshore.identity import store
from longshore.identity.model import Session, Standing
from longshore.telemetry import clock

#: Says what it is, to programs that look for secrets in files.
PREFIX: Final = "lss_"
#: Harbor's default, in seconds.
IDLE: Final = 3600.0
_LONGEST: Final = 200
#: Seconds between two notes of the same one's use: a page sends many requests.
_NOTED: Final = 60.0
_SHOWN: Final = 255


async def default_idle() -> float:
    """What a session may be without use where nobody says otherwise, in seconds."""
    return IDLE


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that begins when ``work`` was committed; ``text`` is what the client is given."""

    text: str
    work: Callable[[Connection], None]


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions of the registry. None lasts longer than ``lifetime`` seconds; ``idle`` tells how many it
    may be without use."""

    database: Database
    lifetime: float
    idle: Callable[[], Awaitable[float]] = default_idle

    def open(self, standing: Standing, address: str, user_agent: str, provider: str = "") -> Opened:
        """A new one for a user who has proved who they are just now, at ``provider`` if that was not here.
        Its ``work`` goes into the transaction that tells of the login."""
        text = PREFIX + secrets.token_urlsafe(32)
        now = clock.timestamp()
        work = partial(
            store.add_session,
            user_id=standing.user_id,
            token_hash=_hash(text),
            seal=standing.seal,
            address=address[:_SHOWN],
            user_agent=user_agent[:_SHOWN],
            now=now,
            expires_at=now + self.lifetime,
            provider=provider,
        )
        return Opened(text, work)

    async def find(self, text: str) -> Session | None:
        """The one that ``text`` is, while it lasts. Whether its user's standing still has the same seal,
        the caller has to look."""
        if not text.startswith(PREFIX) or len(text) > _LONGEST:
            return None
        # 256 random bits: a fast hash is enough, and looking it up tells nothing by its time.
        found = await self.database.read(partial(store.find_session, token_hash=_hash(text)))
        if found is None or not _lasts(found, await self.idle()):
            return None
        return found

    async def of(self, user_id: int) -> list[Session]:
        """Those of one user that last, the last used first."""
        idle = await self.idle()
        found = await self.database.read(partial(store.list_sessions, user_id=user_id))
        return [session for session in found if _lasts(session, idle)]

    async def used(self, found: Session) -> None:
        """Note that it was used just now."""
        now = clock.timestamp()
        if now - found.last_seen_at >= min(_NOTED, await self.idle() / 4):
            touch = partial(store.touch_session, id=found.id, now=now)
            await self.database.write(touch, durable=False)


def _lasts(session: Session, idle: float) -> bool:
    now = clock.timestamp()
    return now < session.expires_at and now < session.last_seen_at + idle


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
