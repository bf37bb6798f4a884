"""Alibaba Cloud OSS, through the asynchronous client of its SDK.

What fills a part is uploaded in parts; such an upload begins and ends, or is aborted, within one call.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import alibabacloud_oss_v2 as sdk

from longshore.storage import multipart
from longshore.storage.continued import Answer, continued
from longshore.storage.driver import Stat, StorageDriver
from longshore.storage.joining import fetch, plan
from longshore.storage.object_store import Source, StoredObject
from longshore.storage.objects import ObjectDriver
from longshore.storage.oss_client import BYTES, NAME, Body, connect, connections, translated
from longshore.storage.oss_multipart import OSSMultipart, abort
from longshore.storage.parts import MINIMUM_PART, PartMemory

if TYPE_CHECKING:
    import aiohttp

    from longshore.storage.oss_settings import OSSSettings

#: Bytes read from a response in one piece.
_PIECE: Final = 1 << 20
#: Bytes of parts in memory, for all uploads of a process.
_MEMORY: Final = 128 << 20
#: Bytes that one request copies at most; the service allows 1 GB.
_COPY: Final = 128 << 20
#: Parts copied at the same time, for all objects of a process.
_COPIES: Final = 50
#: Objects in one page of a listing: the most that the service gives.
_PAGE: Final = 1_000


class OSSStore:
    """One bucket. See :class:`longshore.storage.object_store.ObjectStore`."""

    name = NAME

    def __init__(self, settings: "OSSSettings") -> None:
        self.settings = settings
        self.bucket = settings.bucket
        self._memory = PartMemory(settings.chunksize, _MEMORY)
        self.copies = asyncio.Semaphore(_COPIES)
        self._session: aiohttp.ClientSession | None = None
        # Any: the SDK has annotations, but does not say that they hold.
        self.client: Any = None
        self._signer: Any = None

    async def open(self) -> None:
        """List one object: there is nothing less for which every policy has a right."""
        settings = self.settings
        self._session = connections()
        self.client = connect(settings, settings.endpoint, self._session)
        self._signer = self.client
        if settings.redirectendpoint:
            self._signer = connect(settings, settings.redirectendpoint, self._session)
        with translated(self.bucket):
            await self.client.list_objects_v2(
                sdk.ListObjectsV2Request(bucket=self.bucket, max_keys=1)
            )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, key: str) -> bytes:
        with translated(key):
            found = await self.client.get_object(sdk.GetObjectRequest(bucket=self.bucket, key=key))
            content: bytes = found.body.content
            return content

    async def stream(
        self, key: str, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        if length == 0:
            await self.stat(key)
            return
        last = "" if length is None else str(start + length - 1)

        @asynccontextmanager
        async def ask(first: int, tag: str) -> AsyncGenerator[Answer | None, None]:
            headers = {"If-Match": tag} if tag else {}
            if first or last:
                # Or the service answers a range that it finds wrong with everything.
                headers |= {"Range": f"bytes={first}-{last}", "x-oss-range-behavior": "standard"}
            with translated(key):
                reply = await self._begin_reading(key, headers)
                if reply is None:
                    yield None
                    return
                async with reply:
                    size, etag = int(reply.headers["Content-Length"]), reply.headers["ETag"]
                    yield Answer(size, etag, reply.iter_bytes(block_size=_PIECE))

        async with aclosing(continued(NAME, key, ask, start)) as pieces:
            async for piece in pieces:
                yield piece

    async def _begin_reading(self, key: str, headers: dict[str, str]) -> Any:
        """The answer before its body, or None when the range lies behind the end. The SDK has a
        stream as well, which asks again for ever when every answer breaks off."""
        operation = sdk.OperationInput(
            op_name="GetObject",
            method="GET",
            bucket=self.bucket,
            key=key,
            headers=sdk.types.CaseInsensitiveDict(headers),
            op_metadata={"response-stream": True},
        )
        try:
            return (await self.client.invoke_operation(operation)).http_response
        except sdk.exceptions.OperationError as error:
            if getattr(error.unwrap(), "status_code", 0) == 416:
                return None
            raise

    async def stat(self, key: str) -> Stat:
        with translated(key):
            found = await self.client.head_object(
                sdk.HeadObjectRequest(bucket=self.bucket, key=key)
            )
        return Stat(found.content_length, found.last_modified.timestamp())

    async def put(self, key: str, content: bytes) -> None:
        with translated(key):
            await self.client.put_object(
                sdk.PutObjectRequest(
                    bucket=self.bucket,
                    key=key,
                    body=Body(content) if content else b"",
                    content_length=len(content),
                    content_type=BYTES,
                    **self.settings.object_options,
                )
            )

    async def upload(self, key: str, pieces: AsyncIterable[bytes]) -> int:
        return await multipart.upload(
            self._memory, pieces, partial(self.put, key), partial(OSSMultipart, self, key)
        )

    async def join(self, sources: Sequence[Source], destination: str) -> None:
        groups = plan([source for source in sources if source.size], MINIMUM_PART, _COPY)
        if len(groups) == 1:
            if len(groups[0]) == 1:
                await self._copy(groups[0][0].key, destination)
            else:
                await self.put(destination, await fetch(self, groups[0]))
            return
        async with OSSMultipart(self, destination) as joined:
            for group in groups:
                await joined.take(group)
            await joined.complete(sum(source.size for source in sources))

    async def _copy(self, source: str, destination: str) -> None:
        with translated(source):
            await self.client.copy_object(
                sdk.CopyObjectRequest(
                    bucket=self.bucket,
                    key=destination,
                    source_key=source,
                    metadata_directive="REPLACE",
                    content_type=BYTES,
                    **self.settings.object_options,
                )
            )

    async def delete(self, keys: Sequence[str]) -> None:
        if len(keys) == 1:
            with translated(keys[0]):
                await self.client.delete_object(
                    sdk.DeleteObjectRequest(bucket=self.bucket, key=keys[0])
                )
            return
        for start in range(0, len(keys), _PAGE):
            some = keys[start : start + _PAGE]
            objects = [sdk.DeleteObject(key=key) for key in some]
            with translated(some[0]):
                await self.client.delete_multiple_objects(
                    sdk.DeleteMultipleObjectsRequest(
                        bucket=self.bucket, objects=objects, quiet=True
                    )
                )

    async def list(self, prefix: str) -> AsyncGenerator[StoredObject, None]:
        async for page in self._pages(prefix):
            for found in page.contents or ():
                yield StoredObject(found.key, Stat(found.size, found.last_modified.timestamp()))

    async def prefixes(self, prefix: str) -> AsyncGenerator[str, None]:
        async for page in self._pages(prefix, delimiter="/"):
            for found in page.common_prefixes or ():
                yield found.prefix

    async def _pages(self, prefix: str, **more: str) -> AsyncGenerator[Any, None]:
        after: str | None = None
        while True:
            with translated(prefix):
                page = await self.client.list_objects_v2(
                    sdk.ListObjectsV2Request(
                        bucket=self.bucket,
                        prefix=prefix,
                        max_keys=_PAGE,
                        continuation_token=after,
                        **more,
                    )
                )
            yield page
            if not page.is_truncated:
                return
            after = page.next_continuation_token

    async def presigned_url(self, key: str, method: str, lifetime: float) -> str | None:
        request = {"GET": sdk.GetObjectRequest, "HEAD": sdk.HeadObjectRequest}.get(method)
        if request is None:
            return None
        with translated(key):
            signed = await self._signer.presign(
                request(bucket=self.bucket, key=key), expires=timedelta(seconds=int(lifetime))
            )
        url: str = signed.url
        return url

    async def remove_abandoned(self, prefix: str, before: float) -> int:
        removed = 0
        after: dict[str, str] = {}
        while True:
            with translated(prefix):
                page = await self.client.list_multipart_uploads(
                    sdk.ListMultipartUploadsRequest(
                        bucket=self.bucket, prefix=prefix, max_uploads=_PAGE, **after
                    )
                )
            for found in page.uploads or ():
                if found.initiated.timestamp() < before:
                    await abort(self.client, self.bucket, found.key, found.upload_id)
                    removed += 1
            if not page.is_truncated:
                return removed
            after = {
                "key_marker": page.next_key_marker,
                "upload_id_marker": page.next_upload_id_marker,
            }


def from_settings(settings: "OSSSettings") -> StorageDriver:
    """The driver that the configuration describes."""
    return ObjectDriver(OSSStore(settings), settings.rootdirectory)
