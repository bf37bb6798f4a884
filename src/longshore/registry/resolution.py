"""What exists, remembered: the short way of a pull.

An answer is kept as long as ``Database.generation`` has not changed, that is until any process
commits anything. So the memory can only be wrong in the direction of asking again. Manifest bytes
are kept by digest: immutable, never stale, bounded in size. Lists of tags are kept too: updaters ask
for the same long ones again and again.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol, TypeVar

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

_MAX_ANSWERS: Final = 100_000
#: Tags in all remembered lists together; each takes about 70 bytes.
_MAX_TAGS: Final = 200_000


class ContentDamaged(Exception):
    """What storage has under a manifest's digest are other bytes."""


class Observer(Protocol):
    """Told of every look-up."""

    def __call__(self, *, hit: bool) -> None: ...


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
        self._generation: int | None = None
        self._answers: dict[tuple[str, str], StoredManifest | Blob] = {}
        self._tags: LRUCache[tuple[str, str, int | None], Sequence[str]] = LRUCache(
            _MAX_TAGS, getsizeof=lambda tags: len(tags) + 1
        )
        self._observe = observe
        self._content: LRUCache[Digest, bytes] = LRUCache(content_size, getsizeof=len)

    async def manifest(
        self, name: RepositoryName, reference: Tag | Digest, as_of: Generation | None = None
    ) -> StoredManifest | None:
        """What ``reference`` names in the repository now, or at a moment since the request came, when ``as_of``
        was current."""
        key = (name, reference)
        found = await self._remembered(key, as_of)
        if isinstance(found, StoredManifest):
            return found
        ask = partial(store.find_manifest, name=name, reference=reference)
        found = await self._ask(key, ask)
        if found is None and self._upstream.active:
            if not await self._upstream.find_manifest(name, reference):
                return None
            found = await self._ask(key, ask)
        if found is not None and found.condemned:
            return await self._rescue(
                found, partial(store.rescue_manifest, name=name, digest=found.digest)
            )
        return found

    async def blob(
        self, name: RepositoryName, digest: Digest, as_of: Generation | None = None
    ) -> Blob | None:
        """The blob, if the repository may read it; ``as_of`` as for :meth:`manifest`."""
        key = (name, f"blob {digest}")
        found = await self._remembered(key, as_of)
        if isinstance(found, Blob):
            return found
        ask = partial(store.find_blob, name=name, digest=digest)
        found = await self._ask(key, ask)
        if found is None and self._upstream.active:
            if not await self._upstream.find_blob(name, digest):
                return None
            found = await self._ask(key, ask)
        if found is not None and found.condemned:
            return await self._rescue(found, partial(store.rescue_blob, name=name, digest=digest))
        return found

    async def tags(
        self, name: RepositoryName, last: str, limit: int | None
    ) -> Sequence[str] | None:
        """Tags after ``last`` in ASCII order; None when there is no such repository."""
        await self.complete(name)
        key = (name, last, limit)
        before = await self._current()
        found = self._tags.get(key)
        if found is not None:
            return found
        found = await self._database.read(
            partial(store.list_tags, name=name, last=last, limit=limit)
        )
        if found is not None and len(found) < _MAX_TAGS and self._still(before):
            self._tags[key] = found
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

    async def _remembered(
        self, key: tuple[str, str], as_of: Generation | None
    ) -> StoredManifest | Blob | None:
        await self._current(as_of)
        found = self._answers.get(key)
        self._observe(hit=found is not None)
        return found

    async def _current(self, as_of: Generation | None = None) -> int | None:
        """What the answers that are remembered are true in, at least as new as ``as_of`` (None: as now). None are
        when that cannot be told."""
        generation = as_of or await self._database.generation()
        number = None if generation is None else max(generation.data, self._generation or 0)
        if number is None or number != self._generation or len(self._answers) > _MAX_ANSWERS:
            self._answers.clear()
            self._tags.clear()
            self._generation = number
        return self._generation

    async def _ask(self, key: tuple[str, str], work: Callable[[Connection], T | None]) -> T | None:
        before = self._generation
        found = await self._database.read(work)
        if found is not None and not found.condemned and self._still(before):
            self._answers[key] = found
        return found

    async def _rescue(self, found: T, work: Callable[[Connection], T | None]) -> T | None:
        """Who is told that something exists may rely on it, so collection has to begin anew."""
        try:
            return await self._database.write(work)
        except StorageFull:
            return found  # pulls go on while nothing can be written; neither can collection

    def _still(self, before: int | None) -> bool:
        """Whether an answer may be kept that was read after ``before`` was current: it is true as
        of then or later, and if the generation has moved on meanwhile the next question notices."""
        return before is not None and before == self._generation
