"""What one project holds, asked at every push into a limited one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, select, update

from longshore.identity.store.repository_rules import hidden_from_nobody
from longshore.identity.tables import projects
from longshore.oci.names import RepositoryName, namespace_of
from longshore.quotas.model import Defaults, Limit, Resource, Usage
from longshore.quotas.store import tracking
from longshore.quotas.tables import project_quotas, project_usage, upload_reservations
from longshore.registry.store.statements import insert_if_absent
from longshore.registry.tables import blobs, manifests, repositories, repository_blobs, settings

_USED: Final = [project_usage.c[name] for name in ("storage", "reserved", "repositories", "tags")]
_STANDING: Final = (
    select(
        *(
            project_quotas.c[f"{resource}_{kind}"]
            for resource in Resource
            for kind in ("hard", "soft")
        ),
        *_USED,
    )
    .select_from(
        projects.outerjoin(project_quotas, project_quotas.c.project_id == projects.c.id).outerjoin(
            project_usage, project_usage.c.namespace == projects.c.name
        )
    )
    .where(projects.c.name == bindparam("project"))
)
_LOCK: Final = (
    select(*_USED).where(project_usage.c.namespace == bindparam("project")).with_for_update()
)
_RESERVED: Final = select(upload_reservations.c.size).where(
    upload_reservations.c.upload_id == bindparam("upload")
)
_DIFFERENCE: Final = "quota-difference"


@dataclass(frozen=True, slots=True)
class Standing:
    """A project's limits and what it holds."""

    project: str
    limits: dict[Resource, Limit]
    usage: Usage


def standing(connection: Connection, name: RepositoryName, defaults: Defaults) -> Standing | None:
    """How the project of a repository stands; None where nothing limits it."""
    project = namespace_of(name)
    row = connection.execute(_STANDING, {"project": project}).first()
    if row is None:
        return None
    limits = limits_of(row, defaults)
    if all(limit.is_unlimited for limit in limits.values()):
        return None
    return Standing(project, limits, usage_of(row))


def lock(connection: Connection, project: str) -> Usage:
    """What the project holds; nobody else changes it before this transaction ends."""
    row = connection.execute(_LOCK, {"project": project}).first()
    return Usage() if row is None else usage_of(row)


def settle(connection: Connection, found: Standing) -> tuple[Usage, Usage]:
    """What the project held without this transaction, and holds with all that it has written.
    ``found`` is from its beginning. Nobody else changes either before it ends."""
    if connection.dialect.name == "sqlite":
        return found.usage, lock(connection, found.project)
    before = lock(connection, found.project)
    tracking.settle(connection)
    return before, lock(connection, found.project)


def reserved(connection: Connection, upload: str) -> int:
    """The bytes that are kept for the upload."""
    return connection.scalar(_RESERVED, {"upload": upload}) or 0


def limits_of(row: Any, defaults: Defaults) -> dict[Resource, Limit]:
    """Of a row with the columns of project_quotas."""
    return {
        resource: defaults.limit(
            resource, getattr(row, f"{resource}_hard"), getattr(row, f"{resource}_soft")
        )
        for resource in Resource
    }


def usage_of(row: Any) -> Usage:
    """Of a row with the columns of project_usage, which may be null."""
    return Usage(row.storage or 0, row.reserved or 0, row.repositories or 0, row.tags or 0)


def reserve(connection: Connection, upload: str, project: str, size: int) -> None:
    """Keep room for an upload of ``size`` bytes in all. Whoever records what arrived, or ends the
    upload, changes that (``tracking``)."""
    insert_if_absent(connection, project_usage, {"namespace": project})
    if connection.dialect.name == "sqlite":
        row = {"upload_id": upload, "namespace": project, "size": size}
        if not insert_if_absent(connection, upload_reservations, row):
            own = upload_reservations.c.upload_id == upload
            connection.execute(update(upload_reservations).where(own).values(size=size))
        return
    function = getattr(func, f"{tracking.VERSION}_reserve")
    connection.execute(select(function(upload, project, size)))


def largest(connection: Connection, project: str, limit: int) -> Sequence[tuple[str, int]]:
    """The repositories of a project that hold most bytes, of those that are hidden from nobody; what several share
    counts for each."""
    bytes_ = func.coalesce(func.sum(blobs.c.size), 0)
    linked = (
        select(repository_blobs.c.repository_id.label("id"), bytes_.label("size"))
        .join(blobs, blobs.c.digest == repository_blobs.c.digest)
        .join(repositories, repositories.c.id == repository_blobs.c.repository_id)
        .where(repositories.c.namespace == project)
        .group_by(repository_blobs.c.repository_id)
    )
    stored = (
        select(manifests.c.repository_id.label("id"), func.sum(manifests.c.size).label("size"))
        .join(repositories, repositories.c.id == manifests.c.repository_id)
        .where(repositories.c.namespace == project)
        .group_by(manifests.c.repository_id)
    )
    both = linked.union_all(stored).subquery()
    total = func.sum(both.c.size)
    query = (
        select(repositories.c.name, total)
        .join(both, both.c.id == repositories.c.id)
        .where(hidden_from_nobody())
        .group_by(repositories.c.name)
        .order_by(total.desc(), repositories.c.name)
        .limit(limit)
    )
    return [(name, int(size)) for name, size in connection.execute(query)]


def remember_difference(connection: Connection, size: int) -> None:
    """How many bytes the last comparison found to be wrong."""
    if not insert_if_absent(connection, settings, {"name": _DIFFERENCE, "value": size}):
        own = settings.c.name == _DIFFERENCE
        connection.execute(update(settings).where(own).values(value=size))


def remembered_difference(connection: Connection) -> int:
    """The same, asked for; 0 before the first."""
    found = connection.scalar(select(settings.c.value).where(settings.c.name == _DIFFERENCE))
    return int(found or 0)
