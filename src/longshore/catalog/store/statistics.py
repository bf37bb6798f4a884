"""How much there is."""

from typing import Any

from sqlalchemy import Connection, Select, func, select

from longshore.catalog.model import Statistics
from longshore.identity.model import ANYWHERE, View
from longshore.identity.store.projects import readable, visible_projects
from longshore.quotas.tables import project_repositories, project_usage
from longshore.registry.tables import blobs, repositories


def statistics(connection: Connection, view: View) -> Statistics:
    """Of the projects in ``view``; for who reads everything, also of the bytes that blobs take, each counted
    once."""
    everything = view.reads == ANYWHERE
    seen = visible_projects(connection, view).subquery()
    by_publicity = select(seen.c.public, func.count()).group_by(seen.c.public)
    projects: dict[bool, int] = {bool(row[0]): row[1] for row in connection.execute(by_publicity)}
    found, whole = readable(connection, view)
    query: Select[Any] = (
        select(seen.c.public, func.count())
        .join(repositories, repositories.c.namespace == seen.c.name)
        .join(project_repositories, project_repositories.c.repository_id == repositories.c.id)
        .where(project_repositories.c.manifests > 0, found)
        .group_by(seen.c.public)
    )
    if whole is not None:
        read = visible_projects(connection, view).where(whole).subquery()
        query = (
            select(read.c.public, func.sum(project_usage.c.repositories))
            .join(project_usage, project_usage.c.namespace == read.c.name)
            .group_by(read.c.public)
        )
    held: dict[bool, int] = {bool(row[0]): int(row[1]) for row in connection.execute(query)}
    size = connection.scalar(select(func.coalesce(func.sum(blobs.c.size), 0))) if everything else 0
    return Statistics(
        projects.get(False, 0),
        projects.get(True, 0),
        held.get(False, 0),
        held.get(True, 0),
        int(size or 0),
    )
