"""`longshore adopt --check`: what a registry's storage holds, and what is wrong with it. Only reads."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from cachetools import LRUCache

from longshore.adoption.links import LinkTree
from longshore.adoption.model import Found, Kind, Trouble
from longshore.adoption.reading import PARALLEL
from longshore.oci import mediatypes
from longshore.oci.digest import Digest
from longshore.oci.names import RepositoryName

T = TypeVar("T")

#: Troubles that a report holds; the others are counted.
MOST_TROUBLES: Final = 10_000
_REMEMBERED_SIZES: Final = 200_000


@dataclass(slots=True)
class Report:
    """Counts, and bytes. ``blobs`` and ``size`` are of everything that is stored, linked or not."""

    repositories: int = 0
    manifests: int = 0
    indexes: int = 0
    referrers: int = 0
    tags: int = 0
    layers: int = 0
    blobs: int = 0
    size: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    troubles: list[Trouble] = field(default_factory=list)

    @property
    def trouble_count(self) -> int:
        return self.kinds.total()

    def to_json(self) -> dict[str, Any]:
        return {
            "repositories": self.repositories,
            "manifests": self.manifests,
            "indexes": self.indexes,
            "referrers": self.referrers,
            "tags": self.tags,
            "layers": self.layers,
            "blobs": self.blobs,
            "bytes": self.size,
            "trouble": dict(sorted(self.kinds.items())),
            "troubles": [trouble.to_json() for trouble in self.troubles],
        }


class Survey:
    """One look at everything. ``say`` is told of each trouble when it is found."""

    def __init__(self, tree: LinkTree, say: Callable[[Trouble], None]) -> None:
        self._tree = tree
        self._say = say
        self._report = Report()
        self._sizes: LRUCache[Digest, int | None] = LRUCache(_REMEMBERED_SIZES)

    async def run(self) -> Report:
        """Raises StorageError when the medium fails."""
        async with aclosing(self._tree.blobs()) as blobs:
            async for _, size in blobs:
                self._report.blobs += 1
                self._report.size += size
        async with aclosing(self._tree.repositories()) as repositories:
            async for name in repositories:
                if isinstance(name, Trouble):
                    self._note(name)
                else:
                    await self._repository(name)
        return self._report

    async def _repository(self, name: RepositoryName) -> None:
        self._report.repositories += 1
        held: set[Digest] = set()
        children: dict[Digest, str] = {}
        async with aclosing(self._tree.revisions(name)) as batches:
            async for batch in batches:
                links = self._good(batch)
                held.update(link.digest for link in links)
                for start in range(0, len(links), PARALLEL):
                    found = await self._tree.manifests(name, links[start : start + PARALLEL])
                    await self._look_at(name, self._good(found), children)
        for child, path in children.items():
            if child not in held:
                reason = f"the index names {child}, which the repository does not hold"
                self._note(Trouble(Kind.CHILD, name, path, reason))
        await self._tags(name, held)
        await self._layers(name)

    async def _look_at(
        self,
        name: RepositoryName,
        found: list[Found],
        children: dict[Digest, str],
    ) -> None:
        needed: dict[Digest, tuple[str, int]] = {}
        for one in found:
            link, manifest = one.link, one.manifest
            self._report.manifests += 1
            self._report.indexes += manifest.is_index
            self._report.referrers += manifest.subject is not None
            for blob in manifest.blobs:
                if mediatypes.is_distributable(blob.media_type):
                    needed.setdefault(blob.digest, (link.path, blob.size))
            for child in manifest.children:
                children.setdefault(child.digest, link.path)
        sizes = await self._stored(needed)
        for digest, (path, size) in needed.items():
            if sizes[digest] is None:
                reason = f"the manifest needs {digest}, which is not in storage"
                self._note(Trouble(Kind.MISSING, name, path, reason))
            elif sizes[digest] != size:
                reason = f"{digest} has {sizes[digest]} bytes, the manifest says {size}"
                self._note(Trouble(Kind.SIZE, name, path, reason))

    async def _tags(self, name: RepositoryName, held: Collection[Digest]) -> None:
        async with aclosing(self._tree.tags(name)) as batches:
            async for batch in batches:
                for entry in self._good(batch):
                    if not entry.current:
                        continue
                    self._report.tags += 1
                    if entry.digest not in held:
                        reason = f"it names {entry.digest}, which the repository does not hold"
                        self._note(Trouble(Kind.TAG, name, entry.path, reason))

    async def _layers(self, name: RepositoryName) -> None:
        async with aclosing(self._tree.layers(name)) as batches:
            async for batch in batches:
                links = self._good(batch)
                self._report.layers += len(links)
                sizes = await self._stored([link.digest for link in links])
                for link in links:
                    if sizes[link.digest] is None:
                        reason = f"{link.digest} is not in storage"
                        self._note(Trouble(Kind.MISSING, name, link.path, reason))

    async def _stored(self, digests: Collection[Digest]) -> dict[Digest, int | None]:
        """The size of each in storage; most layers are shared, so sizes are remembered."""
        known = {digest: self._sizes[digest] for digest in digests if digest in self._sizes}
        asked = [digest for digest in digests if digest not in known]
        fresh = dict(zip(asked, await self._tree.sizes(asked), strict=True))
        self._sizes.update(fresh)
        return known | fresh

    def _good(self, found: Iterable[T | Trouble]) -> list[T]:
        """What is no trouble."""
        good: list[T] = []
        for one in found:
            if isinstance(one, Trouble):
                self._note(one)
            else:
                good.append(one)
        return good

    def _note(self, trouble: Trouble) -> None:
        self._report.kinds[trouble.kind.value] += 1
        if len(self._report.troubles) < MOST_TROUBLES:
            self._report.troubles.append(trouble)
        self._say(trouble)
