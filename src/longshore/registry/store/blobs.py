"""Blobs, and which repository may read which."""

from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, case, delete, func, or_, select, update

from longshore.db.clock import database_time
from longshore.oci.digest import Digest
from longshore.oci.names import RepositoryName
from longshore.registry.model import Blob, BlobGoing, BlobState, Standing
from longshore.registry.store.copies import add_spare
from longshore.registry.store.repositories import ensure_repository, repository_id
from longshore.registry.store.statements import insert_if_absent
from longshore.registry.tables import QUARANTINED, blobs, repositories, repository_blobs

_BLOB: Final = (
    select(blobs.c.size, repository_blobs.c.condemned_at, blobs.c.backend)
    .join(repository_blobs, repository_blobs.c.digest == blobs.c.digest)
    .join(repositories, repositories.c.id == repository_blobs.c.repository_id)
    .where(
        repositories.c.name == bindparam("name"),
        blobs.c.digest == bindparam("digest"),
        blobs.c.state == BlobState.STORED,
    )
)
_STANDING: Final = select(blobs.c.condemned_at, blobs.c.state, blobs.c.backend).where(
    blobs.c.digest == bindparam("digest")
)
#: On PostgreSQL a collection that holds the row is waited for, and what it did is seen.
_STANDING_NOW: Final = _STANDING.with_for_update(read=True, key_share=True)


def find_blob(connection: Connection, name: RepositoryName, digest: Digest) -> Blob | None:
    """The blob, if this repository may read it."""
    row = connection.execute(_BLOB, {"name": name, "digest": digest}).first()
    return None if row is None else Blob(digest, row[0], row[1] is not None, row[2])


def rescue_blob(connection: Connection, name: RepositoryName, digest: Digest) -> Blob | None:
    """Take back that collection found the blob unused in the repository; None if it is gone."""
    repository = repository_id(connection, name)
    own = (repository_blobs.c.repository_id == repository) & (repository_blobs.c.digest == digest)
    connection.execute(update(repository_blobs).where(own).values(condemned_at=None))
    return find_blob(connection, name, digest)


def blob_standing(connection: Connection, digest: str) -> Standing:
    """What would become of bytes that are put under the digest now."""
    row = connection.execute(_STANDING, {"digest": digest}).first()
    return Standing.SAFE if row is None else _standing(row)


def claim_digest(connection: Connection, digest: Digest) -> Standing:
    """Say that bytes are about to be put under the digest: DELETING if it is too late, otherwise SAFE,
    or QUARANTINED.

    A removal that was not done in its time never will be: whoever announced it has died.
    """
    overdue = blobs.c.deletion_until < database_time(connection)
    mine = (blobs.c.digest == digest) & (or_(blobs.c.state != BlobState.DELETING, overdue))
    died = case((blobs.c.state == BlobState.DELETING, BlobState.STORED), else_=blobs.c.state)
    claim = update(blobs).where(mine).values(condemned_at=None, deletion_until=None, state=died)
    connection.execute(claim)
    return blob_standing(connection, digest)


def condemn_digest(connection: Connection, digest: Digest, size: int) -> None:
    """Let collection look whether anything else needs the bytes of a manifest that has gone."""
    now = database_time(connection)
    row = {"digest": digest, "size": size, "created_at": now, "condemned_at": now}
    insert_if_absent(connection, blobs, row)


def _standing(row: Row[Any, Any, Any]) -> Standing:
    if row.state == BlobState.DELETING:
        return Standing.DELETING
    if row.condemned_at is not None:
        return Standing.CONDEMNED
    return Standing.QUARANTINED if row.state == BlobState.QUARANTINED else Standing.SAFE


def restore_digest(connection: Connection, digest: Digest, size: int) -> None:
    """The bytes under the digest are sound, and so many."""
    own = (blobs.c.digest == digest) & (blobs.c.state != BlobState.DELETING)
    connection.execute(update(blobs).where(own).values(state=BlobState.STORED, size=size))


def count_quarantined(connection: Connection) -> int:
    query = select(func.count()).select_from(blobs).where(QUARANTINED)
    return connection.scalar(query) or 0


def holds_quarantined(connection: Connection, name: RepositoryName, digest: str) -> bool:
    """Whether the repository has the blob, but its bytes are bad."""
    query = (
        select(repository_blobs.c.digest)
        .join(repositories, repositories.c.id == repository_blobs.c.repository_id)
        .join(blobs, blobs.c.digest == repository_blobs.c.digest)
        .where(repositories.c.name == name, blobs.c.digest == digest, QUARANTINED)
    )
    return connection.execute(query).first() is not None


def repositories_with_blob(connection: Connection, digest: Digest, limit: int) -> list[str]:
    query = (
        select(repositories.c.name)
        .join(repository_blobs, repository_blobs.c.repository_id == repositories.c.id)
        .where(repository_blobs.c.digest == digest)
        .limit(limit)
    )
    return list(connection.scalars(query))


def link_blob(connection: Connection, name: RepositoryName, blob: Blob, now: float) -> None:
    """Record that the blob's bytes are in storage and that the repository may read them.

    Raises BlobGoing when collection began to remove them; nothing is changed then.
    """
    row = {
        "digest": blob.digest,
        "size": blob.size,
        "created_at": now,
        "backend": blob.backend,
    }
    if not insert_if_absent(connection, blobs, row):
        _reclaim(connection, blob)
    _link(connection, ensure_repository(connection, name, now), blob.digest, now)


def mount_blob(connection: Connection, name: RepositoryName, blob: Blob, now: float) -> bool:
    """Let one more repository read a blob; False when its bytes are about to go."""
    row = connection.execute(_STANDING_NOW, {"digest": blob.digest}).first()
    if row is None or row.state != BlobState.STORED:
        return False
    _link(connection, ensure_repository(connection, name, now), blob.digest, now)
    return True


def _reclaim(connection: Connection, blob: Blob) -> None:
    """The bytes were there before, or just now again: they are wanted, and sound."""
    row = connection.execute(_STANDING_NOW, {"digest": blob.digest}).first()
    if row is None or row.state == BlobState.DELETING:
        raise BlobGoing(blob.digest)
    if row.condemned_at is not None or row.state != BlobState.STORED:
        fresh: dict[str, Any] = {"condemned_at": None, "state": BlobState.STORED, "size": blob.size}
        if row.state == BlobState.QUARANTINED and row.backend != blob.backend:
            fresh["backend"] = blob.backend
            add_spare(connection, blob.digest, row.backend, blob.size)
        connection.execute(update(blobs).where(blobs.c.digest == blob.digest).values(fresh))


def _link(connection: Connection, repository: int, digest: Digest, now: float) -> None:
    row = {"repository_id": repository, "digest": digest, "linked_at": now}
    own = (repository_blobs.c.repository_id == repository) & (repository_blobs.c.digest == digest)
    # The time, too: collection looks when something last came to the repository.
    rescue = update(repository_blobs).where(own).values(condemned_at=None, linked_at=now)
    while not insert_if_absent(connection, repository_blobs, row):
        if connection.execute(rescue).rowcount:
            return  # otherwise collection took the link away in between: once more


def unlink_blob(connection: Connection, name: RepositoryName, digest: Digest) -> bool:
    """Take the blob away from the repository; False if it had none."""
    of_repository = select(repositories.c.id).where(repositories.c.name == name).scalar_subquery()
    removed = connection.execute(
        delete(repository_blobs).where(
            repository_blobs.c.repository_id == of_repository, repository_blobs.c.digest == digest
        )
    )
    return removed.rowcount > 0
