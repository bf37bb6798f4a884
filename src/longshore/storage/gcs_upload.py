"""Objects that are sent in chunks: resumable uploads.

https://cloud.google.com/storage/docs/performing-resumable-uploads
"""

import asyncio
import re
from contextlib import suppress
from typing import Final

from longshore.storage.driver import PathNotFound, StorageError, StorageUnavailable
from longshore.storage.gcs_requests import NAME, Reply, Service
from longshore.storage.parts import Part

#: The media type of all objects.
TYPE: Final = "application/octet-stream"
_DONE: Final = frozenset({200, 201})
_MORE: Final = 308
_GONE: Final = frozenset({404, 410})
_RANGE: Final = re.compile(r"bytes=0-(\d+)")


class Resumable:
    """One upload to ``key``: finished, or else given up when the block is left.

    Its URL is a secret: who knows it may go on with the upload. It needs no other credentials, and
    none are sent there.
    """

    def __init__(self, service: Service, key: str, whole: int) -> None:
        """``whole``: bytes of every part but the last, a multiple of 256 KiB."""
        self._service, self._key, self._whole = service, key, whole
        self._url = ""
        self._sending: asyncio.Task[None] | None = None
        self._finished = False
        self.size = 0

    async def __aenter__(self) -> "Resumable":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        if self._url and not self._finished:
            # Also when this task is being cancelled, which must not leave the upload behind.
            giving_up = asyncio.ensure_future(self._give_up())
            with suppress(StorageError):
                await asyncio.shield(giving_up)

    async def _give_up(self) -> None:
        wanted = frozenset({200, 204, 499, *_GONE})
        await self._service.call(self._key, "DELETE", self._url, wanted=wanted, identified=False)

    async def send(self, part: Part) -> None:
        """Begin to send a part, which is released afterwards, once the one before it is there."""
        try:
            await self._settle()
        except BaseException:
            part.release()
            raise
        last = len(part.content) < self._whole
        self._sending = asyncio.create_task(self._send(part.content, last=last))
        # Not in a `finally` there: a task that is cancelled before its first step has none.
        self._sending.add_done_callback(lambda _task: part.release())

    async def finish(self) -> None:
        """Wait until the object is there, whole."""
        await self._settle()
        if not self._finished:
            await self._send(b"", last=True)

    async def _settle(self) -> None:
        if self._sending is not None:
            sending, self._sending = self._sending, None
            try:
                await sending
            finally:
                sending.cancel()

    async def _begin(self) -> None:
        url = self._service.upload_url(uploadType="resumable", name=self._key)
        headers = {"X-Upload-Content-Type": TYPE}
        reply = await self._service.call(self._key, "POST", url, headers=headers)
        self._url = reply.headers.get("Location", "")
        if not self._url:
            raise StorageUnavailable(NAME, self._key, "the service gave no place to upload to")

    async def _send(self, chunk: bytes, *, last: bool) -> None:
        """A chunk whose answer is lost is sent again: the service ignores bytes that it has."""
        if not self._url:
            await self._begin()
        start, end = self.size, self.size + len(chunk)
        total = str(end) if last else "*"
        while True:
            some = chunk[start - self.size :]
            said = f"bytes {start}-{end - 1}/{total}" if some else f"bytes */{total}"
            reply = await self._put(some, said)
            if last and reply.status != _MORE:
                await self._check(reply, end)
                break
            kept = self._kept(reply)
            if kept == end and not last:
                break
            if not start < kept <= end:
                reason = f"the service has {kept} bytes where {start} to {end} were expected"
                raise StorageUnavailable(NAME, self._key, reason)
            start = kept
        self.size = end

    async def _put(self, some: bytes, said: str) -> Reply:
        return await self._service.call(
            self._key,
            "PUT",
            self._url,
            body=some,
            headers={"Content-Range": said},
            wanted=_DONE | _GONE | {_MORE},
            identified=False,
        )

    def _kept(self, reply: Reply) -> int:
        """How many bytes the service has."""
        if reply.status != _MORE:
            reason = f"the upload ended early: the service answered {reply.status}"
            raise StorageUnavailable(NAME, self._key, reason)
        found = _RANGE.fullmatch(reply.headers.get("Range", ""))
        return int(found[1]) + 1 if found else 0

    async def _check(self, reply: Reply, size: int) -> None:
        """See that the object is there, whole."""
        if reply.status in _GONE:
            # The upload may have ended with an attempt whose answer was lost.
            reply = await self._described()
        if int(reply.json.get("size", -1)) != size:
            reason = f"the service stored {reply.json.get('size')} bytes of {size}"
            raise StorageUnavailable(NAME, self._key, reason)
        self._finished = True

    async def _described(self) -> Reply:
        try:
            return await self._service.call(
                self._key, "GET", self._service.object_url(self._key, fields="size")
            )
        except PathNotFound as error:
            raise StorageUnavailable(NAME, self._key, "the upload is gone") from error
