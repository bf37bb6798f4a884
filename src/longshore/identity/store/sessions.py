"""Sessions of browsers: only the hashes of what the cookies hold are here."""

from typing import Any, Final

from sqlalchemy import Connection, Select, delete, insert, select, update

from longshore.identity.model import Session
from longshore.identity.tables import sessions, users

#: Sessions that one user may have; those that were used longest ago go first.
MOST_SESSIONS: Final = 100

_QUERY: Final[Select[Any]] = select(
    sessions.c.id,
    users.c.name.label("user"),
    sessions.c.user_id,
    sessions.c.seal,
    sessions.c.address,
    sessions.c.user_agent,
    sessions.c.created_at,
    sessions.c.last_seen_at,
    sessions.c.expires_at,
    sessions.c.provider,
).join(users, users.c.id == sessions.c.user_id)
_NEWEST: Final = (sessions.c.last_seen_at.desc(), sessions.c.id.desc())


def add_session(
    connection: Connection,
    user_id: int,
    token_hash: str,
    *,
    seal: str,
    address: str,
    user_agent: str,
    now: float,
    expires_at: float,
    provider: str = "",
) -> None:
    """One more for a user, who keeps at most MOST_SESSIONS of them."""
    mine = sessions.c.user_id == user_id
    query = select(sessions.c.id).where(mine).order_by(*_NEWEST).offset(MOST_SESSIONS - 1)
    superfluous = list(connection.scalars(query.limit(MOST_SESSIONS)))
    if superfluous:
        connection.execute(delete(sessions).where(sessions.c.id.in_(superfluous)))
    row = {
        "user_id": user_id,
        "token_hash": token_hash,
        "seal": seal,
        "address": address,
        "user_agent": user_agent,
        "created_at": now,
        "last_seen_at": now,
        "expires_at": expires_at,
        "provider": provider,
    }
    connection.execute(insert(sessions).values(row))


def find_session(connection: Connection, token_hash: str) -> Session | None:
    """The one with that hash; it may have ended."""
    row = connection.execute(_QUERY.where(sessions.c.token_hash == token_hash)).one_or_none()
    return None if row is None else Session(**row._mapping)


def touch_session(connection: Connection, id: int, now: float) -> None:
    """It was used."""
    connection.execute(update(sessions).where(sessions.c.id == id).values(last_seen_at=now))


def list_sessions(connection: Connection, user_id: int) -> list[Session]:
    """Those of one user, the last used first; some may have ended."""
    rows = connection.execute(_QUERY.where(sessions.c.user_id == user_id).order_by(*_NEWEST))
    return [Session(**row._mapping) for row in rows]


def remove_session(connection: Connection, user_id: int, id: int) -> bool:
    """End one of a user's; whether there was one with that id, and theirs."""
    found = delete(sessions).where(sessions.c.user_id == user_id, sessions.c.id == id)
    return bool(connection.execute(found).rowcount)


def remove_sessions(connection: Connection, user_id: int, *, but: int = 0) -> int:
    """End all of a user's, except the one with the id ``but``; how many that were."""
    found = delete(sessions).where(sessions.c.user_id == user_id, sessions.c.id != but)
    return connection.execute(found).rowcount


def remove_ended_sessions(connection: Connection, now: float, idle: float) -> int:
    """Forget those that have ended, or were not used for ``idle`` seconds; how many that were."""
    ended = (sessions.c.expires_at < now) | (sessions.c.last_seen_at < now - idle)
    return connection.execute(delete(sessions).where(ended)).rowcount
