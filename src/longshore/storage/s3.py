"""Amazon S3 and what speaks its protocol (Ceph, MinIO, ...), through aiobotocore.

What fills a part is uploaded in parts; such an upload begins and ends, or is aborted, within one call.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import aiobotocore.session
from aiobotocore.config import AioConfig
from aiohttp import ClientError as TransportError
from botocore.exceptions import BotoCoreError, ClientError

from longshore.storage.driver import (
    PathNotFound,
    Stat,
    StorageDriver,
    StorageError,
    StorageNoSpace,
    StorageUnavailable,
)
from longshore.storage.object_store import Source, StoredObject
from longshore.storage.objects import ObjectDriver
from longshore.storage.parts import MINIMUM_PART, Part, PartMemory
from longshore.storage.s3_join import Piece, plan

if TYPE_CHECKING:
    from longshore.storage.s3_settings import S3Settings

NAME: Final = "s3"
#: Bytes read from a response in one piece.
_PIECE: Final = 1 << 20
#: Bytes of parts in memory, for all uploads of a process.
_MEMORY: Final = 128 << 20
#: Parts of one upload that are on their way at the same time.
_IN_FLIGHT: Final = 2
_MISSING: Final = frozenset({"404", "NoSuchKey", "NotFound"})
_FULL: Final = frozenset({"QuotaExceeded", "507", "InsufficientStorage", "XMinioStorageFull"})
_BUCKET: Final = {
    "NoSuchBucket": "the bucket does not exist: create it, or correct storage.s3.bucket",
    "AllAccessDisabled": "all access to the bucket is disabled",
}
_DENIED: Final = {
    "403": "the credentials may not use the bucket",
    "AccessDenied": "the credentials may not do this: the policy needs s3:ListBucket, "
    "s3:ListBucketMultipartUploads, s3:GetObject, s3:PutObject, s3:DeleteObject, "
    "s3:ListMultipartUploadParts and s3:AbortMultipartUpload",
    "InvalidAccessKeyId": "the access key is not known: correct storage.s3.accesskey",
    "SignatureDoesNotMatch": "the secret key is not right: correct storage.s3.secretkey",
}


@contextmanager
def translated(key: str) -> Iterator[None]:
    """Errors of the service and of the way there become StorageError, with ``key`` as path."""
    try:
        yield
    except ClientError as error:
        raise _meaning(key, error) from error
    except (BotoCoreError, TransportError, TimeoutError, OSError) as error:
        reason = f"the service does not answer: {type(error).__name__}: {error}"
        raise StorageUnavailable(NAME, key, reason) from error


def _meaning(key: str, error: ClientError) -> StorageError:
    told: Mapping[str, Any] = error.response.get("Error", {})
    code = str(told.get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in _MISSING:
        return PathNotFound(NAME, key, "no such object")
    if code in _FULL or status == 507:
        return StorageNoSpace(NAME, key, f"the service has no room ({code})")
    known = _BUCKET.get(code) or _DENIED.get(code)
    said = str(told.get("Message", "")).strip()
    return StorageUnavailable(NAME, key, known or f"the service answered {code} {said}".strip())


class S3Store:
    """One bucket. See :class:`longshore.storage.object_store.ObjectStore`."""

    name = NAME

    def __init__(self, settings: "S3Settings") -> None:
        self._settings = settings
        self._bucket = settings.bucket
        self._stack = AsyncExitStack()
        self._session = aiobotocore.session.AioSession()
        self._memory = PartMemory(settings.chunksize, _MEMORY)
        self._copies = asyncio.Semaphore(settings.multipartcopymaxconcurrency)
        # Any: the client's methods are made from the service's description when it starts.
        self._client: Any = None
        self._signer: Any = None

    async def open(self) -> None:
        """Ask for the bucket. Before that the SDK reads files about the service, which holds up the
        event loop: a worker opens its storage before it takes requests."""
        settings = self._settings
        with translated(self._bucket):
            self._client = await self._connect(settings.endpoint)
            self._signer = self._client
            if settings.redirectendpoint:
                self._signer = await self._connect(settings.redirectendpoint)
            try:
                await self._client.head_bucket(Bucket=self._bucket)
            except ClientError as error:
                if str(error.response.get("Error", {}).get("Code")) in _MISSING:
                    reason = f"bucket {self._bucket!r}: {_BUCKET['NoSuchBucket']}"
                    raise StorageUnavailable(NAME, self._bucket, reason) from error
                raise

    def _create(self, endpoint: str | None) -> Any:
        settings = self._settings
        return self._session.create_client(
            "s3",
            region_name=settings.region or None,
            endpoint_url=endpoint,
            verify=not settings.skipverify,
            aws_access_key_id=settings.accesskey.get_secret_value() or None,
            aws_secret_access_key=settings.secretkey.get_secret_value() or None,
            aws_session_token=settings.sessiontoken.get_secret_value() or None,
            config=AioConfig(**settings.client_options),
        )

    async def _connect(self, endpoint: str | None) -> Any:
        return await self._stack.enter_async_context(self._create(endpoint))

    async def close(self) -> None:
        await self._stack.aclose()

    async def get(self, key: str) -> bytes:
        with translated(key):
            reply = await self._client.get_object(Bucket=self._bucket, Key=key)
            async with reply["Body"] as body:
                content: bytes = await body.read()
                return content

    async def stream(
        self, key: str, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        if length == 0:
            await self.stat(key)
            return
        wanted: dict[str, str] = {}
        if start or length is not None:
            end = "" if length is None else str(start + length - 1)
            wanted["Range"] = f"bytes={start}-{end}"
        with translated(key):
            try:
                reply = await self._client.get_object(Bucket=self._bucket, Key=key, **wanted)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in ("InvalidRange", "416"):
                    return
                raise
            expected, read = reply["ContentLength"], 0
            async with reply["Body"] as body:
                while piece := await body.read(_PIECE):
                    read += len(piece)
                    yield piece
        if read < expected:
            reason = f"the object ended after {read} of {expected} bytes"
            raise StorageUnavailable(NAME, key, reason)

    async def stat(self, key: str) -> Stat:
        with translated(key):
            reply = await self._client.head_object(Bucket=self._bucket, Key=key)
        return Stat(reply["ContentLength"], reply["LastModified"].timestamp())

    async def put(self, key: str, content: bytes) -> None:
        with translated(key):
            await self._client.put_object(
                Bucket=self._bucket, Key=key, Body=content, **self._settings.object_options
            )

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
            return await self._upload_parts(key, first, parts)

    async def _upload_parts(self, key: str, first: Part, rest: AsyncGenerator[Part, None]) -> int:
        """Multipart, a few parts at a time. Releases every part, and aborts when it fails."""
        size, number = 0, 0
        part: Part | None = first
        try:
            async with _Multipart(self, key) as multipart:
                while part is not None:
                    number += 1
                    size += len(part.content)
                    sending, part = part, None
                    await multipart.send(number, sending)
                    part = await anext(rest, None)
                await multipart.complete(size)
        finally:
            if part is not None:
                part.release()
        return size

    async def join(self, sources: Sequence[Source], destination: str) -> None:
        sources = [source for source in sources if source.size]
        total = sum(source.size for source in sources)
        if len(sources) == 1 and total <= self._settings.multipartcopythresholdsize:
            with translated(sources[0].key):
                await self._client.copy_object(
                    Bucket=self._bucket,
                    Key=destination,
                    CopySource={"Bucket": self._bucket, "Key": sources[0].key},
                    MetadataDirective="REPLACE",
                    **self._settings.object_options,
                )
            return
        groups = plan(sources, MINIMUM_PART, self._settings.multipartcopychunksize)
        if len(groups) == 1 and total <= MINIMUM_PART:
            await self.put(destination, await self._fetch(groups[0]))
            return
        async with _Multipart(self, destination) as multipart:
            for number, group in enumerate(groups, 1):
                await multipart.take(number, group)
            await multipart.complete(total)

    async def _fetch(self, group: Sequence[Piece]) -> bytes:
        """The bytes of small pieces, which the service would not take as parts of their own."""
        found: list[bytes] = []
        for piece in group:
            async with aclosing(self.stream(piece.key, piece.start, piece.length)) as content:
                read = b"".join([some async for some in content])
            if len(read) < piece.length:
                raise PathNotFound(NAME, piece.key, f"only {len(read)} bytes are there")
            found.append(read)
        return b"".join(found)

    async def delete(self, keys: Sequence[str]) -> None:
        if len(keys) == 1:
            with translated(keys[0]):
                await self._client.delete_object(Bucket=self._bucket, Key=keys[0])
            return
        for start in range(0, len(keys), 1000):
            some = keys[start : start + 1000]
            with translated(some[0]):
                reply = await self._client.delete_objects(
                    Bucket=self._bucket,
                    Delete={"Objects": [{"Key": key} for key in some], "Quiet": True},
                )
            for failed in reply.get("Errors", ()):
                reason = f"not removed: {failed.get('Code')} {failed.get('Message', '')}"
                raise StorageUnavailable(NAME, failed["Key"], reason)

    async def list(self, prefix: str) -> AsyncGenerator[StoredObject, None]:
        after: dict[str, str] = {}
        while True:
            with translated(prefix):
                page = await self._client.list_objects_v2(
                    Bucket=self._bucket, Prefix=prefix, **after
                )
            for found in page.get("Contents", ()):
                stat = Stat(found["Size"], found["LastModified"].timestamp())
                yield StoredObject(found["Key"], stat)
            if not page.get("IsTruncated"):
                return
            after = {"ContinuationToken": page["NextContinuationToken"]}

    async def presigned_url(self, key: str, method: str, lifetime: float) -> str | None:
        action = {"GET": "get_object", "HEAD": "head_object"}.get(method)
        if action is None:
            return None
        with translated(key):
            url: str = await self._signer.generate_presigned_url(
                action, {"Bucket": self._bucket, "Key": key}, ExpiresIn=int(lifetime)
            )
        return url

    async def remove_abandoned(self, prefix: str, before: float) -> int:
        removed = 0
        after: dict[str, str] = {}
        while True:
            with translated(prefix):
                page = await self._client.list_multipart_uploads(
                    Bucket=self._bucket, Prefix=prefix, **after
                )
            for found in page.get("Uploads", ()):
                if found["Initiated"].timestamp() < before:
                    await _abort(self._client, self._bucket, found["Key"], found["UploadId"])
                    removed += 1
            if not page.get("IsTruncated"):
                return removed
            after = {
                "KeyMarker": page["NextKeyMarker"],
                "UploadIdMarker": page["NextUploadIdMarker"],
            }


class _Multipart:
    """One multipart upload to ``key``: completed, or else aborted when the block is left."""

    def __init__(self, store: S3Store, key: str) -> None:
        self._store, self._key = store, key
        self._client, self._bucket = store._client, store._bucket
        self._id = ""
        self._tags: dict[int, Any] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._completed = False

    async def __aenter__(self) -> "_Multipart":
        with translated(self._key):
            reply = await self._client.create_multipart_upload(
                Bucket=self._bucket, Key=self._key, **self._store._settings.object_options
            )
        self._id = reply["UploadId"]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if not self._completed:
            # Also when this task is being cancelled, which must not leave the parts behind.
            aborting = asyncio.ensure_future(
                _abort(self._client, self._bucket, self._key, self._id)
            )
            with suppress(StorageError):
                await asyncio.shield(aborting)

    async def send(self, number: int, part: Part) -> None:
        """Begin to send a part, which is released afterwards; waits while too many are on their way."""

        async def work() -> None:
            with translated(self._key):
                reply = await self._client.upload_part(
                    Bucket=self._bucket,
                    Key=self._key,
                    UploadId=self._id,
                    PartNumber=number,
                    Body=part.content,
                )
            self._tags[number] = reply["ETag"]

        task = asyncio.create_task(work())
        # Not in a `finally` above: a task that is cancelled before its first step has none.
        task.add_done_callback(lambda _task: part.release())
        await self._start(task, _IN_FLIGHT)

    async def take(self, number: int, group: Sequence[Piece]) -> None:
        """Begin to make a part of what is stored already."""

        async def work() -> None:
            async with self._store._copies:
                self._tags[number] = await self._take(number, group)

        await self._start(
            asyncio.create_task(work()), self._store._settings.multipartcopymaxconcurrency
        )

    async def _take(self, number: int, group: Sequence[Piece]) -> Any:
        part = {
            "Bucket": self._bucket,
            "Key": self._key,
            "UploadId": self._id,
            "PartNumber": number,
        }
        if len(group) > 1:
            content = await self._store._fetch(group)
            with translated(self._key):
                reply = await self._client.upload_part(Body=content, **part)
            return reply["ETag"]
        (piece,) = group
        with translated(piece.key):
            reply = await self._client.upload_part_copy(
                CopySource={"Bucket": self._bucket, "Key": piece.key},
                CopySourceRange=f"bytes={piece.start}-{piece.start + piece.length - 1}",
                **part,
            )
        return reply["CopyPartResult"]["ETag"]

    async def _start(self, task: "asyncio.Task[None]", limit: int) -> None:
        self._running.add(task)
        while len(self._running) >= limit:
            await self._reap(asyncio.FIRST_COMPLETED)

    async def _reap(self, until: str) -> None:
        done, self._running = await asyncio.wait(self._running, return_when=until)
        for task in done:
            task.result()

    async def complete(self, size: int) -> None:
        """Wait for all parts and make the object of ``size`` bytes."""
        while self._running:
            await self._reap(asyncio.FIRST_EXCEPTION)
        parts = [
            {"PartNumber": number, "ETag": self._tags[number]} for number in sorted(self._tags)
        ]
        try:
            with translated(self._key):
                await self._client.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=self._key,
                    UploadId=self._id,
                    MultipartUpload={"Parts": parts},
                )
        except StorageError as error:
            # A repeated request finds the upload completed, by the one whose answer was lost.
            if "NoSuchUpload" not in error.reason:
                raise
            if (await self._store.stat(self._key)).size != size:
                raise
        self._completed = True


async def _abort(client: Any, bucket: str, key: str, upload: str) -> None:
    with translated(key):
        try:
            await client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "NoSuchUpload":
                raise


def from_settings(settings: "S3Settings") -> StorageDriver:
    """The driver that the configuration describes."""
    return ObjectDriver(S3Store(settings), settings.rootdirectory)
