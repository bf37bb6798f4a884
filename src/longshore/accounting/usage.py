"""One pass over what a repository has, in order of digests, adds up who needs what."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Final

from longshore.accounting import store
from longshore.accounting.model import Deletion, RepositoryUsage, Usage
from longshore.accounting.reach import Claims, claims_of_one, claims_of_tags
from longshore.db.database import Connection

_MANIFEST: Final = 0
_LINK: Final = 1
_REFERENCE: Final = 2


@dataclass(frozen=True, slots=True)
class Held:
    """A digest that the repository has: ``users`` are the manifests that need it, one for each
    occurrence; ``elsewhere`` is whether another repository has it."""

    digest: str
    size: int
    users: list[int]
    elsewhere: bool


@dataclass(slots=True)
class Sums:
    """What a pass has added up: for the repository, and for each target."""

    whole: Usage = field(default_factory=Usage)
    targets: list[Usage] = field(default_factory=list)


def of_repository(connection: Connection, repository: int) -> RepositoryUsage:
    """The usage of the repository and of each of its tags."""
    graph = store.graph(connection, repository)
    names = sorted(name for found in graph.tags.values() for name in found)
    claims = claims_of_tags(graph, names)
    sums = Sums(targets=[Usage() for _ in range(claims.count)])
    for held in _held(connection, repository):
        _add(sums, claims, held)
    return RepositoryUsage(
        sums.whole, dict(zip(names, sums.targets, strict=False)), sums.targets[-1]
    )


def of_deletion(connection: Connection, repository: int, digest: str, tag: str | None) -> Deletion:
    """What deleting the tag would do, which is on the manifest ``digest``; or deleting that manifest
    with all its tags (None). The repository must have it."""
    graph = store.graph(connection, repository)
    root = store.manifest_id(connection, repository, digest)
    if root is None:
        raise LookupError(digest)
    claims = claims_of_one(graph, root, tag)
    sums = Sums(targets=[Usage()])
    here, staying = 0, list[tuple[str, int]]()
    for held in _held(connection, repository):
        if not _add(sums, claims, held):
            continue
        if any(user not in claims.owners for user in held.users):
            here += held.size
        if held.elsewhere:
            staying.append((held.digest, held.size))
    same = tuple(name for name in graph.tags.get(root, ()) if tag is not None and name != tag)
    elsewhere = store.others_with(connection, repository, staying)
    return Deletion(sums.targets[0], len(claims.owners), here, elsewhere, same)


def _held(connection: Connection, repository: int) -> Iterator[Held]:
    own = (
        (digest, _MANIFEST, number, size, elsewhere)
        for digest, number, size, elsewhere in store.manifests_by_digest(connection, repository)
    )
    links = (
        (digest, _LINK, 0, size, elsewhere)
        for digest, size, elsewhere in store.links_by_digest(connection, repository)
    )
    references = (
        (digest, _REFERENCE, number, 0, False)
        for digest, number in store.references_by_digest(connection, repository)
    )
    merged = heapq.merge(own, links, references)
    for digest, rows in groupby(merged, key=itemgetter(0)):
        users: list[int] = []
        linked, size, elsewhere = False, None, False
        for _, kind, number, found, other in rows:
            if kind == _REFERENCE:
                if linked:  # otherwise its bytes are not here, or it is a manifest of its own
                    users.append(number)
                continue
            size, elsewhere = found, elsewhere or bool(other)
            if kind == _MANIFEST:
                users.append(number)
            else:
                linked = True
        if size is not None:
            yield Held(digest, size, users, elsewhere)


def _add(sums: Sums, claims: Claims, held: Held) -> bool:
    """Whether a target needs it."""
    size, users = held.size, held.users
    sums.whole.stored += size
    sums.whole.logical += size * max(1, len(users))
    if not held.elsewhere:
        sums.whole.exclusive += size
    needing: set[int] = set()
    for user in users:
        for target in claims.members.get(user, ()):
            sums.targets[target].logical += size
            needing.add(target)
    for target in needing:
        sums.targets[target].stored += size
    if needing and not held.elsewhere:
        owner = claims.owners.get(users[0])
        if owner is not None and all(claims.owners.get(user) == owner for user in users):
            sums.targets[owner].exclusive += size
    return bool(needing)
