"""Limits of projects, as they are set and listed."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, func, select, update

from longshore.db.listing import Large, Listing, read_page
from longshore.identity.tables import projects, users
from longshore.quotas.model import Defaults, NoSuchProject, Quota, Resource, checked_limit
from longshore.quotas.store.usage import limits_of, usage_of
from longshore.quotas.tables import project_quotas, project_usage
from longshore.registry.store.statements import insert_if_absent

_QUOTA: Final = select(
    projects.c.id,
    projects.c.name,
    projects.c.created_at.label("project_created_at"),
    users.c.name.label("owner"),
    *(column for column in project_quotas.c if column.name != "project_id"),
    *(column for column in project_usage.c if column.name != "namespace"),
).select_from(
    projects.outerjoin(users, users.c.id == projects.c.owner_id)
    .outerjoin(project_quotas, project_quotas.c.project_id == projects.c.id)
    .outerjoin(project_usage, project_usage.c.namespace == projects.c.name)
)


def list_quotas(connection: Connection, defaults: Defaults) -> list[Quota]:
    """Of every project, by name."""
    rows = connection.execute(_QUOTA.order_by(projects.c.name))
    return [_quota(row, defaults) for row in rows]


def page_of_quotas(
    connection: Connection, listing: Listing, defaults: Defaults
) -> tuple[list[Quota], int]:
    """A page of them, by project's id unless the listing says otherwise, and how many there are.
    Raises UnusableValue."""
    hard = func.coalesce(
        project_quotas.c.storage_hard, defaults.limit(Resource.STORAGE, None, None).hard
    )
    columns = {
        "id": projects.c.id,
        "reference_id": projects.c.id,
        "hard.storage": hard,
        "used.storage": func.coalesce(project_usage.c.storage, 0),
        "creation_time": projects.c.created_at,
        "update_time": project_quotas.c.updated_at,
    }
    large = Large(_QUOTA, projects.c.id)
    rows, total = read_page(connection, _QUOTA, columns, listing, [projects.c.id], large)
    return [_quota(row, defaults) for row in rows], total


def find_quota(
    connection: Connection,
    defaults: Defaults,
    *,
    id: int | None = None,
    project: str | None = None,
) -> Quota:
    """By the project's id or name. Raises NoSuchProject."""
    condition = projects.c.name == project if id is None else projects.c.id == id
    row = connection.execute(_QUOTA.where(condition)).one_or_none()
    if row is None:
        asked = f"named {project!r}" if id is None else f"with the id {id}"
        raise NoSuchProject(f"there is no project {asked}: see `longshore project list`")
    return _quota(row, defaults)


def set_limits(
    connection: Connection,
    now: float,
    *,
    id: int | None = None,
    project: str | None = None,
    hard: Mapping[Resource, int | None] | None = None,
    soft: Mapping[Resource, int | None] | None = None,
) -> None:
    """Set the limits that are named; None: the configuration's again. A limit below what is used is
    allowed: what is there stays, and nothing comes.

    Raises NoSuchProject, QuotaError for what is no limit.
    """
    values: dict[str, Any] = {}
    for kind, limits in (("hard", hard), ("soft", soft)):
        for resource, value in (limits or {}).items():
            values[f"{resource}_{kind}"] = None if value is None else checked_limit(resource, value)
    condition = projects.c.name == project if id is None else projects.c.id == id
    found = connection.scalar(select(projects.c.id).where(condition))
    if found is None:
        asked = f"named {project!r}" if id is None else f"with the id {id}"
        raise NoSuchProject(f"there is no project {asked}: see `longshore project list`")
    row = {"project_id": found, "created_at": now, "updated_at": now}
    insert_if_absent(connection, project_quotas, row)
    own = project_quotas.c.project_id == found
    connection.execute(update(project_quotas).where(own).values(**values, updated_at=now))


def _quota(row: Any, defaults: Defaults) -> Quota:
    created = row.project_created_at
    return Quota(
        row.id,
        row.name,
        row.owner or "",
        limits_of(row, defaults),
        usage_of(row),
        created,
        row.updated_at or created,
    )
