"""Upload sessions."""

from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from longshore.oci.digest import Digest
from longshore.oci.names import RepositoryName
from longshore.registry.model import Upload
from longshore.registry.tables import uploads
from longshore.storage.driver import Staged

_CREATE_UPLOAD: Final = insert(uploads)
_UPLOAD: Final = select(uploads).where(uploads.c.id == bindparam("upload"))
_CLAIM_UPLOAD: Final = update(uploads).where(
    uploads.c.id == bindparam("upload"), uploads.c.size == bindparam("offset")
)
_RECORD_UPLOAD: Final = update(uploads).where(
    uploads.c.id == bindparam("upload"), uploads.c.attempt == bindparam("by")
)
_TOUCH_UPLOAD: Final = _RECORD_UPLOAD.values(active_at=bindparam("now"))
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
        "backend": upload.backend,
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
        row.backend,
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


def touch_upload(connection: Connection, upload_id: str, attempt: str, now: float) -> None:
    """The attempt is still receiving."""
    connection.execute(_TOUCH_UPLOAD, {"upload": upload_id, "by": attempt, "now": now})


def delete_upload(connection: Connection, upload_id: str) -> bool:
    return connection.execute(_DELETE_UPLOAD, {"upload": upload_id}).rowcount > 0


def idle_uploads(connection: Connection, before: float, limit: int) -> list[tuple[str, str]]:
    """Uploads that nothing has arrived for since ``before``, each with its backend."""
    query = select(uploads.c.id, uploads.c.backend).where(uploads.c.active_at < before)
    return [(row.id, row.backend) for row in connection.execute(query.limit(limit))]


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
