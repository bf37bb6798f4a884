"""Amazon S3 and what speaks its protocol (Ceph, MinIO, ...), through aiobotocore.

What fills a part is uploaded in parts; such an upload begins and ends, or is aborted, within one call.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from longshore.storage import multipart
from longshore.storage.continued import Answer, continued
from longshore.storage.driver import Stat, StorageDriver, StorageUnavailable
from longshore.storage.joining import fetch, plan
from longshore.storage.object_store import Source, StoredObject
from longshore.storage.objects import ObjectDriver
from longshore.storage.parts import MINIMUM_PART, PartMemory
from longshore.storage.s3_client import (
    NAME,
    Bucket,
    again_after_429,
    code,
    connect,
    no_such_bucket,
    translated,
)
from longshore.storage.s3_multipart import S3Multipart, abort

if TYPE_CHECKING:
    from longshore.storage.s3_settings import S3Settings

#: Bytes read from a response in one piece.
_PIECE: Final = 1 << 20
#: Bytes of parts in memory, for all uploads of a process.
_MEMORY: Final = 128 << 20


class S3Store:
    """One bucket. See :class:`longshore.storage.object_store.ObjectStore`."""

    name = NAME

    #: Set by :meth:`open`.
    _bucket: Bucket
    _signer: Any

    def __init__(self, settings: "S3Settings") -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self._memory = PartMemory(settings.chunksize, _MEMORY)
        self._copies = asyncio.Semaphore(settings.multipartcopymaxconcurrency)

    async def open(self) -> None:
        """Ask for the bucket. Before that the SDK reads files about the service, which holds up the
        event loop: a worker opens its storage before it takes requests."""
        settings = self._settings
        with translated(settings.bucket):
            client = await self._stack.enter_async_context(connect(settings, settings.endpoint))
            self._bucket = Bucket(client, settings.bucket, settings)
            self._signer = client
            client.meta.events.register("needs-retry.s3", again_after_429)
            if settings.redirectendpoint:
                self._signer = await self._stack.enter_async_context(
                    connect(settings, settings.redirectendpoint)
                )
            try:
                await client.head_bucket(Bucket=settings.bucket)
            except ClientError as error:
                raise no_such_bucket(error, settings.bucket) or error from error

    async def close(self) -> None:
        await self._stack.aclose()

    async def get(self, key: str) -> bytes:
        async with aclosing(self.stream(key)) as pieces:
            return b"".join([piece async for piece in pieces])

    async def stream(
        self, key: str, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        if length == 0:
            await self.stat(key)
            return
        last = "" if length is None else str(start + length - 1)

        @asynccontextmanager
        async def ask(first: int, tag: str) -> AsyncGenerator[Answer | None, None]:
            wanted = {"Range": f"bytes={first}-{last}"} if first or last else {}
            if tag:
                wanted["IfMatch"] = tag
            with translated(key):
                reply = await self._get(key, wanted)
                if reply is None:
                    yield None
                    return
                async with reply["Body"] as body:
                    yield Answer(reply["ContentLength"], reply["ETag"], _pieces(body))

        async with aclosing(continued(NAME, key, ask, start)) as pieces:
            async for piece in pieces:
                yield piece

    async def _get(self, key: str, wanted: Mapping[str, str]) -> Any:
        """The answer, or None when the range lies behind the end."""
        try:
            return await self._bucket.client.get_object(**self._bucket.object(key), **wanted)
        except ClientError as error:
            if code(error) in ("InvalidRange", "416"):
                return None
            raise

    async def stat(self, key: str) -> Stat:
        with translated(key):
            reply = await self._bucket.client.head_object(**self._bucket.object(key))
        return Stat(reply["ContentLength"], reply["LastModified"].timestamp())

    async def put(self, key: str, content: bytes) -> None:
        with translated(key):
            await self._bucket.client.put_object(Body=content, **self._bucket.new_object(key))

    async def upload(self, key: str, pieces: AsyncIterable[bytes]) -> int:
        return await multipart.upload(
            self._memory, pieces, partial(self.put, key), partial(self._multipart, key)
        )

    def _multipart(self, key: str) -> S3Multipart:
        return S3Multipart(self._bucket, key, self._copies, partial(fetch, self))

    async def join(self, sources: Sequence[Source], destination: str) -> None:
        sources = [source for source in sources if source.size]
        total = sum(source.size for source in sources)
        if len(sources) == 1 and total <= self._settings.multipartcopythresholdsize:
            with translated(sources[0].key):
                await self._bucket.client.copy_object(
                    CopySource=dict(self._bucket.object(sources[0].key)),
                    MetadataDirective="REPLACE",
                    **self._bucket.new_object(destination),
                )
            return
        groups = plan(sources, MINIMUM_PART, self._settings.multipartcopychunksize)
        if len(groups) == 1 and total <= MINIMUM_PART:
            await self.put(destination, await fetch(self, groups[0]))
            return
        async with self._multipart(destination) as joined:
            for group in groups:
                await joined.take(group)
            await joined.complete(total)

    async def delete(self, keys: Sequence[str]) -> None:
        if len(keys) == 1:
            with translated(keys[0]):
                await self._bucket.client.delete_object(**self._bucket.object(keys[0]))
            return
        for start in range(0, len(keys), 1000):
            some = keys[start : start + 1000]
            with translated(some[0]):
                reply = await self._bucket.client.delete_objects(
                    Bucket=self._bucket.name,
                    Delete={"Objects": [{"Key": key} for key in some], "Quiet": True},
                )
            for failed in reply.get("Errors", ()):
                reason = f"not removed: {failed.get('Code')} {failed.get('Message', '')}"
                raise StorageUnavailable(NAME, failed["Key"], reason)

    async def list(self, prefix: str) -> AsyncGenerator[StoredObject, None]:
        async with aclosing(self._pages(prefix)) as pages:
            async for page in pages:
                for found in page.get("Contents", ()):
                    stat = Stat(found["Size"], found["LastModified"].timestamp())
                    yield StoredObject(found["Key"], stat)

    async def prefixes(self, prefix: str) -> AsyncGenerator[str, None]:
        async with aclosing(self._pages(prefix, Delimiter="/")) as pages:
            async for page in pages:
                for found in page.get("CommonPrefixes", ()):
                    yield found["Prefix"]

    async def _pages(self, prefix: str, **more: str) -> AsyncGenerator[Any, None]:
        while True:
            with translated(prefix):
                page = await self._bucket.client.list_objects_v2(
                    Bucket=self._bucket.name, Prefix=prefix, **more
                )
            yield page
            if not page.get("IsTruncated"):
                return
            more["ContinuationToken"] = page["NextContinuationToken"]

    async def presigned_url(self, key: str, method: str, lifetime: float) -> str | None:
        action = {"GET": "get_object", "HEAD": "head_object"}.get(method)
        if action is None:
            return None
        with translated(key):
            url: str = await self._signer.generate_presigned_url(
                action, dict(self._bucket.object(key)), ExpiresIn=int(lifetime)
            )
        return url

    async def remove_abandoned(self, prefix: str, before: float) -> int:
        removed = 0
        after: dict[str, str] = {}
        while True:
            with translated(prefix):
                page = await self._bucket.client.list_multipart_uploads(
                    Bucket=self._bucket.name, Prefix=prefix, **after
                )
            for found in page.get("Uploads", ()):
                if found["Initiated"].timestamp() < before:
                    await abort(self._bucket, found["Key"], found["UploadId"])
                    removed += 1
            if not page.get("IsTruncated"):
                return removed
            after = {
                "KeyMarker": page["NextKeyMarker"],
                "UploadIdMarker": page["NextUploadIdMarker"],
            }


async def _pieces(body: Any) -> AsyncIterator[bytes]:
    while piece := await body.read(_PIECE):
        yield piece


def from_settings(settings: "S3Settings") -> StorageDriver:
    """The driver that the configuration describes."""
    return ObjectDriver(S3Store(settings), settings.rootdirectory)
