"""What exists, remembered: the short way of a pull.

An answer is kept as long as its number in ``Database.generation`` has not changed, that is until any
process commits something that may change it, or, on PostgreSQL, anything. So the memory can only be
wrong in the direction of asking again. Manifest bytes are kept by digest: immutable, never stale,
bounded in size. Lists of tags are kept too: updaters ask for the same long ones again and again.
"""

import asyncio
import logging
from collections.abc import Callable, MutableMapping, Sequence
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

from cachetools import LRUCache

from longshore.db.database import Connection, Database
from longshore.db.generation import Generation
from longshore.oci.digest import Digest
from longshore.oci.errors import StorageFull
from longshore.oci.names import RepositoryName, Tag
from longshore.registry import store
from longshore.registry.hashing import INLINE
from longshore.registry.model import Blob, StoredManifest
from longshore.registry.upstream import NoUpstream, Upstream
from longshore.storage import layout
from longshore.storage.backends import Backends

logger = logging.getLogger(__name__)

T = TypeVar("T", StoredManifest, Blob)
K = TypeVar("K")
V = TypeVar("V")

#: Of each kind.
_MAX_ANSWERS: Final = 50_000
#: Tags in all remembered lists together; each takes about 70 bytes.
_MAX_TAGS: Final = 200_000


class ContentDamaged(Exception):
    """What storage has under a manifest's digest are other bytes."""


class Observer(Protocol):
    """Told of every look-up."""

    def __call__(self, *, hit: bool) -> None: ...


class _Answers(Generic[K, V]):
    """What is true in one generation."""

    def __init__(self, known: MutableMapping[K, V]) -> None:
        self._known = known
        self._number: int | None = None

    def at(self, number: int | None) -> None:
        """Believe only what was found in this generation or in a later one that is known; None: nothing."""
        number = None if number is None else max(number, self._number or 0)
        if number is None or number != self._number or len(self._known) > _MAX_ANSWERS:
            self._known.clear()
            self._number = number

    def get(self, key: K) -> V | None:
        return self._known.get(key)

    @property
    def number(self) -> int | None:
        """To be asked for before the question."""
        return self._number

    def keep(self, key: K, found: V, before: int | None) -> None:
        """Keep what was read after ``before`` was the number: it is true as of then or later, and if the
        generation has moved on meanwhile the next question notices."""
        if before is not None and before == self._number:
            self._known[key] = found


