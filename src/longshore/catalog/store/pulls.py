"""What was pulled, and what an image says of itself."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, exists, insert, select, update

from longshore.catalog.tables import artifact_details, repository_details, tag_pulls
from longshore.registry.store.statements import insert_if_absent
from longshore.registry.tables import manifests, repositories, tags


def count_pulls(
    connection: Connection,
    repository: str,
    pulls: int,
    artifacts: Mapping[str, float],
    named: Mapping[str, float],
) -> None:
    """``pulls`` of a repository: digest -> when, tag -> when. What has gone since is passed over."""
    id = connection.scalar(select(repositories.c.id).where(repositories.c.name == repository))
    if id is None:
        return
    insert_if_absent(connection, repository_details, {"repository_id": id})
    connection.execute(
        update(repository_details)
        .where(repository_details.c.repository_id == id)
        .values(pull_count=repository_details.c.pull_count + pulls)
    )
    query = select(manifests.c.digest, manifests.c.id).where(
        manifests.c.repository_id == id, manifests.c.digest.in_(artifacts)
    )
    for digest, manifest in connection.execute(query).all():
        _set(connection, manifest, pulled_at=artifacts[digest])
    for tag, at in named.items():
        own = (tag_pulls.c.repository_id == id) & (tag_pulls.c.name == tag)
        if connection.execute(update(tag_pulls).where(own).values(pulled_at=at)).rowcount:
            continue
        there = exists().where(tags.c.repository_id == id, tags.c.name == tag)
        if connection.scalar(select(there)):
            row = {"repository_id": id, "name": tag, "pulled_at": at}
            connection.execute(insert(tag_pulls), row)


def remember_extra(connection: Connection, extras: Mapping[int, Mapping[str, Any]]) -> None:
    """Artifact -> what its configuration says."""
    there = select(manifests.c.id).where(manifests.c.id.in_(extras))
    for manifest in connection.scalars(there).all():
        _set(connection, manifest, extra=dict(extras[manifest]))


def _set(connection: Connection, manifest: int, **values: Any) -> None:
    row = {"manifest_id": manifest, **values}
    if not insert_if_absent(connection, artifact_details, row):
        own = artifact_details.c.manifest_id == manifest
        connection.execute(update(artifact_details).where(own).values(**values))
