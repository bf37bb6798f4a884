"""The SQL of the data plane: plain functions on a connection, values in and out.

They run inside ``Database.read`` or ``Database.write`` and may be repeated, so none has an effect
outside its transaction.

What every push and pull asks is a constant statement with named parameters: building one anew for
each call costs three times as much as running it.
"""

from collections.abc import Collection, Sequence
from functools import cache
from importlib import import_module
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Insert,
    Select,
    Table,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)

from longshore.oci.digest import Digest
from longshore.oci.manifest import Manifest
from longshore.oci.names import RepositoryName, Tag
from longshore.registry.model import AdoptionState, Blob, Referrer, StoredManifest, Upload
from longshore.registry.tables import (
    blobs,
    manifest_references,
    manifests,
    repositories,
    repository_blobs,
    settings,
    tag_history,
    tags,
    uploads,
)
from longshore.storage.driver import Staged

# ── repositories ──────────────────────────────────────────────────────────────────────────────


_REPOSITORY_ID: Final = select(repositories.c.id).where(repositories.c.name == bindparam("name"))


def repository_id(connection: Connection, name: RepositoryName) -> int | None:
    return connection.scalar(_REPOSITORY_ID, {"name": name})


def ensure_repository(connection: Connection, name: RepositoryName, now: float) -> int:
    found = repository_id(connection, name)
    if found is not None:
        return found
    _insert_if_absent(connection, repositories, {"name": name, "created_at": now})
    created = repository_id(connection, name)
    assert created is not None  # noqa: S101 - inserted above, or by whoever was first
    return created


def list_repositories(connection: Connection, last: str, limit: int) -> list[str]:
    """Names after ``last`` of repositories that hold a manifest, in ASCII order."""
    holds_one = exists().where(manifests.c.repository_id == repositories.c.id)
    query = (
        select(repositories.c.name)
        .where(repositories.c.name > last, holds_one)
        .order_by(repositories.c.name)
        .limit(limit)
    )
    return _names(connection, query)


# ── blobs ─────────────────────────────────────────────────────────────────────────────────────


_BLOB_SIZE: Final = (
    select(blobs.c.size)
    .join(repository_blobs, repository_blobs.c.digest == blobs.c.digest)
    .join(repositories, repositories.c.id == repository_blobs.c.repository_id)
    .where(repositories.c.name == bindparam("name"), blobs.c.digest == bindparam("digest"))
)


def find_blob(connection: Connection, name: RepositoryName, digest: Digest) -> Blob | None:
    """The blob, if this repository may read it."""
    size = connection.scalar(_BLOB_SIZE, {"name": name, "digest": digest})
    return None if size is None else Blob(digest, size)


def repositories_with_blob(connection: Connection, digest: Digest, limit: int) -> list[str]:
    query = (
        select(repositories.c.name)
        .join(repository_blobs, repository_blobs.c.repository_id == repositories.c.id)
        .where(repository_blobs.c.digest == digest)
        .limit(limit)
    )
    return list(connection.scalars(query))


def link_blob(connection: Connection, name: RepositoryName, blob: Blob, now: float) -> None:
    """Record that the blob's bytes are in storage and that the repository may read them."""
    repository = ensure_repository(connection, name, now)
    _insert_if_absent(
        connection, blobs, {"digest": blob.digest, "size": blob.size, "created_at": now}
    )
    _insert_if_absent(
        connection,
        repository_blobs,
        {"repository_id": repository, "digest": blob.digest, "linked_at": now},
    )


def unlink_blob(connection: Connection, name: RepositoryName, digest: Digest) -> bool:
    """Take the blob away from the repository; False if it had none."""
    of_repository = select(repositories.c.id).where(repositories.c.name == name).scalar_subquery()
    removed = connection.execute(
        delete(repository_blobs).where(
            repository_blobs.c.repository_id == of_repository, repository_blobs.c.digest == digest
        )
    )
    return removed.rowcount > 0


# ── manifests ─────────────────────────────────────────────────────────────────────────────────


