"""What there is to verify, and what is known of it. Each function is short work in a transaction."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, delete, exists, func, select, union, update

from longshore.oci.digest import Digest
from longshore.registry.model import BlobState
from longshore.registry.store.statements import insert_if_absent
from longshore.registry.tables import blobs, manifests
from longshore.scrub.model import Candidate
from longshore.scrub.tables import verifications
from longshore.storage.backends import DEFAULT


def page(connection: Connection, last: str, limit: int) -> tuple[list[Candidate], str | None]:
    """Candidates after ``last`` in order of digests, and where the page ends (None: that was all)."""
    # Limited on both sides first, so that neither index is read further than the page.
    sides = [
        select(table.c.digest)
        .where(table.c.digest > last)
        .distinct()
        .order_by(table.c.digest)
        .limit(limit)
        .subquery()
        for table in (blobs, manifests)
    ]
    found = union(*(select(side.c.digest) for side in sides)).subquery()
    query = select(found.c.digest).order_by(found.c.digest).limit(limit)
    digests = list(connection.scalars(query))
    return find(connection, digests), digests[-1] if len(digests) == limit else None


def find(connection: Connection, digests: Sequence[str]) -> list[Candidate]:
    """Those of ``digests`` that a blob or a manifest has, in their order. What collection is just
    removing is none of them."""
    known: dict[str, tuple[int, bool, str]] = {}
    for row in connection.execute(
        select(manifests.c.digest, manifests.c.size).where(manifests.c.digest.in_(digests))
    ):
        known[row.digest] = (row.size, False, DEFAULT)
    states = select(blobs.c.digest, blobs.c.size, blobs.c.state, blobs.c.backend)
    for digest, size, state, backend in connection.execute(
        states.where(blobs.c.digest.in_(digests))
    ):
        known[digest] = (size, state == BlobState.QUARANTINED, backend)
        if state == BlobState.DELETING:
            del known[digest]
    verified: dict[str, float] = {
        row.digest: row.verified_at
        for row in connection.execute(
            select(verifications).where(verifications.c.digest.in_(digests))
        )
    }
    return [
        Candidate(Digest(digest), known[digest][0], verified.get(digest), *known[digest][1:])
        for digest in digests
        if digest in known
    ]


def count(connection: Connection) -> int:
    """How many candidates there are."""
    alone = ~exists().where(blobs.c.digest == manifests.c.digest)
    of_blobs = select(func.count()).select_from(blobs)
    of_manifests = select(func.count(manifests.c.digest.distinct())).where(alone)
    return (connection.scalar(of_blobs) or 0) + (connection.scalar(of_manifests) or 0)


def record(connection: Connection, digests: Collection[str], now: float) -> None:
    """They are sound."""
    known = verifications.c.digest.in_(digests)
    connection.execute(update(verifications).where(known).values(verified_at=now))
    for digest in digests:
        insert_if_absent(connection, verifications, {"digest": digest, "verified_at": now})


def outdated(connection: Connection, after: str, until: str | None) -> list[str]:
    """Digests in ``(after, until]`` that were verified once and that nothing has any more."""
    query = select(verifications.c.digest).where(
        verifications.c.digest > after,
        ~exists().where(blobs.c.digest == verifications.c.digest),
        ~exists().where(manifests.c.digest == verifications.c.digest),
    )
    if until is not None:
        query = query.where(verifications.c.digest <= until)
    return list(connection.scalars(query))


def forget(connection: Connection, digests: Collection[str]) -> None:
    connection.execute(delete(verifications).where(verifications.c.digest.in_(digests)))


def quarantine(connection: Connection, candidate: Candidate, now: float) -> bool:
    """Say that the bytes are bad; False when that is known, they lie in another place by now, or nobody
    has them any more."""
    digest = candidate.digest
    own = (
        (blobs.c.digest == digest)
        & (blobs.c.backend == candidate.backend)
        & (blobs.c.state == BlobState.STORED)
    )
    changed = connection.execute(update(blobs).where(own).values(state=BlobState.QUARANTINED))
    if changed.rowcount:
        return True
    if candidate.backend != DEFAULT:
        return False
    size = connection.scalar(select(manifests.c.size).where(manifests.c.digest == digest).limit(1))
    if size is None:
        return False
    state = BlobState.QUARANTINED
    row = {"digest": digest, "size": size, "created_at": now, "state": state}
    return insert_if_absent(connection, blobs, row)
