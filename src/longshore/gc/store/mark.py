"""Finding what is not used, and remembering since when.

To condemn is only to begin a wait: a row that is condemned by mistake, because something came to use
it between the reading and the writing, is absolved when its time has come. So nothing here locks.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Table,
    exists,
    func,
    null,
    or_,
    select,
    union_all,
    update,
)

from longshore.oci.digest import Digest
from longshore.registry.model import BlobState
from longshore.registry.store.statements import insert_if_absent
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


@dataclass(frozen=True, slots=True)
class Unreached:
    """A manifest that no tag reaches; ``size`` in bytes."""

    id: int
    digest: Digest
    size: int


def repositories_after(connection: Connection, last: int, limit: int) -> list[int]:
    """Ids, in order."""
    query = select(repositories.c.id).where(repositories.c.id > last)
    return list(connection.scalars(query.order_by(repositories.c.id).limit(limit)))


def _page_end(
    connection: Connection, table: Table, last: str, length: int, *where: ColumnElement[bool]
) -> str | None:
    """The digest that ends a page of rows after ``last``; None when fewer than ``length`` follow."""
    query = select(table.c.digest).where(*where, table.c.digest > last)
    return connection.scalar(query.order_by(table.c.digest).limit(1).offset(length - 1))


def _in_page(table: Table, last: str, end: str | None) -> ColumnElement[bool]:
    after = table.c.digest > last
    return after if end is None else after & (table.c.digest <= end)


# ── manifests ─────────────────────────────────────────────────────────────────────────────────


def reached(repository: int) -> CTE:
    """The digests of manifests that a tag of the repository reaches: through an index to its
    children, and from a subject to what refers to it (signatures, SBOMs), to any depth."""
    child = manifests.alias("child")  # an index may name one that the repository does not hold
    children = (
        select(manifests.c.digest.label("source"), child.c.digest.label("target"))
        .join(manifest_references, manifest_references.c.manifest_id == manifests.c.id)
        .join(child, child.c.digest == manifest_references.c.digest)
        .where(
            manifests.c.repository_id == repository,
            manifest_references.c.kind == "child",
            child.c.repository_id == repository,
        )
    )
    referrers = select(
        manifests.c.subject.label("source"), manifests.c.digest.label("target")
    ).where(manifests.c.repository_id == repository, manifests.c.subject.is_not(None))
    step = union_all(children, referrers).subquery("step")
    tagged = select(tags.c.digest).where(tags.c.repository_id == repository)
    found = tagged.cte("reached", recursive=True)
    return found.union(select(step.c.target).join(found, found.c.digest == step.c.source))


def unreached_manifests(
    connection: Connection, repository: int, pushed_before: float, last: int, limit: int
) -> list[Unreached]:
    """Manifests after id ``last`` that no tag reaches and that are not condemned yet."""
    query = (
        select(manifests.c.id, manifests.c.digest, manifests.c.size)
        .where(
            manifests.c.repository_id == repository,
            manifests.c.condemned_at.is_(None),
            manifests.c.pushed_at < pushed_before,
            manifests.c.id > last,
            manifests.c.digest.not_in(select(reached(repository).c.digest)),
        )
        .order_by(manifests.c.id)
        .limit(limit)
    )
    rows = connection.execute(query)
    return [Unreached(row.id, Digest(row.digest), row.size) for row in rows]


def condemn_manifests(connection: Connection, found: Collection[Unreached], now: float) -> None:
    """Begin the wait of the manifests, and of their bytes."""
    ids = [manifest.id for manifest in found]
    own = manifests.c.id.in_(ids) & manifests.c.condemned_at.is_(None)
    connection.execute(update(manifests).where(own).values(condemned_at=now))
    condemn_unknown(connection, [(manifest.digest, manifest.size) for manifest in found], now)


def wrongly_condemned(connection: Connection, repository: int, limit: int) -> list[int]:
    """Condemned manifests that a tag has come to reach since."""
    condemned = select(manifests.c.id).where(
        manifests.c.repository_id == repository, manifests.c.condemned_at.is_not(None)
    )
    if connection.scalar(condemned.limit(1)) is None:
        return []  # as in most repositories: what tags reach need not be found out
    query = condemned.where(manifests.c.digest.in_(select(reached(repository).c.digest)))
    return list(connection.scalars(query.limit(limit)))


def absolve_manifests(connection: Connection, ids: Collection[int]) -> None:
    connection.execute(update(manifests).where(manifests.c.id.in_(ids)).values(condemned_at=None))


# ── links ─────────────────────────────────────────────────────────────────────────────────────


def unused_links(
    connection: Connection, repository: int, linked_before: float, last: str, length: int
) -> tuple[list[Digest], str | None]:
    """Which of ``length`` blobs after ``last`` that the repository may read no manifest of it needs,
    not counting condemned ones; and where the next page begins, None when this is the last."""
    own = repository_blobs.c.repository_id == repository
    end = _page_end(connection, repository_blobs, last, length, own)
    needed = (
        exists()
        .where(
            manifest_references.c.digest == repository_blobs.c.digest,
            manifest_references.c.repository_id == repository,
        )
        .where(
            manifests.c.id == manifest_references.c.manifest_id, manifests.c.condemned_at.is_(None)
        )
    )
    query = select(repository_blobs.c.digest).where(
        own,
        _in_page(repository_blobs, last, end),
        repository_blobs.c.condemned_at.is_(None),
        repository_blobs.c.linked_at < linked_before,
        ~needed,
    )
    return [Digest(digest) for digest in connection.scalars(query)], end


def condemn_links(
    connection: Connection, repository: int, digests: Collection[str], now: float
) -> None:
    own = (
        (repository_blobs.c.repository_id == repository)
        & repository_blobs.c.digest.in_(digests)
        & repository_blobs.c.condemned_at.is_(None)
    )
    connection.execute(update(repository_blobs).where(own).values(condemned_at=now))


# ── bytes ─────────────────────────────────────────────────────────────────────────────────────


def unused_blobs(
    connection: Connection, last: str, created_before: float, length: int
) -> tuple[list[Digest], str | None]:
    """Which of ``length`` blobs after ``last`` nothing needs, not counting what is condemned; and
    where the next page begins, None when this is the last."""
    end = _page_end(connection, blobs, last, length)
    query = select(blobs.c.digest).where(
        _in_page(blobs, last, end),
        blobs.c.condemned_at.is_(None),
        blobs.c.created_at < created_before,
        ~_needed(repository_blobs.c.digest, repository_blobs.c.condemned_at),
        ~_needed(manifests.c.digest, manifests.c.condemned_at),
    )
    return [Digest(digest) for digest in connection.scalars(query)], end


def _needed(
    digest: ColumnElement[str], condemned_at: ColumnElement[float | None]
) -> ColumnElement[bool]:
    return exists().where(digest == blobs.c.digest, condemned_at.is_(None))


def condemn_blobs(connection: Connection, digests: Collection[str], now: float) -> None:
    own = blobs.c.digest.in_(digests) & blobs.c.condemned_at.is_(None)
    connection.execute(update(blobs).where(own).values(condemned_at=now))


def unknown(connection: Connection, digests: Sequence[str]) -> set[str]:
    """Those of ``digests`` that no row knows: bytes that a crash left behind."""
    known: set[str] = set()
    for column in (blobs.c.digest, manifests.c.digest):
        known.update(connection.scalars(select(column).where(column.in_(digests))))
    return set(digests) - known


def misplaced(connection: Connection, backend: str, digests: Sequence[Digest]) -> set[Digest]:
    """Those of ``digests`` whose bytes are read in another backend, and that are not known to lie in
    this one, too."""
    places = select(blobs.c.digest, blobs.c.backend).where(blobs.c.digest.in_(digests))
    place = {row.digest: row.backend for row in connection.execute(places)}
    spare = select(spare_copies.c.digest).where(
        spare_copies.c.digest.in_(digests), spare_copies.c.backend == backend
    )
    known = set(connection.scalars(spare))
    return {d for d in digests if place.get(d, DEFAULT) != backend and d not in known}


def condemn_unknown(
    connection: Connection,
    found: Collection[tuple[Digest, int]],
    now: float,
    backend: str = DEFAULT,
) -> None:
    """Give bytes without a row one, and begin their wait."""
    for digest, size in found:
        row = {
            "digest": digest,
            "size": size,
            "created_at": now,
            "condemned_at": now,
            "backend": backend,
        }
        insert_if_absent(connection, blobs, row)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is condemned: how many bytes under how many digests, since when (POSIX seconds)."""

    blobs: int
    size: int
    first: float | None
    last: float | None


def waiting(connection: Connection) -> Waiting:
    since = blobs.c.condemned_at
    query = select(
        func.count(), func.coalesce(func.sum(blobs.c.size), 0), func.min(since), func.max(since)
    ).where(or_(since.is_not(null()), blobs.c.state == BlobState.DELETING))
    count, size, first, last = connection.execute(query).one()
    return Waiting(count, int(size), first, last)
