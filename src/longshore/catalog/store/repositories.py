"""Repositories, as lists show them."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, exists, func, select, update

from longshore.catalog.model import Reader, Repository
from longshore.catalog.store.shown import inside_some, not_parts, not_signatures
from longshore.catalog.tables import repository_details
from longshore.db.listing import Large, Listing, read_page
from longshore.identity.model import ANYWHERE, View
from longshore.identity.store.projects import readable, readable_in
from longshore.identity.tables import projects as all_projects
from longshore.quotas.tables import project_repositories, project_usage
from longshore.registry.store.statements import insert_if_absent
from longshore.registry.tables import manifests, repositories

_HOLDS_ONE: ColumnElement[bool] = exists().where(manifests.c.repository_id == repositories.c.id)
#: The same by what triggers count (longshore.quotas.store.tracking), which lists ask: of all repositories at once.
_IS_FILLED: Any = and_(
    project_repositories.c.repository_id == repositories.c.id, project_repositories.c.manifests > 0
)
_PULLS: Any = func.coalesce(repository_details.c.pull_count, 0)
_DESCRIPTION: Any = func.coalesce(repository_details.c.description, "")
_REPOSITORY: Select[Any] = select(
    repositories.c.id,
    repositories.c.name,
    repositories.c.namespace,
    repositories.c.created_at,
    _PULLS.label("pulls"),
    _DESCRIPTION.label("description"),
    func.coalesce(repository_details.c.updated_at, 0).label("updated_at"),
).select_from(
    repositories.outerjoin(
        repository_details, repository_details.c.repository_id == repositories.c.id
    )
)
_FILLED: Select[Any] = _REPOSITORY.join(project_repositories, _IS_FILLED)
#: By project, too; what is left of one that went is in none.
_HOW_MANY: Select[Any] = select(func.sum(project_usage.c.repositories))
_HOW_MANY_OF_PROJECTS: Select[Any] = _HOW_MANY.join_from(
    all_projects, project_usage, project_usage.c.namespace == all_projects.c.name
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
    query = _FILLED.where(repositories.c.namespace.in_(projects))
    if reader is not None:
        query = query.where(readable_in(connection, reader.view, listable=reader.listable))
    return _page(connection, query, listing)


def page_of_visible_repositories(
    connection: Connection, listing: Listing, view: View
) -> tuple[list[Repository], int]:
    """The same, of what somebody with ``view`` may list and pull."""
    found, whole = readable(connection, view)
    total = None
    if view.reads == ANYWHERE:
        total = _HOW_MANY
    elif whole is not None:
        total = _HOW_MANY_OF_PROJECTS.where(whole)
    return _page(connection, _FILLED.where(found), listing, total)


def _page(
    connection: Connection, query: Select[Any], listing: Listing, total: Select[Any] | None = None
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
    large = Large(_REPOSITORY, repositories.c.id, total)
    rows, count = read_page(connection, query, columns, listing, default, large)
    counts = _artifacts(connection, [row.id for row in rows])
    return [_repository(row, counts) for row in rows], count


def find_repository(
    connection: Connection, name: str, *, counted: bool = True
) -> Repository | None:
    """One that holds something; the number of its artifacts is right if they are ``counted``, which takes time
    where there are many."""
    query = _REPOSITORY.where(repositories.c.name == name, _HOLDS_ONE)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return _repository(row, _artifacts(connection, [row.id]) if counted else {})


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


def _artifacts(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    """How many artifacts lists show of each. Counted for the page only: for all of them it would take as long as there
    are artifacts."""
    inside = inside_some(ids)
    query = (
        select(manifests.c.repository_id, func.count())
        .where(
            inside(manifests.c.repository_id),
            manifests.c.subject.is_(None),
            not_signatures(inside),
            not_parts(inside),
        )
        .group_by(manifests.c.repository_id)
    )
    return {row[0]: row[1] for row in connection.execute(query)} if ids else {}


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