class Resolution:
    """One per process. ``content_size`` bounds the manifest bytes held, in bytes. ``observe`` is
    told of every question whether the answer was remembered. ``upstream`` is asked for what the
    rows lack."""

    def __init__(
        self,
        database: Database,
        backends: Backends,
        *,
        content_size: int = 64 << 20,
        observe: Observer = lambda **_: None,
        upstream: Upstream | None = None,
    ) -> None:
        self._database = database
        self._backends = backends
        self._upstream = upstream or NoUpstream()
        self._manifests = _Answers[tuple[str, str], StoredManifest]({})
        self._blobs = _Answers[tuple[str, str], Blob]({})
        self._tags = _Answers[tuple[str, str, int | None], Sequence[str]](
            LRUCache(_MAX_TAGS, getsizeof=lambda tags: len(tags) + 1)
        )
        self._observe = observe
        self._content: LRUCache[Digest, bytes] = LRUCache(content_size, getsizeof=len)

    async def manifest(
        self, name: RepositoryName, reference: Tag | Digest, as_of: Generation | None = None
    ) -> StoredManifest | None:
        """What ``reference`` names in the repository now, or at a moment since the request came, when ``as_of``
        was current."""
        generation = as_of or await self._database.generation()
        self._manifests.at(None if generation is None else generation.manifests)
        found = self._manifests.get((name, reference))
        self._observe(hit=found is not None)
        if found is not None:
            return found
        work = partial(store.find_manifest, name=name, reference=reference)
        ask = partial(self._ask, self._manifests, (name, reference), work)
        found = await ask()
        if found is None and self._upstream.active:
            if not await self._upstream.find_manifest(name, reference):
                return None
            found = await ask()
        if found is not None and found.condemned:
            return await self._rescue(
                found, partial(store.rescue_manifest, name=name, digest=found.digest)
            )
        return found

    async def blob(
        self, name: RepositoryName, digest: Digest, as_of: Generation | None = None
    ) -> Blob | None:
        """The blob, if the repository may read it; ``as_of`` as for :meth:`manifest`."""
        generation = as_of or await self._database.generation()
        self._blobs.at(None if generation is None else generation.blobs)
        found = self._blobs.get((name, digest))
        self._observe(hit=found is not None)
        if found is not None:
            return found
        work = partial(store.find_blob, name=name, digest=digest)
        ask = partial(self._ask, self._blobs, (name, digest), work)
        found = await ask()
        if found is None and self._upstream.active:
            if not await self._upstream.find_blob(name, digest):
                return None
            found = await ask()
        if found is not None and found.condemned:
            return await self._rescue(found, partial(store.rescue_blob, name=name, digest=digest))
        return found

    async def tags(
        self, name: RepositoryName, last: str, limit: int | None
    ) -> Sequence[str] | None:
        """Tags after ``last`` in ASCII order; None when there is no such repository."""
        await self.complete(name)
        key = (name, last, limit)
        generation = await self._database.generation()
        self._tags.at(None if generation is None else generation.manifests)
        found = self._tags.get(key)
        if found is not None:
            return found
        before = self._tags.number
        found = await self._database.read(
            partial(store.list_tags, name=name, last=last, limit=limit)
        )
        if found is not None and len(found) < _MAX_TAGS:
            self._tags.keep(key, found, before)
        return found

    async def complete(self, name: RepositoryName) -> None:
        """Return when the rows say all of the repository: before it is listed or changed. Raises
        Unavailable when somebody has to wait too long for that."""
        if self._upstream.active:
            await self._upstream.complete(name)

    async def names(self, last: str, limit: int) -> Sequence[str]:
        """Repositories after ``last`` that hold a manifest, in ASCII order."""
        found = await self._database.read(partial(store.list_repositories, last=last, limit=limit))
        if not self._upstream.active:
            return found
        return sorted({*found, *await self._upstream.names(last, limit)})[:limit]

    async def content(self, manifest: StoredManifest) -> bytes:
        """The manifest's bytes. Raises PathNotFound when storage has lost them, ContentDamaged when
        it has spoilt them."""
        found = self._content.get(manifest.digest)
        if found is None:
            driver = self._backends[manifest.backend].driver
            found = await driver.read(layout.blob(manifest.digest))
            algorithm = manifest.digest.algorithm
            if len(found) <= INLINE:
                actual = Digest.of(found, algorithm)
            else:
                actual = await asyncio.to_thread(Digest.of, found, algorithm)
            if not actual.matches(manifest.digest):
                logger.error("the bytes stored for manifest %s are %s", manifest.digest, actual)
                raise ContentDamaged(manifest.digest)
            self.keep(manifest.digest, found)
        return found

    def keep(self, digest: Digest, content: bytes) -> None:
        """Remember manifest bytes whose digest was verified."""
        if len(content) <= self._content.maxsize:
            self._content[digest] = content

    async def _ask(
        self, answers: _Answers[K, T], key: K, work: Callable[[Connection], T | None]
    ) -> T | None:
        before = answers.number
        found = await self._database.read(work)
        if found is not None and not found.condemned:
            answers.keep(key, found, before)
        return found

    async def _rescue(self, found: T, work: Callable[[Connection], T | None]) -> T | None:
        """Who is told that something exists may rely on it, so collection has to begin anew."""
        try:
            return await self._database.write(work)
        except StorageFull:
            return found  # pulls go on while nothing can be written; neither can collection
