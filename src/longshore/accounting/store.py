"""What the rows say of bytes and of who needs them."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Subquery,
    exists,
    func,
    or_,
    select,
    union_all,
)

from longshore.accounting.model import Overview, Usage
from longshore.accounting.reach import Graph
from longshore.registry.tables import (
    blobs,
    manifest_references,
    manifests,
    repositories,
    repository_blobs,
    tags,
)

_STREAMED: Final[Mapping[str, Any]] = {"stream_results": True, "yield_per": 5000}
_BATCH: Final = 500


# ── everything ────────────────────────────────────────────────────────────────────────────────


def overview(connection: Connection, *, projects: bool, within: str | None = None) -> Overview:
    """The usage of every project, or of every repository (``within``: of those of one project)."""
    project = _project(connection)
    owner = project if projects else repositories.c.id.label("owner")
    named = select(owner, project if projects else repositories.c.name)
    if within is not None:
        named = named.where(project == within)
    groups = {row[0]: (row[1], Usage()) for row in connection.execute(named.distinct())}
    held = _held(owner)
    once = select(held.c.owner, func.max(held.c.size).label("size"))
    once_each = once.group_by(held.c.owner, held.c.digest).subquery()
    stored = select(once_each.c.owner, func.sum(once_each.c.size)).group_by(once_each.c.owner)
    for found, size in connection.execute(stored):
        if found in groups:
            groups[found][1].stored = int(size)
    whole = Usage()
    for found, is_alone, size in connection.execute(_by_first_owner(held)):
        whole.stored += int(size)
        if is_alone and found in groups:
            groups[found][1].exclusive = int(size)
    for query in _occurrences(owner):
        for found, size in connection.execute(query):
            whole.logical += int(size)
            if found in groups:
                groups[found][1].logical += int(size)
    whole.exclusive = whole.stored
    return Overview(dict(groups.values()), whole, _waiting(connection))


def _project(connection: Connection) -> ColumnElement[str]:
    """The first component of a repository's name."""
    name = repositories.c.name
    if connection.dialect.name == "sqlite":
        return func.substr(name, 1, func.instr(name + "/", "/") - 1).label("owner")
    return func.split_part(name, "/", 1).label("owner")


def _held(owner: ColumnElement[Any]) -> Subquery:
    """Digests with their owner and size; one that is a blob and a manifest comes twice."""
    links = (
        select(owner, repository_blobs.c.digest, blobs.c.size)
        .join(repository_blobs, repository_blobs.c.repository_id == repositories.c.id)
        .join(blobs, blobs.c.digest == repository_blobs.c.digest)
    )
    own = select(owner, manifests.c.digest, manifests.c.size).join(
        manifests, manifests.c.repository_id == repositories.c.id
    )
    return union_all(links, own).subquery()


def _by_first_owner(held: Subquery) -> Select[tuple[Any, bool, int]]:
    """Bytes by the first of a digest's owners, and whether that is the only one: it is if it is the
    last, too."""
    digests = (
        select(
            func.min(held.c.owner).label("first"),
            func.max(held.c.owner).label("last"),
            func.max(held.c.size).label("size"),
        )
        .group_by(held.c.digest)
        .subquery()
    )
    alone = (digests.c.first == digests.c.last).label("alone")
    return select(digests.c.first, alone, func.sum(digests.c.size)).group_by(digests.c.first, alone)


def _occurrences(owner: ColumnElement[Any]) -> list[Select[tuple[Any, int]]]:
    """Bytes by owner, each occurrence counted: manifests, what they refer to, and blobs to which
    none refers (nor are they a manifest there, too)."""
    link = (repository_blobs.c.repository_id == manifest_references.c.repository_id) & (
        repository_blobs.c.digest == manifest_references.c.digest
    )
    manifest = (manifests.c.repository_id == repository_blobs.c.repository_id) & (
        manifests.c.digest == repository_blobs.c.digest
    )
    of_repository = repositories.c.id == repository_blobs.c.repository_id
    linked = (
        select(owner, func.sum(blobs.c.size))
        .join(repository_blobs, of_repository)
        .join(blobs, blobs.c.digest == repository_blobs.c.digest)
    )
    queries = [
        select(owner, func.sum(manifests.c.size)).join(
            manifests, manifests.c.repository_id == repositories.c.id
        ),
        linked.join(manifest_references, link),
        linked.where(~exists().where(link), ~exists().where(manifest)),
    ]
    return [query.group_by(owner) for query in queries]


def _waiting(connection: Connection) -> int:
    query = select(func.coalesce(func.sum(blobs.c.size), 0)).where(
        ~exists().where(repository_blobs.c.digest == blobs.c.digest),
        ~exists().where(manifests.c.digest == blobs.c.digest),
    )
    return int(connection.scalar(query) or 0)


