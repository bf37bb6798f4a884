"""The SQL of where bytes lie. Bytes that no row of ``blobs`` speaks of lie in the default backend."""

from collections.abc import Collection
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    union,
    update,
)

from longshore.db.clock import database_time
from longshore.oci.digest import Digest
from longshore.placement.model import Holding, Stored
from longshore.registry import store as registry
from longshore.registry.model import BlobState
from longshore.registry.tables import (
    blobs,
    manifests,
    repositories,
    repository_blobs,
    spare_copies,
    uploads,
)
from longshore.storage.backends import DEFAULT

#: Seconds that removing one object may take; after them somebody else may try.
DELETION: Final = 300.0
_BATCH: Final = 500

_HAS_ROW: Final = exists().where(blobs.c.digest == manifests.c.digest)
_SETTLED: Final = (blobs.c.state == BlobState.STORED) & blobs.c.condemned_at.is_(None)


def stored_after(
    connection: Connection, after: str, to: str, source: str | None, limit: int
) -> list[Stored]:
    """What lies in another backend than ``to`` (in ``source``, if given), in order of the digests
    after ``after``. What collection has an eye on is left out."""
    elsewhere = blobs.c.backend != to if source is None else blobs.c.backend == source
    known = (
        select(blobs.c.digest, blobs.c.size, blobs.c.backend)
        .where(blobs.c.digest > after, elsewhere, _SETTLED)
        .order_by(blobs.c.digest)
        .limit(limit)
    )
    found = [Stored(row.digest, row.size, row.backend) for row in connection.execute(known)]
    if to != DEFAULT and source in (None, DEFAULT):
        unsaid = (
            select(manifests.c.digest, func.max(manifests.c.size).label("size"))
            .where(manifests.c.digest > after, manifests.c.condemned_at.is_(None), ~_HAS_ROW)
            .group_by(manifests.c.digest)
            .order_by(manifests.c.digest)
            .limit(limit)
        )
        found += [Stored(row.digest, row.size, DEFAULT) for row in connection.execute(unsaid)]
    return sorted(found, key=lambda stored: stored.digest)[:limit]


def users(connection: Connection, digests: Collection[str]) -> dict[str, set[str]]:
    """Which repositories use which of ``digests``, as a blob or as a manifest."""
    found: dict[str, set[str]] = {digest: set() for digest in digests}
    ordered = sorted(found)
    for start in range(0, len(ordered), _BATCH):
        some = ordered[start : start + _BATCH]
        queries: list[Select[tuple[str, str]]] = [
            select(table.c.digest, repositories.c.name)
            .join(repositories, repositories.c.id == table.c.repository_id)
            .where(table.c.digest.in_(some))
            for table in (repository_blobs, manifests)
        ]
        for row in connection.execute(union(*queries)):
            found[row.digest].add(row.name)
    return found


def begin_copy(connection: Connection, stored: Stored, to: str) -> bool:
    """Note, before there are any, that bytes come to lie in ``to`` which nobody reads yet. False
    while older ones are just being removed there."""
    registry.add_spare(connection, stored.digest, to, stored.size)
    return registry.spare_is_free(connection, stored.digest, to)


def settle(connection: Connection, stored: Stored, to: str) -> bool:
    """The copy in ``to`` is complete: from now on it is what is read, and the old one is spare.

    False when that is no longer wanted (the bytes are elsewhere or going); the copy stays spare.
    """
    if not registry.release_spare(connection, stored.digest, to):
        return False
    if not _turn(connection, stored, to):
        registry.add_spare(connection, stored.digest, to, stored.size)
        return False
    registry.add_spare(connection, stored.digest, stored.backend, stored.size)
    return True


def _turn(connection: Connection, stored: Stored, to: str) -> bool:
    own = blobs.c.digest == stored.digest
    turned = connection.execute(
        update(blobs).where(own, blobs.c.backend == stored.backend, _SETTLED).values(backend=to)
    )
    if turned.rowcount:
        return True
    if stored.backend != DEFAULT or registry.location(connection, stored.digest) != DEFAULT:
        return False
    return registry.put_location(connection, Digest(stored.digest), stored.size, to)


