"""Azure Blob Storage, through the SDK's asynchronous client.

Objects are block blobs. What fills a block is uploaded in blocks, which nobody sees until they are
committed together; such an upload begins and ends within one call.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Final

from azure.core.exceptions import HttpResponseError
from azure.storage.blob.aio import BlobClient, BlobPrefix, BlobServiceClient, ContainerClient

from longshore.storage.azure_blocks import CONTENT, COPY_TIMEOUT, LOST, Blocks, begun, clear
from longshore.storage.azure_client import (
    CONNECT_TIMEOUT,
    NAME,
    READ_TIMEOUT,
    DelegatedSigner,
    KeySigner,
    Repetition,
    Signer,
    Transport,
    code,
    credential,
    translated,
)
from longshore.storage.driver import (
    PathNotFound,
    Stat,
    StorageDriver,
    StorageError,
    StorageUnavailable,
)
from longshore.storage.object_store import Source, StoredObject
from longshore.storage.objects import ObjectDriver
from longshore.storage.parts import Part, PartMemory

if TYPE_CHECKING:
    from longshore.storage.azure_settings import AzureSettings

#: Bytes of a block; a blob has 50,000 of them at most (390 GiB).
_BLOCK: Final = 8 << 20
#: Bytes of blocks in memory, for all uploads of a process.
_MEMORY: Final = 128 << 20
#: Blocks of one upload that are on their way at the same time, and blocks that are copied.
_IN_FLIGHT, _COPYING = 2, 8
#: Bytes that one request reads: the SDK keeps them in memory, and repeats it when it breaks off.
_PIECE: Final = 4 << 20
#: The service copies an object of at most so many bytes whole, and ranges of at most so many.
_WHOLE, _RANGE = 256 << 20, 64 << 20
#: Objects that are removed at the same time.
_REMOVING: Final = 16
#: How often an object is made when others make the same one at the same time.
_ATTEMPTS: Final = 5


class AzureStore:
    """One container. See :class:`longshore.storage.object_store.ObjectStore`.

    ``identity`` stands in for what the settings say about who the driver is.
    """

    name = NAME

    def __init__(self, settings: "AzureSettings", identity: Any = None) -> None:
        self._settings = settings
        self._memory = PartMemory(_BLOCK, _MEMORY)
        self._identity = identity
        self._copies_ranges = True
        self._service: BlobServiceClient
        self._container: ContainerClient
        self._signer: Signer

    async def open(self) -> None:
        """Ask for the container."""
        settings = self._settings
        if self._identity is None:
            self._identity = credential(settings)
        self._service = BlobServiceClient(
            settings.endpoint,
            self._identity,
            transport=Transport(
                connection_timeout=CONNECT_TIMEOUT,
                read_timeout=READ_TIMEOUT,
                connection_verify=not settings.skipverify,
                connection_data_block_size=1 << 20,
            ),
            retry_policy=Repetition(settings),
            max_single_get_size=_PIECE,
            max_chunk_get_size=_PIECE,
            max_single_put_size=max(_BLOCK, 64 << 20),
        )
        self._container = self._service.get_container_client(settings.container)
        if settings.kind == "shared_key":
            self._signer = KeySigner(settings)
        else:
            self._signer = DelegatedSigner(settings, self._service, self._identity)
        with translated(settings.container):
            await self._container.get_container_properties()

    async def close(self) -> None:
        await self._service.close()
        if hasattr(self._identity, "close"):
            await self._identity.close()

    def _blob(self, key: str) -> BlobClient:
        return self._container.get_blob_client(key)

    async def get(self, key: str) -> bytes:
        async with aclosing(self.stream(key)) as pieces:
            return b"".join([piece async for piece in pieces])

    async def stream(
        self, key: str, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        if length == 0:
            await self.stat(key)
            return
        read = 0
        with translated(key):
            try:
                # Further requests name the version that the first one met.
                content = await self._blob(key).download_blob(
                    offset=start if start or length else None,
                    length=length,
                    max_concurrency=1,
                    decompress=False,
                )
            except HttpResponseError as error:
                if error.status_code == 416:
                    return
                raise
            async for piece in content.chunks():
                read += len(piece)
                yield piece
        if read < content.size:
            reason = f"the object ended after {read} of {content.size} bytes"
            raise StorageUnavailable(NAME, key, reason)

    async def stat(self, key: str) -> Stat:
        with translated(key):
            found = await self._blob(key).get_blob_properties()
        return Stat(found.size, found.last_modified.timestamp())

    async def put(self, key: str, content: bytes) -> None:
        with translated(key):
            try:
                await self._put(key, content)
            except HttpResponseError as error:
                if code(error) != "InvalidBlobType":
                    raise
                # Blobs of other types, as distribution writes them, have to go first.
                await self.delete([key])
                await self._put(key, content)

    async def _put(self, key: str, content: bytes) -> None:
        await self._blob(key).upload_blob(content, overwrite=True, content_settings=CONTENT)

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
            async with Blocks(self._blob(key), "upload", _IN_FLIGHT) as blocks:
                size = await _send_all(blocks, first, parts)
                await blocks.commit()
            return size

    async def join(self, sources: Sequence[Source], destination: str) -> None:
        sources = [source for source in sources if source.size]
        total = sum(source.size for source in sources)
        for _ in range(_ATTEMPTS):
            if await self._make(sources, destination):
                return
            # The destination is a name that only this content has.
            if await self._has(destination, total):
                return
        reason = f"others wrote to it each of the {_ATTEMPTS} times that it was made"
        raise StorageUnavailable(NAME, destination, reason)

    async def _make(self, sources: Sequence[Source], destination: str) -> bool:
        """Whether the blob was made; False if another writer was in between."""
        try:
            if len(sources) == 1 and sources[0].size <= _WHOLE:
                await self._copy(sources[0].key, destination)
            elif self._copies_ranges:
                await self._join_ranges(sources, destination)
            else:
                await self._join_streams(sources, destination)
        except StorageError as error:
            cause = error.__cause__
            if not isinstance(cause, HttpResponseError):
                raise
            if code(cause) == "InvalidBlobType":
                await self.delete([destination])
            elif cause.status_code == 501:  # the service lacks Put Block From URL
                self._copies_ranges = False
            elif code(cause) not in LOST:
                raise
            return False
        return True

    async def _copy(self, key: str, destination: str) -> None:
        blob = self._blob(key)
        url, options = await self._signer.source(key, blob.url)
        with translated(key):
            await self._blob(destination).start_copy_from_url(
                url, requires_sync=True, read_timeout=COPY_TIMEOUT, **options
            )

    async def _join_ranges(self, sources: Sequence[Source], destination: str) -> None:
        async with Blocks(self._blob(destination), "join", _COPYING) as blocks:
            for source in sources:
                url, options = await self._signer.source(source.key, self._blob(source.key).url)
                for start in range(0, source.size, _RANGE):
                    length = min(_RANGE, source.size - start)
                    await blocks.take(url, start, length, options)
            await blocks.commit()

    async def _join_streams(self, sources: Sequence[Source], destination: str) -> None:
        async with (
            aclosing(self._contents(sources)) as contents,
            aclosing(self._memory.parts(contents)) as parts,
            Blocks(self._blob(destination), "join", _IN_FLIGHT) as blocks,
        ):
            await _send_all(blocks, None, parts)
            await blocks.commit()

    async def _contents(self, sources: Sequence[Source]) -> AsyncGenerator[bytes, None]:
        for source in sources:
            read = 0
            async with aclosing(self.stream(source.key, 0, source.size)) as pieces:
                async for piece in pieces:
                    read += len(piece)
                    yield piece
            if read < source.size:
                raise PathNotFound(NAME, source.key, f"only {read} bytes are there")

    async def _has(self, key: str, size: int) -> bool:
        try:
            return (await self.stat(key)).size == size
        except PathNotFound:
            return False

    async def delete(self, keys: Sequence[str]) -> None:
        # One request each: a batch costs as much, and is not repeated when the service is busy.
        waiting = iter(keys)

        async def remove() -> None:
            for key in waiting:
                with suppress(PathNotFound), translated(key):
                    await self._blob(key).delete_blob()

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(len(keys), _REMOVING)):
                    group.create_task(remove())
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed

    async def list(self, prefix: str) -> AsyncGenerator[StoredObject, None]:
        with translated(prefix):
            async for found in self._container.list_blobs(prefix):
                stat = Stat(found.size, found.last_modified.timestamp())
                yield StoredObject(found.name, stat)

    async def prefixes(self, prefix: str) -> AsyncGenerator[str, None]:
        """See :class:`longshore.storage.object_store.CommonPrefixes`."""
        with translated(prefix):
            async for found in self._container.walk_blobs(prefix, delimiter="/"):
                if isinstance(found, BlobPrefix):
                    yield found.name

    async def presigned_url(self, key: str, method: str, lifetime: float) -> str | None:
        if method not in ("GET", "HEAD"):
            return None
        query = await self._signer.query(key, lifetime)
        return query and f"{self._blob(key).url}?{query}"

    async def remove_abandoned(self, prefix: str, before: float) -> int:
        removed = 0
        with translated(prefix):
            async for found in self._container.list_blobs(prefix, include=["uncommittedblobs"]):
                if found.size:
                    continue
                blob = self._blob(found.name)
                try:
                    committed, waiting = await blob.get_block_list("all")
                except HttpResponseError as error:
                    if error.status_code == 404:
                        continue
                    raise
                ages = [begun(str(block.id)) for block in waiting]
                if committed or not ages or any(age is None or age >= before for age in ages):
                    continue
                await clear(blob)
                removed += 1
        return removed


async def _send_all(blocks: Blocks, first: Part | None, rest: AsyncGenerator[Part, None]) -> int:
    """Send parts until there are no more; how many bytes. Releases every part."""
    size = 0
    part = first if first is not None else await anext(rest, None)
    while part is not None:
        size += len(part.content)
        await blocks.send(part)
        part = await anext(rest, None)
    return size


def from_settings(settings: "AzureSettings") -> StorageDriver:
    """The driver that the configuration describes."""
    return ObjectDriver(AzureStore(settings), settings.rootdirectory)