# ── one repository ────────────────────────────────────────────────────────────────────────────


def graph(connection: Connection, repository: int) -> Graph:
    """Its manifests, and how one leads to another."""
    own = manifests.c.repository_id == repository
    nodes = frozenset(connection.scalars(select(manifests.c.id).where(own)))
    other = manifests.alias("other")
    same = other.c.repository_id == manifests.c.repository_id
    children = (
        select(manifests.c.id, other.c.id)
        .join(manifest_references, manifest_references.c.manifest_id == manifests.c.id)
        .join(other, same & (other.c.digest == manifest_references.c.digest))
        .where(own, manifest_references.c.kind == "child")
    )
    referrers = (
        select(other.c.id, manifests.c.id)
        .join(other, same & (other.c.digest == manifests.c.subject))
        .where(own)
    )
    below: dict[int, list[int]] = {}
    for query in (children, referrers):
        for above, under in connection.execute(query, execution_options=_STREAMED):
            below.setdefault(above, []).append(under)
    named = (
        select(manifests.c.id, tags.c.name)
        .join(tags, (tags.c.repository_id == repository) & (tags.c.digest == manifests.c.digest))
        .where(own)
        .order_by(tags.c.name)
    )
    names: dict[int, list[str]] = {}
    for node, name in connection.execute(named, execution_options=_STREAMED):
        names.setdefault(node, []).append(name)
    return Graph(nodes, below, names)


def manifest_id(connection: Connection, repository: int, digest: str) -> int | None:
    own = (manifests.c.repository_id == repository) & (manifests.c.digest == digest)
    return connection.scalar(select(manifests.c.id).where(own))


def manifests_by_digest(
    connection: Connection, repository: int
) -> Iterator[tuple[str, int, int, bool]]:
    """Each manifest: digest, id, size, and whether another repository has the digest; in order."""
    query = (
        select(
            manifests.c.digest,
            manifests.c.id,
            manifests.c.size,
            _elsewhere(manifests.c.digest, repository),
        )
        .where(manifests.c.repository_id == repository)
        .order_by(manifests.c.digest)
    )
    for row in connection.execute(query, execution_options=_STREAMED):
        yield row.digest, row.id, row.size, row[3]


def links_by_digest(connection: Connection, repository: int) -> Iterator[tuple[str, int, bool]]:
    """Each blob that the repository may read: digest, size, and whether another one has it; in
    order."""
    query = (
        select(
            repository_blobs.c.digest,
            blobs.c.size,
            _elsewhere(repository_blobs.c.digest, repository),
        )
        .join(blobs, blobs.c.digest == repository_blobs.c.digest)
        .where(repository_blobs.c.repository_id == repository)
        .order_by(repository_blobs.c.digest)
    )
    for row in connection.execute(query, execution_options=_STREAMED):
        yield row.digest, row.size, row[2]


def references_by_digest(connection: Connection, repository: int) -> Iterator[tuple[str, int]]:
    """What the repository's manifests refer to: digest, and the id of the manifest; in order."""
    query = (
        select(manifest_references.c.digest, manifest_references.c.manifest_id)
        .join(manifests, manifests.c.id == manifest_references.c.manifest_id)
        .where(manifests.c.repository_id == repository)
        .order_by(manifest_references.c.digest)
    )
    for row in connection.execute(query, execution_options=_STREAMED):
        yield row.digest, row.manifest_id


def _elsewhere(digest: ColumnElement[str], repository: int) -> ColumnElement[bool]:
    link, manifest = repository_blobs.alias("other_link"), manifests.alias("other_manifest")
    return or_(
        *(
            exists().where(table.c.digest == digest, table.c.repository_id != repository)
            for table in (link, manifest)
        )
    )


def others_with(
    connection: Connection, repository: int, digests: Collection[tuple[str, int]]
) -> dict[str, int]:
    """Other repositories that have some of the digests (each given with its size), and how many
    bytes of them."""
    sizes = dict(digests)
    ordered = sorted(sizes)
    found: dict[str, int] = {}
    for start in range(0, len(ordered), _BATCH):
        some = ordered[start : start + _BATCH]
        holders = union_all(
            *(
                select(table.c.repository_id, table.c.digest).where(
                    table.c.digest.in_(some), table.c.repository_id != repository
                )
                for table in (repository_blobs, manifests)
            )
        ).subquery()
        query = select(repositories.c.name, holders.c.digest).join(
            holders, holders.c.repository_id == repositories.c.id
        )
        for name, digest in connection.execute(query.distinct(), execution_options=_STREAMED):
            found[name] = found.get(name, 0) + sizes[digest]
    return found