def due_spares(connection: Connection, grace: float, limit: int) -> list[Stored]:
    """Copies that have been spare for ``grace`` seconds, and those whose removal was cut short."""
    now = database_time(connection)
    waited = and_(spare_copies.c.deletion_until.is_(None), spare_copies.c.since <= now - grace)
    query = (
        select(spare_copies.c.digest, spare_copies.c.size, spare_copies.c.backend)
        .where(or_(waited, spare_copies.c.deletion_until < now))
        .order_by(spare_copies.c.since)
        .limit(limit)
    )
    return [Stored(row.digest, row.size, row.backend) for row in connection.execute(query)]


def begin_removal(connection: Connection, copy: Stored) -> bool:
    """Nobody may use the copy from now on, for DELETION seconds; False when somebody does, and then
    it is no longer spare."""
    now = database_time(connection)
    free = or_(spare_copies.c.deletion_until.is_(None), spare_copies.c.deletion_until < now)
    taken = connection.execute(
        update(spare_copies).where(_copy(copy), free).values(deletion_until=now + DELETION)
    )
    if not taken.rowcount:
        return False
    if registry.location(connection, copy.digest) == copy.backend:
        connection.execute(delete(spare_copies).where(_copy(copy)))
        return False
    return True


def end_removal(connection: Connection, copy: Stored) -> None:
    """The bytes are gone."""
    connection.execute(delete(spare_copies).where(_copy(copy)))


def _copy(copy: Stored) -> ColumnElement[bool]:
    return (spare_copies.c.digest == copy.digest) & (spare_copies.c.backend == copy.backend)


def holdings(connection: Connection) -> dict[str, Holding]:
    """What each backend holds, by its name; those that hold nothing are left out."""
    found: dict[str, Holding] = {}
    counts = select(blobs.c.backend, func.count(), func.sum(blobs.c.size))
    for backend, count, size in connection.execute(counts.group_by(blobs.c.backend)):
        found[backend] = Holding(count, int(size))
    unsaid = (
        select(manifests.c.digest, func.max(manifests.c.size).label("size"))
        .where(~_HAS_ROW)
        .group_by(manifests.c.digest)
        .subquery()
    )
    count, size = connection.execute(select(func.count(), func.sum(unsaid.c.size))).one()
    if count:
        default = found.get(DEFAULT, Holding())
        found[DEFAULT] = Holding(default.blobs + count, default.size + int(size))
    spare = select(spare_copies.c.backend, func.count(), func.sum(spare_copies.c.size))
    for backend, count, size in connection.execute(spare.group_by(spare_copies.c.backend)):
        known = found.get(backend, Holding())
        found[backend] = Holding(known.blobs, known.size, count, int(size))
    return found


def sample(connection: Connection, backend: str, limit: int) -> list[Stored]:
    """Some of what lies in a backend."""
    known = select(blobs.c.digest, blobs.c.size).where(blobs.c.backend == backend, _SETTLED)
    found = list(connection.execute(known.limit(limit)))
    if backend == DEFAULT:
        unsaid = select(manifests.c.digest, manifests.c.size).where(~_HAS_ROW).limit(limit)
        found += connection.execute(unsaid)
    return [Stored(row.digest, row.size, backend) for row in found]


def rename(connection: Connection, old: str, new: str) -> int:
    """Say of everything in the backend ``old`` that it lies in ``new``; how many digests."""
    if old == DEFAULT:
        unsaid = (
            select(
                manifests.c.digest,
                func.max(manifests.c.size),
                func.max(manifests.c.pushed_at),
                literal(new),
            )
            .where(~_HAS_ROW)
            .group_by(manifests.c.digest)
        )
        columns = ["digest", "size", "created_at", "backend"]
        added = connection.execute(insert(blobs).from_select(columns, unsaid)).rowcount
    else:
        added = 0
    changed = connection.execute(
        update(blobs).where(blobs.c.backend == old).values(backend=new)
    ).rowcount
    # What was spare under the new name was so in another place, which has no name any more.
    connection.execute(delete(spare_copies).where(spare_copies.c.backend == new))
    for table in (uploads, spare_copies):
        connection.execute(update(table).where(table.c.backend == old).values(backend=new))
    return added + changed
