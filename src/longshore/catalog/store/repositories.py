"""Repositories, as lists show them."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, exists, func, or_, select, update

from longshore.catalog.model import Reader, Repository
from longshore.catalog.tables import repository_details
from longshore.db.listing import Listing, read_page
from longshore.identity.model import View
from longshore.identity.store.projects import readable, readable_in
from longshore.registry.store.statements import insert_if_absent
from longshore.registry.tables import manifest_references, manifests, repositories, tags

_HOLDS_ONE: ColumnElement[bool] = exists().where(manifests.c.repository_id == repositories.c.id)
#: Of artifacts that lists show: neither attached to another one nor listed by an index.
_SHOWN: Any = (
    select(func.count())
    .select_from(manifests)
    .where(
        manifests.c.repository_id == repositories.c.id,
        manifests.c.subject.is_(None),
        or_(
            ~exists().where(
                manifest_references.c.digest == manifests.c.digest,
                manifest_references.c.repository_id == manifests.c.repository_id,
                manifest_references.c.kind == "child",
            ),
            exists().where(
                tags.c.repository_id == manifests.c.repository_id,
                tags.c.digest == manifests.c.digest,
            ),
        ),
        ~exists().where(
            tags.c.repository_id == manifests.c.repository_id,
            tags.c.digest == manifests.c.digest,
            tags.c.name.like("sha256-%.sig"),
        ),
    )
    .correlate(repositories)
    .scalar_subquery()
)
_PULLS: Any = func.coalesce(repository_details.c.pull_count, 0)
_DESCRIPTION: Any = func.coalesce(repository_details.c.description, "")
_REPOSITORY: Select[Any] = (
    select(
        repositories.c.id,
        repositories.c.name,
        repositories.c.namespace,
        repositories.c.created_at,
        _PULLS.label("pulls"),
        _DESCRIPTION.label("description"),
        func.coalesce(repository_details.c.updated_at, 0).label("updated_at"),
    )
    .select_from(
        repositories.outerjoin(
            repository_details, repository_details.c.repository_id == repositories.c.id
        )
    )
    .where(_HOLDS_ONE)
)


def page_of_repositories(
    connection: Connection,
    listing: Listing,
    projects: Collection[str],
    *,
    reader: Reader | None = None,
) -> tuple[list[Repository], int]:
    """A page of the repositories of ``projects`` that hold something, newest first unless the listing says
    otherwise, and how many there are; only what ``reader`` may pull. Raises UnusableValue."""
    query = _REPOSITORY.where(repositories.c.namespace.in_(projects))
    if reader is not None:
        query = query.where(readable_in(connection, reader.view, listable=reader.listable))
    return _page(connection, query, listing)


def page_of_visible_repositories(
    connection: Connection, listing: Listing, view: View
) -> tuple[list[Repository], int]:
    """The same, of what somebody with ``view`` may list and pull."""
    return _page(connection, _REPOSITORY.where(readable(connection, view)), listing)


def _page(
    connection: Connection, query: Select[Any], listing: Listing
) -> tuple[list[Repository], int]:
    columns = {
        "name": repositories.c.name,
        "id": repositories.c.id,
        "repository_id": repositories.c.id,
        "creation_time": repositories.c.created_at,
        "update_time": func.coalesce(repository_details.c.updated_at, 0),
        "pull_count": _PULLS,
        "description": _DESCRIPTION,
    }
    default = [repositories.c.created_at.desc(), repositories.c.id.desc()]
    rows, total = read_page(connection, query, columns, listing, default, once=True)
    counts = _artifacts(connection, [row.id for row in rows])
    return [_repository(row, counts) for row in rows], total


def find_repository(connection: Connection, name: str) -> Repository | None:
    """One that holds something."""
    row = connection.execute(_REPOSITORY.where(repositories.c.name == name)).one_or_none()
    return None if row is None else _repository(row, _artifacts(connection, [row.id]))


def describe(connection: Connection, repository: int, description: str, now: float) -> None:
    """Set the description."""
    values = {"description": description, "updated_at": now}
    row = {"repository_id": repository, **values}
    if not insert_if_absent(connection, repository_details, row):
        own = repository_details.c.repository_id == repository
        connection.execute(update(repository_details).where(own).values(**values))


def forget(connection: Connection, repository: int) -> None:
    """The repository is emptied: another of its name begins anew."""
    own = repository_details.c.repository_id == repository
    connection.execute(delete(repository_details).where(own))


def _artifacts(connection: Connection, ids: Collection[int]) -> dict[int, int]:
    """Counted for the page only: for all of them it would take as long as there are artifacts."""
    query = select(repositories.c.id, _SHOWN).where(repositories.c.id.in_(ids))
    return {row[0]: row[1] for row in connection.execute(query)}


def _repository(row: Any, counts: dict[int, int]) -> Repository:
    return Repository(
        row.id,
        row.name,
        row.namespace,
        row.created_at,
        row.updated_at or row.created_at,
        counts.get(row.id, 0),
        row.description,
        row.pulls,
    )
