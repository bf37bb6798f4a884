"""What links should say: the rows of a repository, and whether they have changed since."""

from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import Column, Connection, Table, delete, exists, func, select, update

from longshore.adoption.store.progress import add_linked
from longshore.adoption.tables import adoption_troubles, linked_repositories
from longshore.oci.digest import Digest
from longshore.oci.names import RepositoryName, Tag
from longshore.registry.model import Referrer
from longshore.registry.tables import manifests, repositories, repository_blobs, tag_history, tags


@dataclass(frozen=True, slots=True)
class Candidate:
    """A repository and the state of its rows. ``exported``: the state that its links say, None when
    they were never written; ``linked``: links are known to be ours, or to be in rows."""

    id: int
    name: RepositoryName
    state: str
    exported: str | None
    linked: bool

    @property
    def is_empty(self) -> bool:
        """Whether the rows know nothing in it."""
        return self.state.endswith(" 0 0 0")


@dataclass(slots=True)
class Wanted:
    """The links that a repository should have. ``history`` has when (POSIX seconds) a tag came to
    name a digest."""

    revisions: set[str] = field(default_factory=set)
    layers: set[str] = field(default_factory=set)
    tags: dict[Tag, Digest] = field(default_factory=dict)
    history: dict[tuple[Tag, Digest], float] = field(default_factory=dict)


def candidates(connection: Connection, last: int, limit: int) -> list[Candidate]:
    """Repositories after the one with id ``last``, in order of their ids, that the rows say all of.

    The state of the rows is how many there are and when the newest was written, of each kind: any
    addition moves the second, any deletion the first.
    """
    query = (
        select(
            repositories.c.id,
            repositories.c.name,
            linked_repositories.c.exported,
            linked_repositories.c.name.is_not(None).label("linked"),
        )
        .join(linked_repositories, linked_repositories.c.name == repositories.c.name, isouter=True)
        .where(
            repositories.c.id > last,
            linked_repositories.c.name.is_(None) | linked_repositories.c.indexed_at.is_not(None),
        )
        .order_by(repositories.c.id)
        .limit(limit)
    )
    found = connection.execute(query).all()
    if not found:
        return []
    states: dict[int, list[str]] = {row.id: [str(row.id)] for row in found}
    for table, moment in (
        (manifests, manifests.c.pushed_at),
        (tags, tags.c.updated_at),
        (repository_blobs, repository_blobs.c.linked_at),
    ):
        counted = _counted(connection, table, moment, found[0].id, found[-1].id)
        for repository, parts in states.items():
            parts.append(counted.get(repository, "0"))
    return [
        Candidate(
            row.id, RepositoryName(row.name), " ".join(states[row.id]), row.exported, row.linked
        )
        for row in found
    ]


def _counted(
    connection: Connection, table: Table, moment: Column[float], first: int, last: int
) -> dict[int, str]:
    repository = table.c.repository_id
    query = (
        select(repository, func.count(), func.max(moment))
        .where(repository >= first, repository <= last)
        .group_by(repository)
    )
    return {row[0]: f"{row[1]}@{row[2]!r}" for row in connection.execute(query)}


def wanted_links(connection: Connection, repository: int) -> Wanted:
    """The links that the repository's rows amount to."""
    wanted = Wanted()
    # Tags first: a manifest that is deleted in between takes its tags with it.
    for row in connection.execute(
        select(tags.c.name, tags.c.digest).where(tags.c.repository_id == repository)
    ):
        wanted.tags[Tag(row.name)] = Digest(row.digest)
    wanted.revisions.update(
        connection.scalars(
            select(manifests.c.digest).where(manifests.c.repository_id == repository)
        )
    )
    wanted.layers.update(
        connection.scalars(
            select(repository_blobs.c.digest).where(repository_blobs.c.repository_id == repository)
        )
    )
    history = (
        select(tag_history.c.name, tag_history.c.digest, func.max(tag_history.c.at))
        .where(tag_history.c.repository_id == repository, tag_history.c.digest.is_not(None))
        .group_by(tag_history.c.name, tag_history.c.digest)
    )
    for name, digest, at in connection.execute(history):
        if name in wanted.tags and digest in wanted.revisions:
            wanted.history[Tag(name), Digest(digest)] = at
    for tag, digest in wanted.tags.items():
        wanted.history.setdefault((tag, digest), 0.0)
    return wanted


def referrers_by_subject(connection: Connection, repository: int) -> dict[Digest, list[Referrer]]:
    """What refers to what in the repository, in order of digests."""
    query = (
        select(
            manifests.c.subject,
            manifests.c.digest,
            manifests.c.media_type,
            manifests.c.size,
            manifests.c.artifact_type,
            manifests.c.annotations,
        )
        .where(manifests.c.repository_id == repository, manifests.c.subject.is_not(None))
        .order_by(manifests.c.digest)
    )
    found: dict[Digest, list[Referrer]] = {}
    for subject, digest, media_type, size, kind, annotations in connection.execute(query):
        referrer = Referrer(Digest(digest), media_type, size, kind, annotations or {})
        found.setdefault(Digest(subject), []).append(referrer)
    return found


def forgotten_repositories(connection: Connection, last: str, limit: int) -> list[str]:
    """Repositories that have links and that the rows once knew, but do not any more."""
    known = exists().where(repositories.c.name == linked_repositories.c.name)
    query = (
        select(linked_repositories.c.name)
        .where(
            linked_repositories.c.name > last,
            linked_repositories.c.indexed_at.is_not(None),
            ~known,
        )
        .order_by(linked_repositories.c.name)
        .limit(limit)
    )
    return list(connection.scalars(query))


def trouble_paths(connection: Connection, name: RepositoryName) -> set[str]:
    """Where something of the repository lies that could not be taken over."""
    query = select(adoption_troubles.c.path).where(adoption_troubles.c.repository == name)
    return set(connection.scalars(query))


def claim_links(connection: Connection, name: RepositoryName, now: float) -> None:
    """From now on the links of the repository are ours to remove."""
    add_linked(connection, [name], now)


def note_exported(
    connection: Connection, name: RepositoryName, state: str, mended: Collection[str]
) -> None:
    """Remember which rows the links say; ``mended`` paths hold a sound link of ours now."""
    connection.execute(
        update(linked_repositories).where(linked_repositories.c.name == name).values(exported=state)
    )
    for path in mended:
        connection.execute(delete(adoption_troubles).where(adoption_troubles.c.path == path))


def forget_links(connection: Connection, name: RepositoryName) -> None:
    """The repository has no links any more."""
    connection.execute(delete(linked_repositories).where(linked_repositories.c.name == name))
