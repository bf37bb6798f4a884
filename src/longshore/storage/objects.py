"""A storage driver over any object storage service.

    <root>/docker/registry/v2/...                          objects, as distribution keys them
    <root>/longshore+staging/<upload>/<part>               what uploads have staged

Everything that one :meth:`ObjectDriver.append` brings becomes one object, a *part*, named as the
filesystem driver names its parts: ``<offset>.<token>[.<token of the part before>]``. So the state that
the database keeps is the name of the last part, however long the upload; what has arrived can be
read again by any node; and an attempt that loses has only written an object that nobody names.
Publishing joins the parts inside the service.
"""

import re
import secrets
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import Final

from longshore.storage.driver import (
    PATH_GRAMMAR,
    Entry,
    PathNotFound,
    Staged,
    Stat,
    StorageError,
)
from longshore.storage.object_store import CommonPrefixes, ObjectStore, Source
from longshore.storage.staging import DIRECTORY, PartName

_SEGMENT: Final = re.compile(r"[A-Za-z0-9._:-]+")
#: Objects that one request removes at most, in services that can remove several.
_BATCH: Final = 1000


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Errors tell the caller's own path, or upload, instead of the key."""
    try:
        yield
    except StorageError as error:
        raise type(error)(error.driver, path, error.reason) from error


