"""What the rows say of one digest."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, Table, func, select

from longshore.registry.tables import (
    blobs,
    manifest_references,
    manifests,
    repositories,
    repository_blobs,
    tags,
    uploads,
)


@dataclass(frozen=True, slots=True)
class BlobRow:
    size: int
    state: str
    condemned_at: float | None


@dataclass(frozen=True, slots=True)
class Place:
    """A repository that has the digest, as a link to a blob or as a manifest."""

    repository: int
    name: str
    condemned_at: float | None


def blob_row(connection: Connection, digest: str) -> BlobRow | None:
    query = select(blobs.c.size, blobs.c.state, blobs.c.condemned_at)
    row = connection.execute(query.where(blobs.c.digest == digest)).first()
    return None if row is None else BlobRow(row.size, row.state, row.condemned_at)


def links_of(connection: Connection, digest: str, limit: int) -> tuple[list[Place], int]:
    """Repositories that may read the blob, at most ``limit``, and how many there are."""
    return _places(connection, repository_blobs, digest, limit)


def manifests_of(connection: Connection, digest: str, limit: int) -> tuple[list[Place], int]:
    """Repositories that have the manifest, at most ``limit``, and how many there are."""
    return _places(connection, manifests, digest, limit)


def _places(
    connection: Connection, table: Table, digest: str, limit: int
) -> tuple[list[Place], int]:
    own = table.c.digest == digest
    query = (
        select(repositories.c.id, repositories.c.name, table.c.condemned_at)
        .join(table, table.c.repository_id == repositories.c.id)
        .where(own)
        .order_by(repositories.c.name)
        .limit(limit)
    )
    count = connection.scalar(select(func.count()).select_from(table).where(own)) or 0
    rows = connection.execute(query)
    return [Place(row.id, row.name, row.condemned_at) for row in rows], count


def referring(connection: Connection, repository: int, digest: str, limit: int) -> list[str]:
    """Digests of the repository's manifests that refer to the digest."""
    query = (
        select(manifests.c.digest)
        .join(manifest_references, manifest_references.c.manifest_id == manifests.c.id)
        .where(
            manifest_references.c.digest == digest,
            manifest_references.c.repository_id == repository,
        )
        .order_by(manifests.c.digest)
    )
    return list(connection.scalars(query.limit(limit)))


def tags_on(connection: Connection, repository: int, digest: str, limit: int) -> list[str]:
    query = select(tags.c.name).where(tags.c.repository_id == repository, tags.c.digest == digest)
    return list(connection.scalars(query.order_by(tags.c.name).limit(limit)))


def subject_of(connection: Connection, repository: int, digest: str) -> str | None:
    """The manifest's subject, if the repository has it."""
    subject = manifests.alias("subject")
    query = (
        select(subject.c.digest)
        .join(
            manifests,
            (manifests.c.subject == subject.c.digest)
            & (manifests.c.repository_id == subject.c.repository_id),
        )
        .where(manifests.c.repository_id == repository, manifests.c.digest == digest)
    )
    return connection.scalar(query)


def has_uploads(connection: Connection, names: Collection[str]) -> set[str]:
    """Those of the repositories in which an upload is under way."""
    query = select(uploads.c.repository).where(uploads.c.repository.in_(names)).distinct()
    return set(connection.scalars(query))
