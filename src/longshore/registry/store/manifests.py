"""Manifests, what they point to, and what points to them."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    bindparam,
    delete,
    exists,
    insert,
    or_,
    select,
    update,
)

from longshore.oci.digest import Digest
from longshore.oci.manifest import Manifest
from longshore.oci.names import RepositoryName, Tag
from longshore.registry.model import BlobState, Referrer, StoredManifest
from longshore.registry.store.blobs import condemn_digest
from longshore.registry.store.repositories import ensure_repository, repository_id
from longshore.registry.store.statements import insert_if_absent
from longshore.registry.store.tags import remember
from longshore.registry.tables import (
    QUARANTINED,
    blobs,
    manifest_references,
    manifests,
    repositories,
    repository_blobs,
    tags,
)
from longshore.storage.backends import DEFAULT

_MANIFEST: Final = (
    select(
        manifests.c.digest,
        manifests.c.media_type,
        manifests.c.size,
        manifests.c.condemned_at,
        blobs.c.backend,
    )
    .join(repositories, repositories.c.id == manifests.c.repository_id)
    .outerjoin(blobs, blobs.c.digest == manifests.c.digest)
    .where(
        repositories.c.name == bindparam("name"),
        or_(blobs.c.state.is_(None), blobs.c.state != BlobState.QUARANTINED),
    )
)
_MANIFEST_BY_DIGEST: Final = _MANIFEST.where(manifests.c.digest == bindparam("reference"))
_MANIFEST_BY_TAG: Final = _MANIFEST.join(
    tags,
    (tags.c.repository_id == manifests.c.repository_id) & (tags.c.digest == manifests.c.digest),
).where(tags.c.name == bindparam("reference"))


def find_manifest(
    connection: Connection, name: RepositoryName, reference: Tag | Digest
) -> StoredManifest | None:
    """What ``reference`` names in the repository now."""
    query = _MANIFEST_BY_DIGEST if isinstance(reference, Digest) else _MANIFEST_BY_TAG
    row = connection.execute(query, {"name": name, "reference": reference}).one_or_none()
    if row is None:
        return None
    condemned = row.condemned_at is not None
    backend = row.backend or DEFAULT
    return StoredManifest(Digest(row.digest), row.media_type, row.size, condemned, backend)


def quarantined_manifest(
    connection: Connection, name: RepositoryName, reference: Tag | Digest
) -> str | None:
    """The digest of what ``reference`` names in the repository, if its bytes are bad."""
    query = select(manifests.c.digest).join(blobs, blobs.c.digest == manifests.c.digest)
    query = query.where(manifests.c.repository_id == repository_id(connection, name), QUARANTINED)
    if isinstance(reference, Digest):
        return connection.scalar(query.where(manifests.c.digest == reference))
    own = (tags.c.repository_id == manifests.c.repository_id) & (
        tags.c.digest == manifests.c.digest
    )
    return connection.scalar(query.join(tags, own).where(tags.c.name == reference))


def rescue_manifest(
    connection: Connection, name: RepositoryName, digest: Digest
) -> StoredManifest | None:
    """Take back that collection found the manifest unused; None if it is gone."""
    own = _own(repository_id(connection, name), digest)
    connection.execute(update(manifests).where(own).values(condemned_at=None))
    return find_manifest(connection, name, digest)


_HELD: Final = tuple(
    (
        table,
        select(table.c.digest, table.c.condemned_at).where(
            table.c.repository_id == bindparam("repository"),
            table.c.digest.in_(bindparam("digests", expanding=True)),
            ~exists(select(blobs.c.digest).where(blobs.c.digest == table.c.digest, QUARANTINED)),
        ),
    )
    for table in (repository_blobs, manifests)
)


def missing_references(
    connection: Connection, name: RepositoryName, digests: Collection[Digest]
) -> set[Digest]:
    """Those of ``digests`` that the repository holds neither as a blob nor as a manifest."""
    return _missing(connection, name, digests, claim=False)


def claim_references(
    connection: Connection, name: RepositoryName, digests: Collection[Digest]
) -> set[Digest]:
    """The same, inside the transaction that begins to refer to them: from now on they are in use,
    whatever collection found before."""
    return _missing(connection, name, digests, claim=True)


def _missing(
    connection: Connection, name: RepositoryName, digests: Collection[Digest], *, claim: bool
) -> set[Digest]:
    repository = repository_id(connection, name)
    wanted = set(digests)
    if repository is None or not wanted:
        return wanted
    found: set[str] = set()
    ordered = sorted(wanted)
    for start in range(0, len(ordered), 500):  # SQLite bounds the variables of one statement
        some = ordered[start : start + 500]
        for table, held in _HELD:
            asked = {"repository": repository, "digests": some}
            rows = connection.execute(held, asked).all()
            if claim and (condemned := [row.digest for row in rows if row.condemned_at]):
                _rescue(connection, table, repository, condemned)
                rows = connection.execute(held, asked).all()  # one may have gone in between
            found.update(row.digest for row in rows)
    return {digest for digest in wanted if digest not in found}


def _rescue(connection: Connection, table: Table, repository: int, digests: list[str]) -> None:
    own = (table.c.repository_id == repository) & table.c.digest.in_(digests)
    connection.execute(update(table).where(own).values(condemned_at=None))


def put_manifest(
    connection: Connection, name: RepositoryName, digest: Digest, manifest: Manifest, now: float
) -> int:
    """Write the manifest and what it points to; the repository's id. Again is no change."""
    repository = ensure_repository(connection, name, now)
    row = {
        "repository_id": repository,
        "digest": digest,
        "media_type": manifest.media_type,
        "size": manifest.size,
        "artifact_type": manifest.artifact_type,
        "subject": manifest.subject.digest if manifest.subject else None,
        "annotations": dict(manifest.annotations) or None,
        "pushed_at": now,
    }
    own = _own(repository, digest)
    # The same bytes may be pushed again under another Content-Type: the last word counts.
    again = update(manifests).where(own)
    again = again.values(media_type=manifest.media_type, pushed_at=now, condemned_at=None)
    while not insert_if_absent(connection, manifests, row):
        if connection.execute(again).rowcount:
            return repository  # otherwise collection removed it in between: once more
    manifest_id = connection.scalar(select(manifests.c.id).where(own))
    rows: dict[str, dict[str, Any]] = {}
    for kind, descriptors in (("blob", manifest.blobs), ("child", manifest.children)):
        for descriptor in descriptors:
            rows.setdefault(
                descriptor.digest,
                {
                    "manifest_id": manifest_id,
                    "digest": descriptor.digest,
                    "repository_id": repository,
                    "kind": kind,
                    "size": descriptor.size,
                    "position": len(rows),
                },
            )
    if rows:
        connection.execute(insert(manifest_references), list(rows.values()))
    return repository


