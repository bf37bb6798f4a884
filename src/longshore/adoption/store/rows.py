"""Manifests, layers and tags as rows, a batch at a time."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, insert, select, update

from longshore.adoption.model import Found, Link, TagEntry
from longshore.adoption.store.progress import insert_all_absent
from longshore.oci.digest import Digest
from longshore.oci.manifest import Manifest
from longshore.oci.names import RepositoryName
from longshore.registry import store
from longshore.registry.model import BlobGoing, BlobState
from longshore.registry.tables import (
    blobs,
    manifest_references,
    manifests,
    repository_blobs,
    tag_history,
    tags,
)

#: Who the history of tags names for what happened before the adoption.
ACTOR: Final = "adoption"
#: SQLite bounds the variables of one statement.
_SOME: Final = 500


def known_manifests(
    connection: Connection, name: RepositoryName, digests: Collection[Digest]
) -> set[str]:
    """Those of ``digests`` that are manifests of the repository."""
    repository = store.repository_id(connection, name)
    query = select(manifests.c.digest).where(manifests.c.repository_id == repository)
    return _those(connection, query, manifests.c.digest, digests)


def named_digests(connection: Connection, digests: Collection[Digest]) -> set[str]:
    """Those of ``digests`` that are manifests or blobs of some repository."""
    found = _those(connection, select(manifests.c.digest), manifests.c.digest, digests)
    layer = repository_blobs.c.digest
    return found | _those(connection, select(layer), layer, digests)


def known_layers(
    connection: Connection, name: RepositoryName, digests: Collection[Digest]
) -> set[str]:
    """Those of ``digests`` that the repository may read as blobs."""
    repository = store.repository_id(connection, name)
    query = select(repository_blobs.c.digest).where(repository_blobs.c.repository_id == repository)
    return _those(connection, query, repository_blobs.c.digest, digests)


def known_sizes(connection: Connection, digests: Collection[Digest]) -> dict[str, int]:
    """How many bytes those of ``digests`` have that are blobs of some repository."""
    found: dict[str, int] = {}
    for some in _portions(sorted(digests)):
        query = select(blobs.c.digest, blobs.c.size).where(
            blobs.c.digest.in_(some), blobs.c.state == BlobState.STORED
        )
        found.update((row.digest, row.size) for row in connection.execute(query))
    return found


def put_manifests(
    connection: Connection,
    name: RepositoryName,
    found: Sequence[Found],
    sizes: Mapping[Digest, int],
) -> None:
    """Write manifests, what they point to, and links to the blobs that are in storage: those in
    ``sizes`` (bytes)."""
    if not found:
        return
    repository = store.ensure_repository(connection, name, min(one.link.at for one in found))
    needed = {
        blob.digest: one.link.at
        for one in found
        for blob in one.manifest.blobs
        if blob.digest in sizes
    }
    _link(connection, repository, needed, sizes)
    rows = [_manifest(repository, one) for one in found]
    insert_all_absent(connection, manifests, sorted(rows, key=lambda row: str(row["digest"])))
    ids: dict[str, int] = {}
    for some in _portions(sorted(one.link.digest for one in found)):
        query = select(manifests.c.id, manifests.c.digest).where(
            manifests.c.repository_id == repository, manifests.c.digest.in_(some)
        )
        ids.update((row.digest, row.id) for row in connection.execute(query))
    references = [
        row for one in found for row in _references(repository, ids[one.link.digest], one.manifest)
    ]
    insert_all_absent(connection, manifest_references, references)


def put_layers(
    connection: Connection,
    name: RepositoryName,
    links: Sequence[Link],
    sizes: Mapping[Digest, int],
) -> None:
    """Let the repository read blobs that are in storage."""
    wanted = {link.digest: link.at for link in links if link.digest in sizes}
    if wanted:
        repository = store.ensure_repository(connection, name, min(wanted.values()))
        _link(connection, repository, wanted, sizes)


def put_tags(
    connection: Connection, name: RepositoryName, entries: Sequence[TagEntry]
) -> list[TagEntry]:
    """Write tags and their history; those current ones whose manifest the repository lacks are left
    out and returned."""
    if not entries:
        return []
    repository = store.ensure_repository(connection, name, min(entry.at for entry in entries))
    current = [entry for entry in entries if entry.current]
    held = known_manifests(connection, name, {entry.digest for entry in current})
    rows = [
        {
            "repository_id": repository,
            "name": entry.tag,
            "digest": entry.digest,
            "updated_at": entry.at,
        }
        for entry in current
        if entry.digest in held
    ]
    insert_all_absent(connection, tags, rows)
    _put_history(connection, repository, [entry for entry in entries if not entry.current])
    for entry in current:
        if entry.digest in held and entry.tag.is_referrers_fallback:
            _adopt_fallback(connection, repository, entry)
    return [entry for entry in current if entry.digest not in held]


def _link(
    connection: Connection,
    repository: int,
    wanted: Mapping[Digest, float],
    sizes: Mapping[Digest, int],
) -> None:
    ordered = sorted(wanted)  # two transactions in one order do not wait for one another in circles
    insert_all_absent(
        connection,
        blobs,
        [
            {"digest": digest, "size": sizes[digest], "created_at": wanted[digest]}
            for digest in ordered
        ],
    )
    for some in _portions(ordered):
        connection.execute(
            update(blobs)
            .where(blobs.c.digest.in_(some), blobs.c.condemned_at.is_not(None))
            .where(blobs.c.state != BlobState.DELETING)
            .values(condemned_at=None)
        )
        # On PostgreSQL a collection that holds the rows is waited for, and what it did is seen.
        states = select(blobs.c.digest, blobs.c.state).where(blobs.c.digest.in_(some))
        states = states.order_by(blobs.c.digest).with_for_update(read=True, key_share=True)
        for row in connection.execute(states):
            if row.state == BlobState.DELETING:
                raise BlobGoing(Digest(row.digest))
    insert_all_absent(
        connection,
        repository_blobs,
        [
            {"repository_id": repository, "digest": digest, "linked_at": wanted[digest]}
            for digest in ordered
        ],
    )


def _manifest(repository: int, found: Found) -> dict[str, Any]:
    manifest = found.manifest
    return {
        "repository_id": repository,
        "digest": found.link.digest,
        "media_type": manifest.media_type,
        "size": manifest.size,
        "artifact_type": manifest.artifact_type,
        "subject": manifest.subject.digest if manifest.subject else None,
        "annotations": dict(manifest.annotations) or None,
        "pushed_at": found.link.at,
    }


def _references(repository: int, manifest_id: int, manifest: Manifest) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for kind, descriptors in (("blob", manifest.blobs), ("child", manifest.children)):
        for descriptor in descriptors:
            row = {
                "manifest_id": manifest_id,
                "digest": descriptor.digest,
                "repository_id": repository,
                "kind": kind,
                "size": descriptor.size,
                "position": len(rows),
            }
            rows.setdefault(descriptor.digest, row)
    return list(rows.values())


def _put_history(connection: Connection, repository: int, entries: Sequence[TagEntry]) -> None:
    known: set[tuple[str, str | None, float]] = set()
    for some in _portions(sorted({entry.tag for entry in entries})):
        query = select(tag_history.c.name, tag_history.c.digest, tag_history.c.at).where(
            tag_history.c.repository_id == repository, tag_history.c.name.in_(some)
        )
        known.update((row.name, row.digest, row.at) for row in connection.execute(query))
    rows = [
        {
            "repository_id": repository,
            "name": entry.tag,
            "digest": entry.digest,
            "actor": ACTOR,
            "at": entry.at,
        }
        for entry in sorted(entries, key=lambda entry: entry.at)
        if (entry.tag, entry.digest, entry.at) not in known
    ]
    if rows:
        connection.execute(insert(tag_history), rows)


def _adopt_fallback(connection: Connection, repository: int, entry: TagEntry) -> None:
    subject = entry.tag.fallback_subject
    if subject is None:
        return
    query = (
        select(manifest_references.c.digest)
        .join(manifests, manifests.c.id == manifest_references.c.manifest_id)
        .where(
            manifests.c.repository_id == repository,
            manifests.c.digest == entry.digest,
            manifest_references.c.kind == "child",
        )
    )
    children = [Digest(digest) for digest in connection.scalars(query)]
    store.adopt_fallback_referrers(connection, repository, subject, children)


def _those(
    connection: Connection,
    query: Select[tuple[str]],
    column: ColumnElement[str],
    digests: Collection[Digest],
) -> set[str]:
    found: set[str] = set()
    for some in _portions(sorted(digests)):
        found.update(connection.scalars(query.where(column.in_(some))))
    return found


def _portions(ordered: Sequence[str]) -> list[Sequence[str]]:
    return [ordered[start : start + _SOME] for start in range(0, len(ordered), _SOME)]