class ObjectDriver:
    """Objects below ``root`` (the key that distribution calls ``rootdirectory``) in ``store``."""

    def __init__(self, store: ObjectStore, root: str = "") -> None:
        self._store = store
        self.name = store.name
        trimmed = root.strip("/")
        self._root = f"{trimmed}/" if trimmed else ""
        self._staging = f"{self._root}{DIRECTORY}/"

    async def open(self) -> None:
        """Connect to the service."""
        await self._store.open()

    async def close(self) -> None:
        """Disconnect."""
        await self._store.close()

    async def read(self, path: str) -> bytes:
        """One request."""
        with _named(path):
            return await self._store.get(self._key(path))

    async def stream(
        self, path: str, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """One request, which ends when the generator does."""
        with _named(path):
            async with aclosing(self._store.stream(self._key(path), start, length)) as pieces:
                async for piece in pieces:
                    yield piece

    async def stat(self, path: str) -> Stat:
        """One request."""
        with _named(path):
            return await self._store.stat(self._key(path))

    async def write(self, path: str, content: bytes) -> None:
        """One request: services replace objects whole."""
        with _named(path):
            await self._store.put(self._key(path), content)

    async def append(self, staged: Staged, chunks: AsyncIterable[bytes]) -> Staged:
        """Store a new part. A part after the first costs one request more, to see that the one
        before it is still there."""
        previous = self._recorded(staged) if staged.size else None
        if previous:
            await self._store.stat(self._part(staged.upload, previous))
        name = PartName(staged.size, secrets.token_hex(8), previous.token if previous else "")
        size = await self._store.upload(self._part(staged.upload, name), chunks)
        if not size:
            return staged
        return Staged(staged.upload, staged.size + size, {"part": str(name)})

    async def staged_stream(self, staged: Staged) -> AsyncGenerator[bytes, None]:
        """The parts one after the other."""
        for part in await self._parts(staged):
            async with aclosing(self._store.stream(part.key)) as pieces:
                async for piece in pieces:
                    yield piece

    async def publish(self, staged: Staged, path: str) -> None:
        """Join the parts under the object's key, then remove whatever is staged for the upload."""
        key = self._key(path)
        with _named(staged.upload):
            try:
                if staged.size:
                    await self._store.join(await self._parts(staged), key)
                else:
                    await self._store.put(key, b"")
            except PathNotFound:
                # An earlier call may have got this far, or another one that publishes the same.
                if (await self._store.stat(key)).size != staged.size:
                    raise
        await self.discard(staged.upload)

    async def discard(self, upload: str) -> None:
        """Remove the parts of every attempt."""
        await self._delete_all(f"{self._staging}{upload}/")

    async def list(self, prefix: str) -> AsyncGenerator[Entry, None]:
        """Objects page by page. Keys that follow no PATH_GRAMMAR are not ours."""
        async with aclosing(self._store.list(f"{self._key(prefix)}/")) as found:
            async for stored in found:
                path = f"/{stored.key.removeprefix(self._root)}"
                if PATH_GRAMMAR.fullmatch(path):
                    yield Entry(path, stored.stat)

    async def directories(self, prefix: str) -> AsyncGenerator[str, None]:
        """One request for a thousand of them, where the service can group keys; otherwise a listing
        of all that lies below."""
        key = f"{self._key(prefix)}/"
        if isinstance(self._store, CommonPrefixes):
            async with aclosing(self._store.prefixes(key)) as grouped:
                async for found in grouped:
                    name = found.removeprefix(key).rstrip("/")
                    if _SEGMENT.fullmatch(name):
                        yield name
            return
        seen: set[str] = set()
        async with aclosing(self._store.list(key)) as listed:
            async for stored in listed:
                name, deeper, _ = stored.key.removeprefix(key).partition("/")
                if deeper and name not in seen and _SEGMENT.fullmatch(name):
                    seen.add(name)
                    yield name

    async def list_staged(self) -> AsyncGenerator[tuple[str, float], None]:
        """Uploads that have parts; services list keys in order, so those of one come together."""
        current, modified = "", 0.0
        async with aclosing(self._store.list(self._staging)) as found:
            async for stored in found:
                upload = stored.key.removeprefix(self._staging).partition("/")[0]
                if not _SEGMENT.fullmatch(upload):
                    continue
                if upload != current and current:
                    yield current, modified
                    modified = 0.0
                current, modified = upload, max(modified, stored.stat.modified)
        if current:
            yield current, modified

    async def delete(self, path: str) -> None:
        """Two requests: services do not say whether what they remove was there."""
        key = self._key(path)
        with _named(path):
            await self._store.stat(key)
            await self._store.delete([key])

    async def delete_all(self, paths: Sequence[str]) -> None:
        """As few requests as the service allows."""
        with _named(f"{len(paths)} objects"):
            await self._store.delete([self._key(path) for path in paths])

    async def delete_tree(self, prefix: str) -> None:
        """List, and remove in batches."""
        await self._delete_all(f"{self._key(prefix)}/")

    async def presigned_url(self, path: str, method: str, lifetime: float) -> str | None:
        """What the service signs."""
        return await self._store.presigned_url(self._key(path), method, lifetime)

    async def remove_abandoned(self, before: float) -> int:
        """See :class:`longshore.storage.driver.AbandonedUploads`."""
        return await self._store.remove_abandoned(self._root, before)

    def object_key(self, path: str) -> str:
        """See :class:`longshore.storage.driver.ObjectKeys`."""
        return self._key(path)

    def _key(self, path: str) -> str:
        return f"{self._root}{path[1:]}"

    def _part(self, upload: str, name: PartName) -> str:
        return f"{self._staging}{upload}/{name}"

    async def _delete_all(self, prefix: str) -> None:
        batch: list[str] = []
        async with aclosing(self._store.list(prefix)) as found:
            async for stored in found:
                batch.append(stored.key)
                if len(batch) == _BATCH:
                    await self._store.delete(batch)
                    batch = []
        if batch:
            await self._store.delete(batch)

    def _recorded(self, staged: Staged) -> PartName:
        name = PartName.parse(str(staged.state.get("part", "")))
        if name is None:
            raise PathNotFound(self.name, staged.upload, "no part is recorded")
        return name

    async def _parts(self, staged: Staged) -> "deque[Source]":
        """The chain that ends with the recorded part, in order. One part needs no listing."""
        parts: deque[Source] = deque()
        if staged.size == 0:
            return parts
        name, end = self._recorded(staged), staged.size
        names: Mapping[str, PartName] = {}
        while True:
            parts.appendleft(Source(self._part(staged.upload, name), end - name.offset))
            if not name.previous:
                return parts
            names = names or await self._names(staged.upload)
            if name.previous not in names:
                raise PathNotFound(
                    self.name, staged.upload, f"the part before byte {name.offset} is gone"
                )
            end, name = name.offset, names[name.previous]

    async def _names(self, upload: str) -> Mapping[str, PartName]:
        prefix = f"{self._staging}{upload}/"
        async with aclosing(self._store.list(prefix)) as listed:
            found = [PartName.parse(stored.key.removeprefix(prefix)) async for stored in listed]
        return {name.token: name for name in found if name}
