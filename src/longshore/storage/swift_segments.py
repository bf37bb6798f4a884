"""Large objects in Swift: segments, and a manifest that makes one object of them (SLO).

    <root>longshore+segments/<key>/<token>/<number>

are the segments of ``key``, made in one call that has ``token``. They are in the same container, so
that a signed URL opens them too. Whoever finds segments can tell whose they are, and whether the
object has since been replaced or was never made.
"""

import json
import secrets
from collections.abc import Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from longshore.storage.driver import StorageUnavailable
from longshore.storage.joining import Piece, fetch
from longshore.storage.multipart import Multipart
from longshore.storage.swift_requests import Refused

if TYPE_CHECKING:
    from longshore.storage.swift import SwiftStore

DIRECTORY: Final = "longshore+segments"
#: Segments of one object that the service copies at the same time.
_COPIED: Final = 4


class Segment(NamedTuple):
    """An object of its own that is a piece of another."""

    key: str
    size: int
    #: What the service answered when it was stored; None for one that is a manifest itself.
    etag: str | None

    def entry(self, container: str) -> dict[str, Any]:
        """Its line in a manifest."""
        return {"path": f"/{container}/{self.key}", "size_bytes": self.size, "etag": self.etag}


class LargeObject(Multipart):
    """One large object on its way to ``key``."""

    def __init__(self, store: "SwiftStore", key: str) -> None:
        super().__init__(_COPIED)
        self._store, self._key = store, key
        self._prefix = f"{store.segments}{key}/{secrets.token_hex(8)}"
        self._segments: dict[int, Segment] = {}
        self._open = False

    def _name(self, number: int) -> str:
        return f"{self._prefix}/{number:08}"

    async def _begin(self) -> None:
        """There is nothing to ask for."""

    async def _put(self, number: int, content: bytes) -> None:
        name = self._name(number)
        self._segments[number] = Segment(name, len(content), await self._store.store(name, content))

    async def _take(self, number: int, group: Sequence[Piece]) -> None:
        if len(group) > 1:
            await self._put(number, await fetch(self._store, group))
            return
        name = self._name(number)
        etag = await self._store.copy(group[0], name)
        self._segments[number] = Segment(name, group[0].length, etag)

    async def _finish(self, size: int) -> None:
        segments = [self._segments[number] for number in sorted(self._segments)]
        limit = self._store.manifest_limit
        while len(segments) > limit:
            segments = [
                await self._inner(segments[start : start + limit])
                for start in range(0, len(segments), limit)
            ]
        # From here on a lost answer leaves it open whether the object is made of these segments.
        # They stay then: maintenance finds them if it is not.
        self._open = True
        try:
            await self._store.store_manifest(self._key, segments)
        except Refused:
            self._open = False
            raise

    async def _inner(self, segments: Sequence[Segment]) -> Segment:
        """A manifest that is a segment: one manifest has a limited number of them."""
        if len(segments) == 1:
            return segments[0]
        self._numbers += 1
        name = self._name(self._numbers)
        await self._store.store_manifest(name, segments)
        return Segment(name, sum(segment.size for segment in segments), None)

    async def _give_up(self) -> None:
        if not self._open and self._numbers:
            await self._store.remove([self._name(number + 1) for number in range(self._numbers)])


class Made(NamedTuple):
    """Segments that one call made: of which object, by which token."""

    key: str
    token: str

    @classmethod
    def parse(cls, name: str) -> "Made | None":
        """From what stands behind the directory; None if it is no name of a segment."""
        rest, _, number = name.rpartition("/")
        key, _, token = rest.rpartition("/")
        return cls(key, token) if key and number.isdigit() else None

    def is_part_of(self, manifest: bytes | None) -> bool:
        """Whether the object's manifest, or None if it has none, names these segments."""
        if manifest is None:
            return False
        try:
            entries = json.loads(manifest)
            return any(f"/{self.key}/{self.token}/" in entry["path"] for entry in entries)
        except (KeyError, TypeError, ValueError) as error:
            reason = "the manifest cannot be read, so its segments stay"
            raise StorageUnavailable("swift", self.key, reason) from error


async def remove_unused(store: "SwiftStore", prefix: str, before: float) -> int:
    """Remove segments, older than that time (POSIX seconds), of objects below ``prefix`` that were
    never made or are made of others by now; of how many calls."""
    removed = 0
    current: Made | None = None
    names: list[str] = []
    youngest = 0.0

    async def remove() -> int:
        if current is None or youngest >= before:
            return 0
        if current.is_part_of(await store.manifest(current.key)):
            return 0
        await store.remove(names)
        return 1

    async with aclosing(store.list(f"{store.segments}{prefix}")) as found:
        # In order, so those of one call come together.
        async for stored in found:
            made = store.made(stored.key)
            if made is None:
                continue
            if made != current:
                removed += await remove()
                current, names, youngest = made, [], 0.0
            names.append(stored.key)
            youngest = max(youngest, stored.stat.modified)
    return removed + await remove()
