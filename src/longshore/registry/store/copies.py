"""In which backend the bytes under a digest lie, and copies of them that nobody reads.

A row of ``blobs`` says where; bytes without a row (of manifests) lie in the default backend. Each copy
that exists besides, because it is being made, was moved away from or was pushed twice at once, is a
row of ``spare_copies``: so nothing is ever left behind unknown, whoever is killed when.
"""

from collections.abc import Collection
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    delete,
    literal,
    literal_column,
    or_,
    select,
    update,
)

from longshore.db.clock import database_time
from longshore.oci.digest import Digest
from longshore.registry.model import BlobGoing
from longshore.registry.store.statements import insert_if_absent
from longshore.registry.tables import blobs, manifests, spare_copies
from longshore.storage.backends import DEFAULT

_BACKEND: Final = select(blobs.c.backend).where(blobs.c.digest == bindparam("digest"))


def location(connection: Connection, digest: str) -> str | None:
    """The backend whose bytes are read; None when nobody refers to any."""
    found = connection.scalar(_BACKEND, {"digest": digest})
    return DEFAULT if found is None and _is_manifest(connection, digest) else found


def other_backend(connection: Connection, known: Collection[str]) -> str | None:
    """A backend that bytes lie in and that is none of ``known``; None if there is no such."""
    # As the index of those that lie elsewhere wants it.
    elsewhere = blobs.c.backend != literal_column("''")
    query = select(blobs.c.backend).where(elsewhere, blobs.c.backend.not_in(known)).limit(1)
    return connection.scalar(query)


def put_location(connection: Connection, digest: Digest, size: int, backend: str) -> bool:
    """Say that bytes of which no row speaks lie in ``backend``; False if a row says otherwise."""
    row = {
        "digest": digest,
        "size": size,
        "created_at": database_time(connection),
        "backend": backend,
    }
    if not insert_if_absent(connection, blobs, row):
        return connection.scalar(_BACKEND, {"digest": digest}) == backend
    if backend != DEFAULT and _is_manifest(connection, digest):
        add_spare(connection, digest, DEFAULT, size)
    return True


def replace_location(connection: Connection, digest: Digest, lost: str, backend: str) -> None:
    """The bytes are in ``backend`` now, because ``lost`` does not have them any more."""
    own = (blobs.c.digest == digest) & (blobs.c.backend == lost)
    connection.execute(update(blobs).where(own).values(backend=backend))


def settle_copy(connection: Connection, digest: Digest, size: int, backend: str) -> None:
    """What was just pushed lies in ``backend``: it is what is read, or spare if that lies elsewhere.

    Raises BlobGoing when an older copy is being removed from there, and with it maybe this one.
    """
    if not release_spare(connection, digest, backend) and spare_exists(connection, digest, backend):
        raise BlobGoing(digest)
    if location(connection, digest) != backend:
        add_spare(connection, digest, backend, size)


def add_spare(connection: Connection, digest: str, backend: str, size: int) -> None:
    """Note a copy that nobody reads; from now on, if it was known already."""
    now = database_time(connection)
    row = {"digest": digest, "backend": backend, "size": size, "since": now}
    if not insert_if_absent(connection, spare_copies, row):
        free = _copy(digest, backend) & _is_free(now)
        connection.execute(update(spare_copies).where(free).values(since=now, deletion_until=None))


def release_spare(connection: Connection, digest: str, backend: str) -> bool:
    """The copy is spare no longer; False if none was known, or it is being removed."""
    free = _copy(digest, backend) & _is_free(database_time(connection))
    return connection.execute(delete(spare_copies).where(free)).rowcount > 0


def spare_is_free(connection: Connection, digest: str, backend: str) -> bool:
    """Whether the copy is known and nobody is removing it."""
    free = _copy(digest, backend) & _is_free(database_time(connection))
    return connection.scalar(select(literal(1)).where(free)) is not None


def spare_exists(connection: Connection, digest: str, backend: str) -> bool:
    """Whether the copy is known, also if it is being removed."""
    query = select(literal(1)).where(_copy(digest, backend))
    return connection.scalar(query) is not None


def _copy(digest: str, backend: str) -> ColumnElement[bool]:
    return (spare_copies.c.digest == digest) & (spare_copies.c.backend == backend)


def _is_free(now: float) -> ColumnElement[bool]:
    return or_(spare_copies.c.deletion_until.is_(None), spare_copies.c.deletion_until < now)


def _is_manifest(connection: Connection, digest: str) -> bool:
    query = select(literal(1)).where(manifests.c.digest == digest).limit(1)
    return connection.scalar(query) is not None
