"""What exists, remembered: the short way of a pull.

An answer is kept as long as ``Database.generation`` has not changed, that is until any process
commits anything. So the memory can only be wrong in the direction of asking again. Manifest bytes
are kept by digest: immutable, never stale, bounded in size. Lists of tags are kept too: updaters ask
for the same long ones again and again.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol, TypeVar

from cachetools import LRUCache

from longshore.db.database import Connection, Database
from longshore.oci.digest import Digest
from longshore.oci.names import RepositoryName, Tag
from longshore.registry import store
from longshore.registry.model import Blob, StoredManifest
from longshore.storage import layout
from longshore.storage.driver import StorageDriver

T = TypeVar("T", StoredManifest, Blob)

_MAX_ANSWERS: Final = 100_000
#: Tags in all remembered lists together; each takes about 70 bytes.
_MAX_TAGS: Final = 200_000


class Observer(Protocol):
    """Told of every look-up."""

    def __call__(self, *, hit: bool) -> None: ...


class Resolution:
    """One per process. ``content_size`` bounds the manifest bytes held, in bytes. ``observe`` is
    told of every question whether the answer was remembered."""

    def __init__(
        self,
        database: Database,
        driver: StorageDriver,
        *,
        content_size: int = 64 << 20,
        observe: Observer = lambda **_: None,
    ) -> None:
        self._database = database
        self._driver = driver
        self._generation: int | None = None
        self._answers: dict[tuple[str, str], StoredManifest | Blob] = {}
        self._tags: LRUCache[tuple[str, str, int | None], Sequence[str]] = LRUCache(
            _MAX_TAGS, getsizeof=lambda tags: len(tags) + 1
        )
        self._observe = observe
        self._content: LRUCache[Digest, bytes] = LRUCache(content_size, getsizeof=len)

    async def manifest(
        self, name: RepositoryName, reference: Tag | Digest
    ) -> StoredManifest | None:
        """What ``reference`` names in the repository now."""
        key = (name, reference)
        found = self._remembered(key)
        if isinstance(found, StoredManifest):
            return found
        return await self._ask(key, partial(store.find_manifest, name=name, reference=reference))

    async def blob(self, name: RepositoryName, digest: Digest) -> Blob | None:
        """The blob, if the repository may read it."""
        key = (name, f"blob {digest}")
        found = self._remembered(key)
        if isinstance(found, Blob):
            return found
        return await self._ask(key, partial(store.find_blob, name=name, digest=digest))

    async def tags(
        self, name: RepositoryName, last: str, limit: int | None
    ) -> Sequence[str] | None:
        """Tags after ``last`` in ASCII order; None when there is no such repository."""
        self._forget_if_changed()
        key = (name, last, limit)
        found = self._tags.get(key)
        if found is not None:
            return found
        before = self._generation
        found = await self._database.read(
            partial(store.list_tags, name=name, last=last, limit=limit)
        )
        if found is not None and len(found) < _MAX_TAGS and self._still(before):
            self._tags[key] = found
        return found

    async def content(self, manifest: StoredManifest) -> bytes:
        """The manifest's bytes. Raises PathNotFound when storage has lost them."""
        found = self._content.get(manifest.digest)
        if found is None:
            found = await self._driver.read(layout.blob(manifest.digest))
            self.keep(manifest.digest, found)
        return found

    def keep(self, digest: Digest, content: bytes) -> None:
        """Remember manifest bytes whose digest was verified."""
        if len(content) <= self._content.maxsize:
            self._content[digest] = content

    def _remembered(self, key: tuple[str, str]) -> StoredManifest | Blob | None:
        self._forget_if_changed()
        found = self._answers.get(key)
        self._observe(hit=found is not None)
        return found

    def _forget_if_changed(self) -> None:
        generation = self._database.generation()
        if generation != self._generation or len(self._answers) > _MAX_ANSWERS:
            self._answers.clear()
            self._tags.clear()
            self._generation = generation

    async def _ask(self, key: tuple[str, str], work: Callable[[Connection], T | None]) -> T | None:
        before = self._generation
        found = await self._database.read(work)
        if found is not None and self._still(before):
            self._answers[key] = found
        return found

    def _still(self, before: int | None) -> bool:
        """Whether an answer may be kept that was read after ``before`` was current: it is true as
        of then or later, and if the generation has moved on meanwhile the next question notices."""
        return before is not None and before == self._generation