def delete_manifest(
    connection: Connection, name: RepositoryName, digest: Digest, actor: str, now: float
) -> list[str] | None:
    """Remove the manifest and every tag that points to it; those tags, None if there was no such
    manifest."""
    repository = repository_id(connection, name)
    if repository is None:
        return None
    own_tags = (tags.c.repository_id == repository) & (tags.c.digest == digest)
    removed = connection.scalars(delete(tags).where(own_tags).returning(tags.c.name)).all()
    for tag in removed:
        remember(connection, repository, tag, None, actor, now)
    own = _own(repository, digest)
    size = connection.scalar(select(manifests.c.size).where(own))
    if size is None:
        return None
    connection.execute(
        delete(manifest_references).where(
            manifest_references.c.manifest_id.in_(select(manifests.c.id).where(own))
        )
    )
    connection.execute(delete(manifests).where(own))
    condemn_digest(connection, digest, size)
    return sorted(removed)


def _own(repository: int | None, digest: Digest) -> ColumnElement[bool]:
    return (manifests.c.repository_id == repository) & (manifests.c.digest == digest)


def list_referrers(
    connection: Connection,
    name: RepositoryName,
    subject: Digest,
    artifact_type: str | None,
    last: str,
    limit: int,
) -> list[Referrer]:
    """Manifests whose subject is ``subject``, in order of their digests, after ``last``."""
    query = (
        select(
            manifests.c.digest,
            manifests.c.media_type,
            manifests.c.size,
            manifests.c.artifact_type,
            manifests.c.annotations,
        )
        .join(repositories, repositories.c.id == manifests.c.repository_id)
        .where(
            repositories.c.name == name,
            manifests.c.subject == subject,
            manifests.c.digest > last,
        )
        .order_by(manifests.c.digest)
        .limit(limit)
    )
    if artifact_type is not None:
        query = query.where(manifests.c.artifact_type == artifact_type)
    return [
        Referrer(Digest(digest), media_type, size, kind, annotations or {})
        for digest, media_type, size, kind, annotations in connection.execute(query)
    ]


def adopt_fallback_referrers(
    connection: Connection, repository: int, subject: Digest, digests: Sequence[Digest]
) -> None:
    """Make manifests that a fallback tag lists referrers of its subject, unless they name one."""
    for start in range(0, len(digests), 500):
        connection.execute(
            update(manifests)
            .where(
                manifests.c.repository_id == repository,
                manifests.c.digest.in_(digests[start : start + 500]),
                manifests.c.subject.is_(None),
            )
            .values(subject=subject)
        )
