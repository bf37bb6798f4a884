"""Objects that are made of parts: multipart uploads."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from botocore.exceptions import ClientError

from longshore.storage.driver import StorageError
from longshore.storage.joining import Piece
from longshore.storage.multipart import Multipart
from longshore.storage.s3_client import Bucket, code, translated


class S3Multipart(Multipart):
    """One multipart upload to ``key``.

    ``copies`` limits the parts that are made inside the service at the same time, for all uploads;
    ``fetch`` gives the bytes of pieces that are too small for that.
    """

    def __init__(
        self,
        bucket: Bucket,
        key: str,
        copies: asyncio.Semaphore,
        fetch: Callable[[Sequence[Piece]], Awaitable[bytes]],
    ) -> None:
        super().__init__(bucket.settings.multipartcopymaxconcurrency)
        self._bucket, self._key, self._copies, self._fetch = bucket, key, copies, fetch
        self._client = bucket.client
        self._id = ""
        self._tags: dict[int, Any] = {}

    async def _begin(self) -> None:
        with translated(self._key):
            reply = await self._client.create_multipart_upload(**self._bucket.new_object(self._key))
        self._id = reply["UploadId"]

    def _part(self, number: int) -> dict[str, Any]:
        return {**self._bucket.object(self._key), "UploadId": self._id, "PartNumber": number}

    async def _put(self, number: int, content: bytes) -> None:
        with translated(self._key):
            reply = await self._client.upload_part(Body=content, **self._part(number))
        self._tags[number] = reply["ETag"]

    async def _take(self, number: int, group: Sequence[Piece]) -> None:
        async with self._copies:
            if len(group) > 1:
                await self._put(number, await self._fetch(group))
                return
            (piece,) = group
            with translated(piece.key):
                reply = await self._client.upload_part_copy(
                    CopySource=dict(self._bucket.object(piece.key)),
                    CopySourceRange=f"bytes={piece.start}-{piece.start + piece.length - 1}",
                    **self._part(number),
                )
            self._tags[number] = reply["CopyPartResult"]["ETag"]

    async def _finish(self, size: int) -> None:
        parts = [
            {"PartNumber": number, "ETag": self._tags[number]} for number in sorted(self._tags)
        ]
        try:
            with translated(self._key):
                await self._client.complete_multipart_upload(
                    UploadId=self._id,
                    MultipartUpload={"Parts": parts},
                    **self._bucket.object(self._key),
                )
        except StorageError as error:
            # A repeated request finds the upload completed, by the one whose answer was lost.
            if "NoSuchUpload" not in error.reason or await self._size() != size:
                raise

    async def _size(self) -> int:
        with translated(self._key):
            reply = await self._client.head_object(**self._bucket.object(self._key))
        size: int = reply["ContentLength"]
        return size

    async def _give_up(self) -> None:
        await abort(self._bucket, self._key, self._id)


async def abort(bucket: Bucket, key: str, upload: str) -> None:
    """Give up an upload. One that has ended is no error."""
    with translated(key):
        try:
            await bucket.client.abort_multipart_upload(UploadId=upload, **bucket.object(key))
        except ClientError as error:
            if code(error) != "NoSuchUpload":
                raise
