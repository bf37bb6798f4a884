"""The SQL of garbage collection, over the tables of the data plane."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, Select, delete, exists, select, union

from longshore.oci.digest import Digest
from longshore.registry.tables import (
    blobs,
    manifest_references,
    manifests,
    repositories,
    repository_blobs,
    spare_copies,
    tags,
)
from longshore.storage.backends import DEFAULT

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Node:
    """A manifest as the graph sees it."""

    id: int
    digest: str
    subject: str | None
    tagged: bool


def repositories_in_order(connection: Connection) -> list[tuple[int, str]]:
    query = select(repositories.c.id, repositories.c.name).order_by(repositories.c.name)
    return [(row.id, row.name) for row in connection.execute(query)]


def nodes(connection: Connection, repository: int) -> list[Node]:
    """The manifests of a repository, in order of their digests."""
    is_tagged = exists().where(
        tags.c.repository_id == manifests.c.repository_id, tags.c.digest == manifests.c.digest
    )
    query = (
        select(manifests.c.id, manifests.c.digest, manifests.c.subject, is_tagged.label("tagged"))
        .where(manifests.c.repository_id == repository)
        .order_by(manifests.c.digest)
    )
    return [
        Node(row.id, row.digest, row.subject, bool(row.tagged)) for row in connection.execute(query)
    ]


def edges(connection: Connection, repository: int) -> Iterator[tuple[int, str]]:
    """Which manifest (by id) refers to which digest, in one repository."""
    query = (
        select(manifest_references.c.manifest_id, manifest_references.c.digest)
        .join(manifests, manifests.c.id == manifest_references.c.manifest_id)
        .where(manifests.c.repository_id == repository)
    )
    for row in connection.execute(query):
        yield row.manifest_id, row.digest


def delete_manifests(connection: Connection, ids: Collection[int]) -> None:
    """Remove manifests that no tag points at; their references go with them."""
    ordered = sorted(ids)
    for start in range(0, len(ordered), _BATCH):
        some = ordered[start : start + _BATCH]
        connection.execute(
            delete(manifest_references).where(manifest_references.c.manifest_id.in_(some))
        )
        connection.execute(delete(manifests).where(manifests.c.id.in_(some)))


def links(connection: Connection, repository: int) -> list[Digest]:
    """Blobs that the repository may read."""
    query = (
        select(repository_blobs.c.digest)
        .where(repository_blobs.c.repository_id == repository)
        .order_by(repository_blobs.c.digest)
    )
    return [Digest(digest) for digest in connection.scalars(query)]


def delete_links(connection: Connection, repository: int, digests: Collection[Digest]) -> None:
    ordered = sorted(digests)
    for start in range(0, len(ordered), _BATCH):
        connection.execute(
            delete(repository_blobs).where(
                repository_blobs.c.repository_id == repository,
                repository_blobs.c.digest.in_(ordered[start : start + _BATCH]),
            )
        )


def delete_unlinked_blobs(connection: Connection) -> None:
    """Forget blobs that no repository may read any more. Rows that say where the bytes of a manifest
    lie stay as long as it."""
    linked = exists().where(repository_blobs.c.digest == blobs.c.digest)
    manifest = exists().where(manifests.c.digest == blobs.c.digest)
    connection.execute(delete(blobs).where(~linked, ~manifest))


def elsewhere(connection: Connection) -> dict[str, str]:
    """The backends of the bytes that do not lie in the default one."""
    query = select(blobs.c.digest, blobs.c.backend).where(blobs.c.backend != DEFAULT)
    return {row.digest: row.backend for row in connection.execute(query)}


def is_read(connection: Connection, digest: str, backend: str) -> bool:
    """Whether something needs the bytes that the backend has under the digest."""
    found = connection.scalar(select(blobs.c.backend).where(blobs.c.digest == digest))
    return (found or DEFAULT) == backend and bool(in_use(connection, [digest]))


def forget_spare_copies(connection: Connection) -> None:
    """Every copy that is not read has been removed."""
    connection.execute(delete(spare_copies))


def in_use(connection: Connection, digests: Collection[str]) -> set[str]:
    """Those of ``digests`` whose bytes something still needs: a linked blob or a manifest."""
    wanted = sorted(digests)
    found: set[str] = set()
    for start in range(0, len(wanted), _BATCH):
        some = wanted[start : start + _BATCH]
        linked: Select[tuple[str]] = select(repository_blobs.c.digest).where(
            repository_blobs.c.digest.in_(some)
        )
        stored = select(manifests.c.digest).where(manifests.c.digest.in_(some))
        found.update(connection.scalars(union(linked, stored)))
    return found
