"""Repositories."""

from typing import Final

from sqlalchemy import Connection, bindparam, exists, select

from longshore.oci.names import RepositoryName, namespace_of
from longshore.registry.store.statements import insert_if_absent, joined_names
from longshore.registry.tables import manifests, repositories

_REPOSITORY_ID: Final = select(repositories.c.id).where(repositories.c.name == bindparam("name"))


def repository_id(connection: Connection, name: RepositoryName) -> int | None:
    return connection.scalar(_REPOSITORY_ID, {"name": name})


def ensure_repository(connection: Connection, name: RepositoryName, now: float) -> int:
    found = repository_id(connection, name)
    if found is not None:
        return found
    row = {"name": name, "namespace": namespace_of(name), "created_at": now}
    insert_if_absent(connection, repositories, row)
    created = repository_id(connection, name)
    assert created is not None  # noqa: S101 - inserted above, or by whoever was first
    return created


def list_repositories(connection: Connection, last: str, limit: int) -> list[str]:
    """Names after ``last`` of repositories that hold a manifest, in ASCII order."""
    holds_one = exists().where(manifests.c.repository_id == repositories.c.id)
    query = (
        select(repositories.c.name)
        .where(repositories.c.name > last, holds_one)
        .order_by(repositories.c.name)
        .limit(limit)
    )
    return joined_names(connection, query)
