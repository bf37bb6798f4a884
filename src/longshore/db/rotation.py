"""Encrypting every secret in the database again, with the newest key."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, Connection, Table, and_, select, tuple_, update

from longshore.db.encryption import Encryption, Undecipherable
from longshore.db.schema import EncryptedText, every_table

#: Rows of one transaction.
_BATCH: Final = 200


@dataclass(frozen=True, slots=True)
class Rotation:
    """What became of the secrets: how many have the newest key already, were encrypted with it now, and
    which could not be decrypted, as ``table.column``, each as often as that is so."""

    current: int = 0
    changed: int = 0
    undecipherable: tuple[str, ...] = ()

    def __add__(self, other: "Rotation") -> "Rotation":
        return Rotation(
            self.current + other.current,
            self.changed + other.changed,
            self.undecipherable + other.undecipherable,
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of one column: after the primary key ``after``, which is None for the first."""

    table: Table
    column: Column[Any]
    after: tuple[Any, ...] | None = None


def batches() -> Iterator[Batch]:
    """The first batch of every column that holds secrets; :func:`rotate` returns the one after."""
    for table in every_table().sorted_tables:
        for column in table.columns:
            if isinstance(column.type, EncryptedText):
                yield Batch(table, column)


def rotate(
    connection: Connection, encryption: Encryption, batch: Batch
) -> tuple[Rotation, Batch | None]:
    """Encrypt the secrets of ``batch`` with the newest key; what became of them, and what comes next.

    A secret that somebody changes meanwhile stays as they made it.
    """
    table, column = batch.table, batch.column
    key = list(table.primary_key.columns)
    query = select(*key, column.label("stored")).where(column.is_not(None))
    if batch.after is not None:
        query = query.where(tuple_(*key) > tuple_(*batch.after))
    rows = connection.execute(query.order_by(*key).limit(_BATCH)).all()
    found = Rotation()
    for row in rows:
        found += _rotate_one(connection, encryption, batch, tuple(row[:-1]), row.stored)
    last = tuple(rows[-1][:-1]) if len(rows) == _BATCH else None
    return found, None if last is None else Batch(table, column, last)


def _rotate_one(
    connection: Connection,
    encryption: Encryption,
    batch: Batch,
    key: tuple[Any, ...],
    stored: str,
) -> Rotation:
    table, column = batch.table, batch.column
    if not stored or encryption.is_current(stored):
        return Rotation(current=1)
    try:
        text = encryption.decrypt(stored)
    except Undecipherable:
        return Rotation(undecipherable=(f"{table.name}.{column.name}",))
    same = and_(
        *(part == value for part, value in zip(table.primary_key.columns, key, strict=True)),
        column == stored,
    )
    changed = update(table).where(same).values({column.name: encryption.encrypt(text)})
    return Rotation(changed=connection.execute(changed).rowcount)
