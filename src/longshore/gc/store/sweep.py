"""Removing what has been condemned for a lease, unless something uses it after all.

Each function is one transaction's work on one batch: it holds the rows (PostgreSQL: those that
nobody else holds), looks once more who needs them, and acts. Whoever came to need a row after that
look waits for the row and finds it gone.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    delete,
    literal,
    or_,
    select,
    tuple_,
    union_all,
    update,
)

from longshore.gc.store.mark import condemn_unknown
from longshore.oci.digest import Digest
from longshore.registry.model import BlobState
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
class Swept:
    """What became of one batch: rows removed, and rows that are in use after all."""

    removed: int
    absolved: int


@dataclass(frozen=True, slots=True)
class SweptManifests:
    """The same, with the names of those that were removed: (repository, digest)."""

    removed: list[tuple[str, str]]
    absolved: int


# ── manifests ─────────────────────────────────────────────────────────────────────────────────


def expired_manifests(connection: Connection, before: float, last: int, limit: int) -> list[int]:
    """Ids after ``last`` of manifests condemned before that time."""
    query = select(manifests.c.id).where(manifests.c.condemned_at <= before, manifests.c.id > last)
    return list(connection.scalars(query.order_by(manifests.c.id).limit(limit)))


def delete_manifests(
    connection: Connection, ids: Collection[int], before: float, now: float
) -> SweptManifests:
    """Remove those of the manifests that have no tag, and no index above them and no subject that
    stays.

    So what they were part of goes first or with them; whoever was promised the whole keeps its parts.
    Lists under fallback tags can make two manifests each other's subject: those go together.
    """
    query = (
        select(manifests.c.id, manifests.c.digest, manifests.c.size, repositories.c.name)
        .join(repositories, repositories.c.id == manifests.c.repository_id)
        .where(manifests.c.id.in_(ids), manifests.c.condemned_at <= before)
        .order_by(manifests.c.id)
        .with_for_update(skip_locked=True, of=manifests)
    )
    held = {row.id: row for row in connection.execute(query)}
    tagged = set(connection.scalars(_tagged(held)))
    above: dict[int, set[int]] = {found: set() for found in held}
    for links in _above(held):
        for row in connection.execute(links):
            above[row.id].add(row.above)
    if tagged:
        own = manifests.c.id.in_(tagged)
        connection.execute(update(manifests).where(own).values(condemned_at=None))
    free = held.keys() - tagged
    while stay := {found for found in free if not above[found] <= free}:
        free -= stay
    gone = [held[found] for found in sorted(free)]
    if gone:
        _delete(connection, gone, now)
    return SweptManifests([(row.name, row.digest) for row in gone], len(tagged))


def _tagged(ids: Collection[int]) -> Select[tuple[int]]:
    """Which of the manifests a tag names."""
    same = tags.c.repository_id == manifests.c.repository_id
    named = same & (tags.c.digest == manifests.c.digest)
    return select(manifests.c.id).join(tags, named).where(manifests.c.id.in_(ids))


def _above(ids: Collection[int]) -> tuple[Select[tuple[int, int]], Select[tuple[int, int]]]:
    """Which manifests of their repositories are ``above`` them: indexes they are part of, and their
    subjects."""
    part, subject = manifest_references, manifests.alias("subject")
    below = (part.c.repository_id == manifests.c.repository_id) & (
        part.c.digest == manifests.c.digest
    )
    about = (subject.c.repository_id == manifests.c.repository_id) & (
        subject.c.digest == manifests.c.subject
    )
    parts = select(manifests.c.id, part.c.manifest_id.label("above")).join(part, below)
    subjects = select(manifests.c.id, subject.c.id.label("above")).join(subject, about)
    return parts.where(manifests.c.id.in_(ids)), subjects.where(manifests.c.id.in_(ids))


def _delete(connection: Connection, gone: Sequence[Row[Any, Any, Any, Any]], now: float) -> None:
    ids = [row.id for row in gone]
    connection.execute(
        delete(manifest_references).where(manifest_references.c.manifest_id.in_(ids))
    )
    connection.execute(delete(manifests).where(manifests.c.id.in_(ids)))
    condemn_unknown(connection, [(Digest(row.digest), row.size) for row in gone], now)


# ── links ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ExpiredLink:
    repository: int
    name: str
    digest: str


def expired_links(
    connection: Connection, before: float, last: tuple[int, str], limit: int
) -> list[ExpiredLink]:
    """Links after ``last`` (repository, digest) condemned before that time."""
    key = (repository_blobs.c.repository_id, repository_blobs.c.digest)
    query = (
        select(*key, repositories.c.name)
        .join(repositories, repositories.c.id == repository_blobs.c.repository_id)
        .where(
            repository_blobs.c.condemned_at <= before, tuple_(*key) > tuple_(*map(literal, last))
        )
        .order_by(*key)
        .limit(limit)
    )
    rows = connection.execute(query)
    return [ExpiredLink(row.repository_id, row.name, row.digest) for row in rows]


def is_busy(connection: Connection, repository: int, name: str, since: float) -> bool:
    """Whether somebody is pushing to the repository: an upload that lives, or a blob that came."""
    lives = select(uploads.c.id).where(uploads.c.repository == name, uploads.c.active_at > since)
    came = select(repository_blobs.c.digest).where(
        repository_blobs.c.repository_id == repository, repository_blobs.c.linked_at > since
    )
    return any(connection.scalar(query.limit(1)) is not None for query in (lives, came))


def delete_links(
    connection: Connection, repository: int, digests: Collection[str], before: float
) -> Swept:
    """Take the blobs away from the repository unless a manifest of it needs them.

    What only condemned manifests need stays as it is, and goes once they have gone.
    """
    own = (repository_blobs.c.repository_id == repository) & repository_blobs.c.digest.in_(digests)
    query = (
        select(repository_blobs.c.digest)
        .where(own, repository_blobs.c.condemned_at <= before)
        .order_by(repository_blobs.c.digest)
        .with_for_update(skip_locked=True)
    )
    held = list(connection.scalars(query))
    needs = (
        select(manifest_references.c.digest, manifests.c.condemned_at)
        .join(manifests, manifests.c.id == manifest_references.c.manifest_id)
        .where(
            manifest_references.c.repository_id == repository,
            manifest_references.c.digest.in_(held),
        )
    )
    rows = connection.execute(needs).all()
    needed = {row.digest for row in rows}
    used = {row.digest for row in rows if row.condemned_at is None}
    in_repository = repository_blobs.c.repository_id == repository
    if used:
        own = in_repository & repository_blobs.c.digest.in_(used)
        connection.execute(update(repository_blobs).where(own).values(condemned_at=None))
    free = set(held) - needed
    if free:
        connection.execute(
            delete(repository_blobs).where(in_repository, repository_blobs.c.digest.in_(free))
        )
    return Swept(len(free), len(used))


# ── bytes ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Doomed:
    """Bytes that go now, from ``backend``; ``size`` is what is known of them."""

    digest: Digest
    size: int
    backend: str


@dataclass(frozen=True, slots=True)
class ExpiredBlob:
    condemned_at: float
    digest: str


def expired_blobs(
    connection: Connection, before: float, now: float, last: ExpiredBlob, limit: int
) -> list[ExpiredBlob]:
    """Blobs after ``last`` condemned before that time, the oldest first, whose bytes nobody is
    removing at ``now``."""
    key = (blobs.c.condemned_at, blobs.c.digest)
    query = (
        select(*key)
        .where(
            blobs.c.condemned_at <= before,
            tuple_(*key) > tuple_(literal(last.condemned_at), literal(last.digest)),
            _free_at(now),
        )
        .order_by(*key)
        .limit(limit)
    )
    return [ExpiredBlob(row.condemned_at, row.digest) for row in connection.execute(query)]


def doom_blobs(
    connection: Connection, digests: Collection[str], before: float, now: float, until: float
) -> tuple[list[Doomed], int]:
    """Announce that the bytes go, to be done by ``until``; and how many are in use after all.

    From here on nobody relies on them or puts new ones in their place. Bytes of rows that are
    themselves condemned stay as they are, and go once those rows have gone.
    """
    query = (
        select(blobs.c.digest, blobs.c.size, blobs.c.backend)
        .where(blobs.c.digest.in_(digests), blobs.c.condemned_at <= before, _free_at(now))
        .order_by(blobs.c.digest)
        .with_for_update(skip_locked=True)
    )
    held = connection.execute(query).all()
    names = [row.digest for row in held]
    linked = select(repository_blobs.c.digest, repository_blobs.c.condemned_at)
    stored = select(manifests.c.digest, manifests.c.condemned_at)
    rows = connection.execute(
        union_all(
            linked.where(repository_blobs.c.digest.in_(names)),
            stored.where(manifests.c.digest.in_(names)),
        )
    ).all()
    holding = {row.digest for row in rows}
    used = {row.digest for row in rows if row.condemned_at is None}
    if used:
        own = blobs.c.digest.in_(used)
        connection.execute(update(blobs).where(own).values(condemned_at=None))
    doomed = [
        Doomed(Digest(row.digest), row.size, row.backend)
        for row in held
        if row.digest not in holding
    ]
    if doomed:
        own = blobs.c.digest.in_([blob.digest for blob in doomed])
        gone = {"state": BlobState.DELETING, "deletion_until": until}
        connection.execute(update(blobs).where(own).values(gone))
    return doomed, len(used)


def forget_blobs(connection: Connection, digests: Collection[str], until: float) -> None:
    """Their bytes are gone: so are the rows, if they are still those that were announced."""
    connection.execute(
        delete(blobs).where(
            blobs.c.digest.in_(digests),
            blobs.c.state == BlobState.DELETING,
            blobs.c.deletion_until == until,
        )
    )


def _free_at(now: float) -> ColumnElement[bool]:
    return or_(blobs.c.state != BlobState.DELETING, blobs.c.deletion_until < now)
