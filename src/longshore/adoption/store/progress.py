"""How far an adoption is, and what it could not take over."""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

from sqlalchemy import Connection, Insert, Table, exists, func, select, update

from longshore.adoption.model import Kind, Trouble
from longshore.adoption.tables import adoption_troubles, linked_repositories
from longshore.oci.names import RepositoryName
from longshore.registry import store
from longshore.registry.model import AdoptionState


def add_linked(
    connection: Connection, names: Sequence[str], indexed_at: float | None = None
) -> None:
    """Remember that storage has links of these repositories; what is known of one stays."""
    rows = [{"name": name, "indexed_at": indexed_at} for name in names]
    insert_all_absent(connection, linked_repositories, rows)


def waiting(connection: Connection, last: str, limit: int) -> list[str]:
    """Repositories after ``last``, in ASCII order, of which the rows do not say all yet."""
    query = (
        select(linked_repositories.c.name)
        .where(linked_repositories.c.indexed_at.is_(None), linked_repositories.c.name > last)
        .order_by(linked_repositories.c.name)
        .limit(limit)
    )
    return list(connection.scalars(query))


def is_waiting(connection: Connection, name: RepositoryName, *, lock: bool = False) -> bool:
    """Whether storage knows more of the repository than the rows do. ``lock``: nobody changes that
    before this transaction ends."""
    query = select(linked_repositories.c.name).where(
        linked_repositories.c.name == name, linked_repositories.c.indexed_at.is_(None)
    )
    return connection.scalar(query.with_for_update() if lock else query) is not None


def finish_repository(connection: Connection, name: RepositoryName, now: float) -> None:
    """From now on the rows alone say what the repository holds."""
    connection.execute(
        update(linked_repositories)
        .where(linked_repositories.c.name == name, linked_repositories.c.indexed_at.is_(None))
        .values(indexed_at=now)
    )


def finish_adoption(connection: Connection) -> bool:
    """End the adoption if no repository waits; whether it is ended."""
    if connection.scalar(select(exists().where(linked_repositories.c.indexed_at.is_(None)))):
        return False
    store.set_adoption_state(connection, AdoptionState.FINISHED)
    return True


def counts(connection: Connection) -> tuple[int, int]:
    """How many repositories the rows say all of, and how many there are."""
    row = connection.execute(
        select(func.count(linked_repositories.c.indexed_at), func.count(linked_repositories.c.name))
    ).one()
    return row[0], row[1]


def note_troubles(connection: Connection, troubles: Sequence[Trouble]) -> None:
    """Remember what is broken, each path once."""
    rows = [
        {
            "path": trouble.path,
            "repository": trouble.repository,
            "kind": trouble.kind.value,
            "reason": trouble.reason[:1000].replace("\0", ""),
        }
        for trouble in troubles
    ]
    insert_all_absent(connection, adoption_troubles, rows)


def count_troubles(connection: Connection) -> int:
    return connection.scalar(select(func.count()).select_from(adoption_troubles)) or 0


def list_troubles(connection: Connection, last: str, limit: int) -> list[Trouble]:
    """Troubles in order of their paths, after ``last``."""
    query = (
        select(adoption_troubles)
        .where(adoption_troubles.c.path > last)
        .order_by(adoption_troubles.c.path)
        .limit(limit)
    )
    return [
        Trouble(Kind(row.kind), row.repository, row.path, row.reason)
        for row in connection.execute(query)
    ]


def insert_all_absent(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert those rows whose key no row has."""
    if rows:
        connection.execute(_if_absent(connection.dialect.name, table), rows)


@cache
def _if_absent(dialect: str, table: Table) -> Insert:
    insertion = import_module(f"sqlalchemy.dialects.{dialect}").insert(table)
    statement: Insert = insertion.on_conflict_do_nothing()
    return statement
