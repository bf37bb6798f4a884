"""Personal access tokens: only their hashes are here."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, delete, func, or_, select, update

from longshore.identity.access_tokens import CHOSEN, MANAGE, MOST, AccessToken
from longshore.identity.errors import Missing, StillNeeded, Taken
from longshore.identity.tables import access_tokens, users
from longshore.registry.store.statements import insert_if_absent

_TOKEN: Select[Any] = select(*access_tokens.c, users.c.name.label("user")).join(
    users, users.c.id == access_tokens.c.user_id
)


def add_access_token(
    connection: Connection,
    user_id: int,
    name: str,
    secret_hash: str,
    now: float,
    *,
    scopes: Sequence[str],
    projects: Sequence[str] = (),
    expires_at: float | None = None,
    networks: Sequence[str] = (),
) -> int:
    """The new one's id. Raises Taken when the user has one of that name, StillNeeded when they have as many
    as anybody may."""
    own = access_tokens.c.user_id == user_id
    count = connection.scalar(select(func.count()).select_from(access_tokens).where(own)) or 0
    if count >= MOST:
        raise StillNeeded(
            f"there are {count} access tokens of this user already: remove some first"
        )
    row = {
        "user_id": user_id,
        "name": name,
        "scopes": list(scopes),
        "projects": list(projects),
        "secret_hash": secret_hash,
        "expires_at": expires_at,
        "networks": list(networks),
        "created_at": now,
        "updated_at": now,
    }
    if not insert_if_absent(connection, access_tokens, row):
        raise Taken(f"there is an access token {name!r} of this user already")
    found: int = connection.execute(
        select(access_tokens.c.id).where(own, access_tokens.c.name == name)
    ).scalar_one()
    return found


def find_access_token(connection: Connection, user: str, id: int) -> AccessToken | None:
    """One of a user's."""
    row = connection.execute(
        _TOKEN.where(access_tokens.c.id == id, users.c.name == user)
    ).one_or_none()
    return None if row is None else _token(row)


def find_access_token_by_hash(
    connection: Connection, secret_hash: str, now: float
) -> AccessToken | None:
    """The one with that secret, or with that former secret if it counts still."""
    former = (access_tokens.c.former_hash == secret_hash) & (access_tokens.c.former_until > now)
    row = connection.execute(
        _TOKEN.where(or_(access_tokens.c.secret_hash == secret_hash, former))
    ).first()
    return None if row is None else _token(row)


def find_cli_secret(connection: Connection, user: str) -> AccessToken | None:
    """The token of a user whose secret was chosen."""
    row = connection.execute(
        _TOKEN.where(users.c.name == user, access_tokens.c.name == CHOSEN)
    ).one_or_none()
    return None if row is None else _token(row)


def set_cli_secret(connection: Connection, user_id: int, secret_hash: str, now: float) -> None:
    """Give a user one, instead of the one until now. Raises StillNeeded when they have as many tokens as
    anybody may."""
    own = (access_tokens.c.user_id == user_id) & (access_tokens.c.name == CHOSEN)
    found = connection.scalar(select(access_tokens.c.id).where(own))
    if found is None:
        add_access_token(connection, user_id, CHOSEN, secret_hash, now, scopes=[MANAGE])
    else:
        rotate_access_token(connection, found, secret_hash, now, former_until=None, expires_at=None)


def list_access_tokens(connection: Connection, user_id: int) -> list[AccessToken]:
    """All of a user's, by name."""
    query = _TOKEN.where(access_tokens.c.user_id == user_id).order_by(access_tokens.c.name)
    return [_token(row) for row in connection.execute(query)]


def rotate_access_token(
    connection: Connection,
    id: int,
    secret_hash: str,
    now: float,
    *,
    former_until: float | None,
    expires_at: float | None,
) -> None:
    """Replace the secret; the one until now counts until ``former_until``, if that is given."""
    former = access_tokens.c.secret_hash if former_until is not None else None
    connection.execute(
        update(access_tokens)
        .where(access_tokens.c.id == id)
        .values(
            secret_hash=secret_hash,
            former_hash=former,
            former_until=former_until,
            expires_at=expires_at,
            updated_at=now,
        )
    )


def touch_access_token(connection: Connection, id: int, now: float, address: str) -> None:
    """Note that somebody logged in with it."""
    statement = update(access_tokens).where(access_tokens.c.id == id)
    connection.execute(statement.values(last_used_at=now, last_used_from=address))


def remove_access_token(connection: Connection, user_id: int, id: int) -> None:
    """End one of a user's. Raises Missing."""
    statement = delete(access_tokens).where(
        access_tokens.c.user_id == user_id, access_tokens.c.id == id
    )
    if connection.execute(statement.returning(access_tokens.c.id)).first() is None:
        raise Missing(f"there is no access token with the id {id} of this user")


def _token(row: Any) -> AccessToken:
    values = dict(row._mapping)
    for name in ("scopes", "projects", "networks"):
        values[name] = tuple(values[name])
    return AccessToken(**values)
