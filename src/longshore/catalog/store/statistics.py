"""How much there is."""

from typing import Any

from sqlalchemy import Connection, Select, exists, func, select

from longshore.catalog.model import Statistics
from longshore.identity.model import ANYWHERE, View
from longshore.identity.store.projects import readable, visible_projects
from longshore.registry.tables import blobs, manifests, repositories


def statistics(connection: Connection, view: View) -> Statistics:
    """Of the projects in ``view``; for who reads everything, also of the bytes that blobs take, each counted
    once."""
    everything = view.reads == ANYWHERE
    seen = visible_projects(view).subquery()
    by_publicity = select(seen.c.public, func.count()).group_by(seen.c.public)
    projects: dict[bool, int] = {bool(row[0]): row[1] for row in connection.execute(by_publicity)}
    holds_one = exists().where(manifests.c.repository_id == repositories.c.id)
    query: Select[Any] = (
        select(seen.c.public, func.count())
        .join(repositories, repositories.c.namespace == seen.c.name)
        .where(holds_one, readable(connection, view))
        .group_by(seen.c.public)
    )
    held: dict[bool, int] = {bool(row[0]): row[1] for row in connection.execute(query)}
    size = connection.scalar(select(func.coalesce(func.sum(blobs.c.size), 0))) if everything else 0
    return Statistics(
        projects.get(False, 0),
        projects.get(True, 0),
        held.get(False, 0),
        held.get(True, 0),
        int(size or 0),
    )
