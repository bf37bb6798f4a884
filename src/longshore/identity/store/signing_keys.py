"""The keys that tokens are signed with."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select

from longshore.identity.tables import signing_keys
from longshore.registry.store.statements import insert_if_absent


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A row: ``private_key`` is encrypted, ``public_key`` a JSON Web Key. It signs from ``signs_from`` until the
    next key does."""

    kid: str
    algorithm: str
    private_key: str
    public_key: dict[str, Any]
    created_at: float
    signs_from: float


def list_signing_keys(connection: Connection) -> list[StoredKey]:
    """All of them; the one that signs last comes last."""
    columns = [column for column in signing_keys.c if column.name != "id"]
    query = select(*columns).order_by(signing_keys.c.signs_from, signing_keys.c.id)
    return [StoredKey(**row._mapping) for row in connection.execute(query)]


def add_signing_key(connection: Connection, key: StoredKey) -> None:
    row = {
        "kid": key.kid,
        "algorithm": key.algorithm,
        "private_key": key.private_key,
        "public_key": key.public_key,
        "created_at": key.created_at,
        "signs_from": key.signs_from,
    }
    insert_if_absent(connection, signing_keys, row)


def remove_signing_keys(connection: Connection, kids: Collection[str]) -> None:
    """What they signed is refused from now on."""
    connection.execute(delete(signing_keys).where(signing_keys.c.kid.in_(kids)))