_MANIFEST: Final = (
    select(manifests.c.digest, manifests.c.media_type, manifests.c.size)
    .join(repositories, repositories.c.id == manifests.c.repository_id)
    .where(repositories.c.name == bindparam("name"))
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
    return None if row is None else StoredManifest(Digest(row.digest), row.media_type, row.size)


_HELD: Final = tuple(
    select(table.c.digest).where(
        table.c.repository_id == bindparam("repository"),
        table.c.digest.in_(bindparam("digests", expanding=True)),
    )
    for table in (repository_blobs, manifests)
)


def missing_references(
    connection: Connection, name: RepositoryName, digests: Collection[Digest]
) -> set[Digest]:
    """Those of ``digests`` that the repository holds neither as a blob nor as a manifest."""
    repository = repository_id(connection, name)
    wanted = set(digests)
    if repository is None or not wanted:
        return wanted
    found: set[str] = set()
    ordered = sorted(wanted)
    for start in range(0, len(ordered), 500):  # SQLite bounds the variables of one statement
        some = ordered[start : start + 500]
        for held in _HELD:
            found.update(connection.scalars(held, {"repository": repository, "digests": some}))
    return {digest for digest in wanted if digest not in found}


def put_manifest(
    connection: Connection, name: RepositoryName, digest: Digest, manifest: Manifest, now: float
) -> int:
    """Write the manifest and what it points to; the repository's id. Again is no change."""
    repository = ensure_repository(connection, name, now)
    inserted = _insert_if_absent(
        connection,
        manifests,
        {
            "repository_id": repository,
            "digest": digest,
            "media_type": manifest.media_type,
            "size": manifest.size,
            "artifact_type": manifest.artifact_type,
            "subject": manifest.subject.digest if manifest.subject else None,
            "annotations": dict(manifest.annotations) or None,
            "pushed_at": now,
        },
    )
    own = (manifests.c.repository_id == repository) & (manifests.c.digest == digest)
    if not inserted:
        # The same bytes may be pushed again under another Content-Type: the last word counts.
        connection.execute(
            update(manifests).where(own).values(media_type=manifest.media_type, pushed_at=now)
        )
        return repository
    manifest_id = connection.scalar(select(manifests.c.id).where(own))
    rows: dict[str, dict[str, Any]] = {}
    for kind, descriptors in (("blob", manifest.blobs), ("child", manifest.children)):
        for descriptor in descriptors:
            rows.setdefault(
                descriptor.digest,
                {
                    "manifest_id": manifest_id,
                    "digest": descriptor.digest,
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
) -> bool:
    """Remove the manifest and every tag that points to it; False if there was none."""
    repository = repository_id(connection, name)
    if repository is None:
        return False
    own_tags = (tags.c.repository_id == repository) & (tags.c.digest == digest)
    for tag in connection.scalars(select(tags.c.name).where(own_tags)).all():
        _remember(connection, repository, tag, None, actor, now)
    connection.execute(delete(tags).where(own_tags))
    own = (manifests.c.repository_id == repository) & (manifests.c.digest == digest)
    connection.execute(
        delete(manifest_references).where(
            manifest_references.c.manifest_id.in_(select(manifests.c.id).where(own))
        )
    )
    return connection.execute(delete(manifests).where(own)).rowcount > 0


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


# ── tags ──────────────────────────────────────────────────────────────────────────────────────


_TAG_DIGEST: Final = select(tags.c.digest).where(
    tags.c.repository_id == bindparam("repository"), tags.c.name == bindparam("tag")
)
_MOVE_TAG: Final = update(tags).where(
    tags.c.repository_id == bindparam("repository"), tags.c.name == bindparam("tag")
)


def tag_digest(connection: Connection, repository: int, tag: Tag) -> str | None:
    return connection.scalar(_TAG_DIGEST, {"repository": repository, "tag": tag})


def put_tag(
    connection: Connection, repository: int, tag: Tag, digest: Digest, actor: str, now: float
) -> None:
    """Point the tag at the digest."""
    current = tag_digest(connection, repository, tag)
    row = {"repository_id": repository, "name": tag, "digest": digest, "updated_at": now}
    if current is not None or not _insert_if_absent(connection, tags, row):
        moved = {"repository": repository, "tag": tag, "digest": digest, "updated_at": now}
        connection.execute(_MOVE_TAG, moved)
    if current != digest:
        _remember(connection, repository, tag, digest, actor, now)


def delete_tag(
    connection: Connection, name: RepositoryName, tag: Tag, actor: str, now: float
) -> bool:
    repository = repository_id(connection, name)
    if repository is None:
        return False
    own = (tags.c.repository_id == repository) & (tags.c.name == tag)
    if connection.execute(delete(tags).where(own)).rowcount == 0:
        return False
    _remember(connection, repository, tag, None, actor, now)
    return True


def list_tags(
    connection: Connection, name: RepositoryName, last: str, limit: int | None
) -> list[str] | None:
    """Tags after ``last`` in ASCII order; None when there is no such repository."""
    repository = repository_id(connection, name)
    if repository is None:
        return None
    query = (
        select(tags.c.name)
        .where(tags.c.repository_id == repository, tags.c.name > last)
        .order_by(tags.c.name)
    )
    return _names(connection, query if limit is None else query.limit(limit))


def _names(connection: Connection, query: Select[tuple[str]]) -> list[str]:
    """The names that ``query`` selects, in ASCII order.

    They come as one string: a row for each of ten thousand costs four times as much as finding it.
    The grammars of tags and repositories know no comma.
    """
    found = query.subquery()
    joined = connection.scalar(select(func.aggregate_strings(found.c.name, ",")))
    return sorted(joined.split(",")) if joined else []


_REMEMBER: Final = insert(tag_history)


def _remember(
    connection: Connection, repository: int, tag: str, digest: str | None, actor: str, now: float
) -> None:
    row = {"repository_id": repository, "name": tag, "digest": digest, "actor": actor, "at": now}
    connection.execute(_REMEMBER, row)


# ── uploads ───────────────────────────────────────────────────────────────────────────────────


_CREATE_UPLOAD: Final = insert(uploads)
_UPLOAD: Final = select(uploads).where(uploads.c.id == bindparam("upload"))
_CLAIM_UPLOAD: Final = update(uploads).where(
    uploads.c.id == bindparam("upload"), uploads.c.size == bindparam("offset")
)
_RECORD_UPLOAD: Final = update(uploads).where(
    uploads.c.id == bindparam("upload"), uploads.c.attempt == bindparam("by")
)
_DELETE_UPLOAD: Final = delete(uploads).where(uploads.c.id == bindparam("upload"))


def create_upload(connection: Connection, upload: Upload) -> None:
    row = {
        "id": upload.id,
        "repository": upload.repository,
        "owner": upload.owner,
        "algorithm": upload.algorithm,
        "size": upload.size,
        "state": dict(upload.staged.state),
        "started_at": upload.started_at,
        "active_at": upload.started_at,
    }
    connection.execute(_CREATE_UPLOAD, row)


def find_upload(connection: Connection, upload_id: str) -> Upload | None:
    row = connection.execute(_UPLOAD, {"upload": upload_id}).one_or_none()
    if row is None:
        return None
    return Upload(
        row.id,
        RepositoryName(row.repository),
        row.owner,
        row.algorithm,
        Staged(row.id, row.size, row.state),
        Digest(row.digest) if row.digest else None,
        row.started_at,
    )


def claim_upload(
    connection: Connection, upload_id: str, size: int, attempt: str, now: float
) -> bool:
    """Become the one attempt whose bytes will count; an earlier one that still runs has lost."""
    claim = {"upload": upload_id, "offset": size, "attempt": attempt, "active_at": now}
    return connection.execute(_CLAIM_UPLOAD, claim).rowcount > 0


def record_upload(connection: Connection, upload: Upload, attempt: str, now: float) -> bool:
    """Keep what an attempt brought, unless another attempt has claimed the upload since."""
    record = {
        "upload": upload.id,
        "by": attempt,
        "size": upload.size,
        "state": dict(upload.staged.state),
        "digest": upload.digest,
        "active_at": now,
    }
    return connection.execute(_RECORD_UPLOAD, record).rowcount > 0


def delete_upload(connection: Connection, upload_id: str) -> bool:
    return connection.execute(_DELETE_UPLOAD, {"upload": upload_id}).rowcount > 0


def idle_uploads(connection: Connection, before: float, limit: int) -> list[str]:
    """Uploads that nothing has arrived for since ``before``."""
    query = select(uploads.c.id).where(uploads.c.active_at < before).limit(limit)
    return list(connection.scalars(query))


def delete_idle_upload(connection: Connection, upload_id: str, before: float) -> bool:
    """Remove the session, unless it came back to life."""
    gone = connection.execute(
        delete(uploads).where(uploads.c.id == upload_id, uploads.c.active_at < before)
    )
    return gone.rowcount > 0


def known_uploads(connection: Connection, ids: Collection[str]) -> set[str]:
    return set(connection.scalars(select(uploads.c.id).where(uploads.c.id.in_(ids))))


def count_uploads(connection: Connection) -> int:
    return connection.scalar(select(func.count()).select_from(uploads)) or 0


# ── settings ──────────────────────────────────────────────────────────────────────────────────


_ADOPTION: Final = "adoption"


def remembered(connection: Connection, name: str, otherwise: Any) -> Any:
    """The value kept under ``name``; ``otherwise`` is kept and returned the first time."""
    _insert_if_absent(connection, settings, {"name": name, "value": otherwise})
    return connection.scalar(select(settings.c.value).where(settings.c.name == name))


def adoption_state(connection: Connection) -> AdoptionState:
    found = connection.scalar(select(settings.c.value).where(settings.c.name == _ADOPTION))
    return AdoptionState.NOT_STARTED if found is None else AdoptionState(found)


def set_adoption_state(connection: Connection, state: AdoptionState) -> None:
    if not _insert_if_absent(connection, settings, {"name": _ADOPTION, "value": state.value}):
        connection.execute(
            update(settings).where(settings.c.name == _ADOPTION).values(value=state.value)
        )


def _insert_if_absent(connection: Connection, table: Table, row: dict[str, Any]) -> bool:
    """Insert unless a row with the same key exists; whether it was inserted."""
    return connection.execute(_if_absent(connection.dialect.name, table), row).first() is not None


@cache
def _if_absent(dialect: str, table: Table) -> Insert:
    # Importing a dialect takes a good part of a start: only the one in use.
    insertion = import_module(f"sqlalchemy.dialects.{dialect}").insert(table)
    # RETURNING rather than a row count: psycopg's count means nothing beside implicit returning.
    statement: Insert = insertion.on_conflict_do_nothing().returning(literal(1))
    return statement
