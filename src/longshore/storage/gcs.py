"""Google Cloud Storage, over its JSON API.

What fills a chunk is sent as a resumable upload, which begins and ends, or is given up, within one
call. Objects are joined inside the service by ``compose``.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from longshore.storage.driver import (
    PathNotFound,
    Stat,
    StorageDriver,
    StorageError,
    StorageUnavailable,
)
from longshore.storage.gcs_batch import LIMIT, delete_batch
from longshore.storage.gcs_requests import NAME, Service, translated
from longshore.storage.gcs_signature import SignedURLs
from longshore.storage.gcs_upload import TYPE, Resumable
from longshore.storage.object_store import Source, StoredObject
from longshore.storage.objects import ObjectDriver
from longshore.storage.parts import PartMemory

if TYPE_CHECKING:
    from longshore.storage.gcs_settings import GCSSettings

#: Bytes read from an answer in one piece.
_PIECE: Final = 1 << 20
#: Bytes of parts in memory, for all uploads of a process.
_MEMORY: Final = 128 << 20
#: How often reading one object may begin, the first time included.
_TRANSFERS: Final = 5
#: Objects that the service composes into one at most.
_SOURCES: Final = 32
_OK: Final = frozenset({200, 206, 416})
_GONE: Final = frozenset({200, 204, 404})


class GCSStore:
    """One bucket. See :class:`longshore.storage.object_store.ObjectStore`."""

    name = NAME

    def __init__(self, settings: "GCSSettings") -> None:
        self._settings = settings
        self._service = Service(settings)
        self._urls = SignedURLs(self._service, settings.url, settings.bucket)
        self._memory = PartMemory(settings.chunksize, _MEMORY)

    async def open(self) -> None:
        """Ask for one object of the list: whoever may use the bucket may do that, while its
        description takes another permission."""
        await self._service.open()
        bucket = self._settings.bucket
        try:
            await self._service.call(bucket, "GET", self._service.list_url(maxResults="1"))
        except PathNotFound as error:
            reason = "the bucket does not exist: create it, or correct storage.gcs.bucket"
            raise StorageUnavailable(NAME, bucket, reason) from error

    async def close(self) -> None:
        await self._service.close()

    async def get(self, key: str) -> bytes:
        reply = await self._service.call(
            key, "GET", self._service.object_url(key, alt="media"), wanted=frozenset({200})
        )
        return reply.body

    async def stream(
        self, key: str, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        if length == 0:
            await self.stat(key)
            return
        end = None if length is None else start + length
        generation = ""
        for left in reversed(range(_TRANSFERS)):
            async with self._content(key, start, end, generation) as answer:
                if answer.status == 416:
                    return
                # What follows after a break has to be of the same object, not of a newer one.
                generation = answer.headers.get("x-goog-generation", "")
                try:
                    with translated(key):  # a body that ends early is an error of aiohttp's
                        async for piece in answer.content.iter_chunked(_PIECE):
                            start += len(piece)
                            yield piece
                except StorageUnavailable:
                    if not (left and generation):
                        raise
                else:
                    return

    @asynccontextmanager
    async def _content(
        self, key: str, start: int, end: int | None, generation: str
    ) -> AsyncIterator[Any]:
        headers: dict[str, str] = {}
        if start or end is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        which = {"generation": generation} if generation else {}
        try:
            async with self._service.content(key, headers, _OK, which) as answer:
                yield answer
        except PathNotFound as error:
            if not generation:
                raise
            reason = "the object was removed or replaced while it was read"
            raise StorageUnavailable(NAME, key, reason) from error

    async def stat(self, key: str) -> Stat:
        url = self._service.object_url(key, fields="size,timeCreated")
        return _stat((await self._service.call(key, "GET", url)).json)

    async def put(self, key: str, content: bytes) -> None:
        url = self._service.upload_url(uploadType="media", name=key)
        await self._service.call(key, "POST", url, body=content, headers={"Content-Type": TYPE})

    async def upload(self, key: str, pieces: AsyncIterable[bytes]) -> int:
        async with aclosing(self._memory.parts(pieces)) as parts:
            first = await anext(parts, None)
            if first is None:
                return 0
            if len(first.content) < self._memory.size:  # then it is the only one
                try:
                    await self.put(key, first.content)
                    return len(first.content)
                finally:
                    first.release()
            # Whoever waits for memory has none that others wait for: a whole part is sent at once.
            async with Resumable(self._service, key, self._memory.size) as upload:
                await upload.send(first)
                async for part in parts:
                    await upload.send(part)
                await upload.finish()
                return upload.size

    async def join(self, sources: Sequence[Source], destination: str) -> None:
        """By composing, 32 objects at a time: what that gives is composed again, beside the
        sources, until one object is left. Nobody else knows the names of those in between."""
        between: list[str] = []
        level = [source for source in sources if source.size]
        try:
            while len(level) > _SOURCES:
                groups = [level[at : at + _SOURCES] for at in range(0, len(level), _SOURCES)]
                beside = f"{level[0].key.rpartition('/')[0]}/joined-{secrets.token_hex(8)}"
                names = [f"{beside}-{number}" for number in range(len(groups))]
                between += names
                level = await asyncio.gather(*map(self._compose, groups, names))
            await self._compose(level, destination)
        finally:
            if between:
                with suppress(StorageError):
                    await asyncio.shield(asyncio.ensure_future(self.delete(between)))

    async def _compose(self, sources: Sequence[Source], key: str) -> Source:
        size = sum(source.size for source in sources)
        wanted = {
            "sourceObjects": [{"name": source.key} for source in sources],
            "destination": {"contentType": TYPE},
        }
        url = self._service.url(f"{self._service.object_path(key)}/compose", fields="size")
        try:
            reply = await self._service.call(
                key,
                "POST",
                url,
                body=json.dumps(wanted).encode(),
                headers={"Content-Type": "application/json"},
            )
        except StorageUnavailable:
            for source in sources:  # emulators do not say that one is gone
                await self.stat(source.key)
            raise
        if int(reply.json["size"]) != size:
            reason = f"{reply.json['size']} bytes were joined where {size} are recorded"
            raise StorageUnavailable(NAME, key, reason)
        return Source(key, size)

    async def delete(self, keys: Sequence[str]) -> None:
        left = list(keys)
        if len(keys) > 1:
            left = []
            for start in range(0, len(keys), LIMIT):
                left += await delete_batch(self._service, keys[start : start + LIMIT])
        for key in left:
            await self._service.call(key, "DELETE", self._service.object_url(key), wanted=_GONE)

    async def list(self, prefix: str) -> AsyncGenerator[StoredObject, None]:
        fields = "nextPageToken,items(name,size,timeCreated)"
        async with aclosing(self._pages(prefix, fields=fields)) as pages:
            async for page in pages:
                for found in page.get("items", ()):
                    yield StoredObject(found["name"], _stat(found))

    async def prefixes(self, prefix: str) -> AsyncGenerator[str, None]:
        fields = "nextPageToken,prefixes"
        async with aclosing(self._pages(prefix, fields=fields, delimiter="/")) as pages:
            async for page in pages:
                for found in page.get("prefixes", ()):
                    yield found

    async def _pages(self, prefix: str, **more: str) -> AsyncGenerator[Any, None]:
        query = {"prefix": prefix, "maxResults": "1000", **more}
        while True:
            reply = await self._service.call(prefix, "GET", self._service.list_url(**query))
            page = reply.json
            yield page
            if not page.get("nextPageToken"):
                return
            query["pageToken"] = page["nextPageToken"]

    async def presigned_url(self, key: str, method: str, lifetime: float) -> str | None:
        return await self._urls.url(key, method, lifetime)

    async def remove_abandoned(self, prefix: str, before: float) -> int:
        """Nothing: the service itself gives up uploads that are a week old, and does not list
        them."""
        return 0


def _stat(found: Any) -> Stat:
    written = datetime.fromisoformat(found["timeCreated"])
    return Stat(int(found["size"]), written.timestamp())


def from_settings(settings: "GCSSettings") -> StorageDriver:
    """The driver that the configuration describes."""
    return ObjectDriver(GCSStore(settings), settings.rootdirectory)
