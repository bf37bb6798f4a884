"""The totals once more, from the rows alone."""

from typing import Any, Final

from sqlalchemy import (
    Connection,
    Select,
    delete,
    func,
    insert,
    literal_column,
    select,
    text,
    union_all,
)

from longshore.oci.names import namespace_of
from longshore.quotas.model import Difference, Usage
from longshore.quotas.store.usage import usage_of
from longshore.quotas.tables import (
    project_blobs,
    project_repositories,
    project_usage,
    upload_reservations,
)
from longshore.registry.tables import (
    blobs,
    manifests,
    repositories,
    repository_blobs,
    tags,
    uploads,
)

#: Whoever changes these waits while totals are counted. In the order in which pushes take them.
_COUNTED: Final = ("blobs", "repositories", "repository_blobs", "manifests", "tags", "uploads")


def hold_still(connection: Connection) -> None:
    """Let nobody change what is counted before the transaction ends. SQLite has one writer anyway."""
    if connection.dialect.name != "sqlite":
        connection.execute(text(f"LOCK TABLE {', '.join(_COUNTED)} IN SHARE ROW EXCLUSIVE MODE"))


def recount(connection: Connection) -> None:
    """Make the totals anew."""
    hold_still(connection)
    for table in (project_usage, project_blobs, project_repositories):
        connection.execute(delete(table))
    connection.execute(
        delete(upload_reservations).where(
            upload_reservations.c.upload_id.not_in(select(uploads.c.id))
        )
    )
    # Digests after the totals: on SQLite the triggers add what is inserted.
    each = _manifests().subquery()
    connection.execute(
        insert(project_repositories).from_select(
            ["repository_id", "namespace", "manifests"], select(each)
        )
    )
    held = _digests().subquery()
    connection.execute(
        insert(project_blobs).from_select(["namespace", "digest", "size", "holders"], select(held))
    )
    connection.execute(delete(project_usage))
    rows = [
        {
            "namespace": project,
            "storage": usage.storage,
            "reserved": usage.reserved,
            "repositories": usage.repositories,
            "tags": usage.tags,
        }
        for project, usage in count(connection).items()
    ]
    if rows:
        connection.execute(insert(project_usage), rows)


def count(connection: Connection) -> dict[str, Usage]:
    """What each project holds, from the rows of the data plane."""
    held = _digests().subquery()
    storage = _sums(connection, select(held.c.namespace, func.sum(held.c.size)))
    each = _manifests().subquery()
    filled = select(each.c.namespace, func.count()).where(each.c.manifests > 0)
    repositories_ = _sums(connection, filled)
    tagged = select(repositories.c.namespace, func.count()).join(
        tags, tags.c.repository_id == repositories.c.id
    )
    tags_ = _sums(connection, tagged)
    reserved: dict[str, int] = {}
    kept = select(uploads.c.repository, upload_reservations.c.size).join(
        upload_reservations, upload_reservations.c.upload_id == uploads.c.id
    )
    for name, size in connection.execute(kept):
        project = namespace_of(name)
        reserved[project] = reserved.get(project, 0) + size
    return {
        project: Usage(
            storage.get(project, 0),
            reserved.get(project, 0),
            repositories_.get(project, 0),
            tags_.get(project, 0),
        )
        for project in sorted({*storage, *repositories_, *tags_, *reserved})
    }


def snapshot(connection: Connection) -> None:
    """Read what follows as of one moment. Before the first statement; SQLite does it anyway."""
    if connection.dialect.name != "sqlite":
        connection.execution_options(isolation_level="REPEATABLE READ")


def compare(connection: Connection) -> list[Difference]:
    """Every project whose totals are not what its rows say, by name: of one moment (:func:`snapshot`) or
    with rows held still."""
    counted = count(connection)
    kept = {row.namespace: usage_of(row) for row in connection.execute(select(*project_usage.c))}
    return [
        Difference(project, kept.get(project, Usage()), counted.get(project, Usage()))
        for project in sorted({*kept, *counted})
        if kept.get(project, Usage()) != counted.get(project, Usage())
    ]


def _digests() -> Select[Any]:
    """(namespace, digest, size, holders) of each digest that a project holds."""
    linked = (
        select(
            repositories.c.namespace.label("namespace"),
            repository_blobs.c.digest.label("digest"),
            blobs.c.size.label("size"),
        )
        .join(repository_blobs, repository_blobs.c.repository_id == repositories.c.id)
        .join(blobs, blobs.c.digest == repository_blobs.c.digest)
    )
    stored = select(repositories.c.namespace, manifests.c.digest, manifests.c.size).join(
        manifests, manifests.c.repository_id == repositories.c.id
    )
    places = union_all(linked, stored).subquery()
    return select(
        places.c.namespace,
        places.c.digest,
        func.max(places.c.size).label("size"),
        func.count().label("holders"),
    ).group_by(places.c.namespace, places.c.digest)


def _manifests() -> Select[Any]:
    """(repository, namespace, number of manifests) of each repository."""
    return (
        select(
            repositories.c.id.label("repository_id"),
            repositories.c.namespace.label("namespace"),
            func.count(manifests.c.id).label("manifests"),
        )
        .outerjoin(manifests, manifests.c.repository_id == repositories.c.id)
        .group_by(repositories.c.id, repositories.c.namespace)
    )


def _sums(connection: Connection, query: Select[Any]) -> dict[str, int]:
    found = connection.execute(query.group_by(literal_column("1")))
    return {project: int(total) for project, total in found}
