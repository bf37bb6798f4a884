"""Objects of OSS that are made of parts: multipart uploads."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import alibabacloud_oss_v2 as sdk

from longshore.storage.driver import StorageUnavailable
from longshore.storage.joining import Piece, fetch
from longshore.storage.multipart import Multipart
from longshore.storage.oss_client import BYTES, Body, translated

if TYPE_CHECKING:
    from longshore.storage.oss import OSSStore

#: Parts of one object copied at the same time.
_COPIED: Final = 10


class OSSMultipart(Multipart):
    """One multipart upload to ``key``."""

    def __init__(self, store: "OSSStore", key: str) -> None:
        super().__init__(_COPIED)
        self._store, self._key = store, key
        self._client = store.client
        self._id = ""
        self._tags: dict[int, str] = {}

    async def _begin(self) -> None:
        with translated(self._key):
            reply = await self._client.initiate_multipart_upload(
                sdk.InitiateMultipartUploadRequest(
                    bucket=self._store.bucket,
                    key=self._key,
                    content_type=BYTES,
                    **self._store.settings.object_options,
                )
            )
        self._id = reply.upload_id

    def _part(self, number: int) -> dict[str, Any]:
        return {
            "bucket": self._store.bucket,
            "key": self._key,
            "upload_id": self._id,
            "part_number": number,
        }

    async def _put(self, number: int, content: bytes) -> None:
        with translated(self._key):
            reply = await self._client.upload_part(
                sdk.UploadPartRequest(
                    body=Body(content), content_length=len(content), **self._part(number)
                )
            )
        self._tags[number] = reply.etag

    async def _take(self, number: int, group: Sequence[Piece]) -> None:
        async with self._store.copies:
            if len(group) > 1:
                await self._put(number, await fetch(self._store, group))
                return
            (piece,) = group
            with translated(piece.key):
                reply = await self._client.upload_part_copy(
                    sdk.UploadPartCopyRequest(
                        source_key=piece.key,
                        source_range=f"bytes={piece.start}-{piece.start + piece.length - 1}",
                        **self._part(number),
                    )
                )
            self._tags[number] = reply.etag

    async def _finish(self, size: int) -> None:
        parts = [
            sdk.UploadPart(part_number=number, etag=self._tags[number])
            for number in sorted(self._tags)
        ]
        try:
            with translated(self._key):
                await self._client.complete_multipart_upload(
                    sdk.CompleteMultipartUploadRequest(
                        bucket=self._store.bucket,
                        key=self._key,
                        upload_id=self._id,
                        complete_multipart_upload=sdk.CompleteMultipartUpload(parts=parts),
                    )
                )
        except StorageUnavailable as error:
            # A repeated request finds the upload completed, by the one whose answer was lost.
            if "NoSuchUpload" not in error.reason:
                raise
            if (await self._store.stat(self._key)).size != size:
                raise

    async def _give_up(self) -> None:
        await abort(self._client, self._store.bucket, self._key, self._id)


async def abort(client: Any, bucket: str, key: str, upload: str) -> None:
    """End a multipart upload and remove its parts. One that is not there is no error."""
    try:
        with translated(key):
            await client.abort_multipart_upload(
                sdk.AbortMultipartUploadRequest(bucket=bucket, key=key, upload_id=upload)
            )
    except StorageUnavailable as error:
        if "NoSuchUpload" not in error.reason:
            raise
