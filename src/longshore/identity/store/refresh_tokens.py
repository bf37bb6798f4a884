"""Refresh tokens: only their hashes are here."""

from typing import Final

from sqlalchemy import Connection, delete, func, insert, select, update

from longshore.identity.model import RefreshToken
from longshore.identity.tables import refresh_tokens, users

#: Refresh tokens that one user may have; those that were used longest ago go first.
MOST: Final = 100

_COLUMNS: Final = (
    refresh_tokens.c.id,
    users.c.name.label("user"),
    refresh_tokens.c.seal,
    refresh_tokens.c.service,
    refresh_tokens.c.client_id,
    refresh_tokens.c.address,
    refresh_tokens.c.created_at,
    refresh_tokens.c.last_used_at,
    refresh_tokens.c.expires_at,
)
_QUERY: Final = select(*_COLUMNS).join(users, users.c.id == refresh_tokens.c.user_id)


def add_refresh_token(
    connection: Connection,
    user_id: int,
    token_hash: str,
    *,
    seal: str,
    service: str,
    client_id: str,
    address: str,
    now: float,
    expires_at: float,
) -> None:
    """One more for a user, who keeps at most MOST of them."""
    mine = refresh_tokens.c.user_id == user_id
    order = (refresh_tokens.c.last_used_at.desc(), refresh_tokens.c.id.desc())
    kept = select(refresh_tokens.c.id).where(mine).order_by(*order).limit(MOST - 1)
    count = select(func.count()).select_from(refresh_tokens).where(mine)
    if (connection.scalar(count) or 0) >= MOST:
        # A list of its own: neither database deletes by a limited subquery of the same table alike.
        ids = list(connection.scalars(kept))
        connection.execute(delete(refresh_tokens).where(mine, refresh_tokens.c.id.not_in(ids)))
    row = {
        "user_id": user_id,
        "token_hash": token_hash,
        "seal": seal,
        "service": service,
        "client_id": client_id,
        "address": address,
        "created_at": now,
        "last_used_at": now,
        "expires_at": expires_at,
    }
    connection.execute(insert(refresh_tokens).values(row))


def find_refresh_token(connection: Connection, token_hash: str) -> RefreshToken | None:
    """The one with that hash; it may have expired."""
    row = connection.execute(_QUERY.where(refresh_tokens.c.token_hash == token_hash)).one_or_none()
    return None if row is None else RefreshToken(**row._mapping)


def touch_refresh_token(connection: Connection, id: int, now: float, expires_at: float) -> None:
    """It was used, and lasts until ``expires_at`` now."""
    found = update(refresh_tokens).where(refresh_tokens.c.id == id)
    connection.execute(found.values(last_used_at=now, expires_at=expires_at))


def list_refresh_tokens(connection: Connection, user_id: int) -> list[RefreshToken]:
    """Those of one user, the last used first."""
    query = _QUERY.where(refresh_tokens.c.user_id == user_id)
    order = (refresh_tokens.c.last_used_at.desc(), refresh_tokens.c.id.desc())
    return [RefreshToken(**row._mapping) for row in connection.execute(query.order_by(*order))]


def remove_refresh_token(connection: Connection, user_id: int, id: int) -> bool:
    """End one of a user's; whether there was one with that id, and theirs."""
    found = delete(refresh_tokens).where(
        refresh_tokens.c.user_id == user_id, refresh_tokens.c.id == id
    )
    return bool(connection.execute(found).rowcount)


def remove_refresh_tokens(connection: Connection, user_id: int) -> int:
    """End all of a user's; how many that were."""
    found = delete(refresh_tokens).where(refresh_tokens.c.user_id == user_id)
    return connection.execute(found).rowcount


def remove_expired_refresh_tokens(connection: Connection, now: float) -> int:
    """Forget those that have ended; how many that were."""
    return connection.execute(
        delete(refresh_tokens).where(refresh_tokens.c.expires_at < now)
    ).rowcount
