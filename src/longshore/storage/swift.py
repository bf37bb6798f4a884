"""OpenStack Swift, over its own HTTP API.

An object larger than one request may bring is a manifest with segments (see
:mod:`longshore.storage.swift_segments`). Objects that distribution 2.x wrote are read as they are.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from os.path import commonpath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from longshore.storage import multipart
from longshore.storage.continued import Answer, continued
from longshore.storage.driver import PathNotFound, Stat, StorageDriver, StorageUnavailable
from longshore.storage.joining import Piece, fetch, plan
from longshore.storage.object_store import Source, StoredObject
from longshore.storage.objects import ObjectDriver
from longshore.storage.parts import MINIMUM_PART, PartMemory
from longshore.storage.swift_login import NAME
from longshore.storage.swift_requests import Account, Refused
from longshore.storage.swift_segments import DIRECTORY, LargeObject, Made, Segment, remove_unused
from longshore.storage.swift_tempurl import Signer, signer

if TYPE_CHECKING:
    from longshore.storage.swift_settings import SwiftSettings

#: Bytes read from a response in one piece.
_PIECE: Final = 1 << 20
#: Bytes of parts in memory, for all uploads of a process.
_MEMORY: Final = 128 << 20
#: Bytes that one request copies at most: the service answers when it is done.
_COPY: Final = 128 << 20
#: Bytes from which on an object may have segments: the smallest chunksize.
_LARGE: Final = 1 << 20
#: Objects in one page of a listing, and names in one request that removes several.
_PAGE: Final = 1_000
#: Requests at the same time, where several objects are removed one by one.
_REMOVED_AT_ONCE: Final = 8
_BYTES: Final = "application/octet-stream"


class SwiftStore:
    """One container. See :class:`longshore.storage.object_store.ObjectStore`."""

    name = NAME

    def __init__(self, settings: "SwiftSettings") -> None:
        self._settings = settings
        self._account = Account(settings)
        self._memory = PartMemory(settings.chunksize, _MEMORY)
        self.segments = f"{settings.root}{DIRECTORY}/"
        #: Segments that one manifest may have.
        self.manifest_limit = 1_000
        self._removes_many = False
        self._signer: Signer | None = None

    async def open(self) -> None:
        """Log in, make the container if it is not there, and ask what the service can do."""
        await self._account.open()
        try:
            await self._head("")
        except Refused as error:
            if error.status != 404:
                raise
            await self._account.send("PUT", "")
        info: Mapping[str, Any] = {}
        if (found := await self._account.open_url("/info")) is not None:
            info = json.loads(found)
        self.manifest_limit = info.get("slo", {}).get("max_manifest_segments", 1_000)
        self._removes_many = "bulk_delete" in info
        self._signer = await signer(self._account, self._settings, info.get("tempurl"))

    async def close(self) -> None:
        await self._account.close()

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
                wanted["If-Match"] = tag
            async with self._account.answer(key, headers=wanted, also=416) as reply:
                yield (
                    None
                    if reply.status == 416
                    else Answer(
                        int(reply.headers["Content-Length"]),
                        reply.headers.get("Etag", ""),
                        reply.content.iter_chunked(_PIECE),
                    )
                )

        async with self._in_container(), aclosing(continued(NAME, key, ask, start)) as pieces:
            async for piece in pieces:
                yield piece

    async def stat(self, key: str) -> Stat:
        async with self._in_container():
            headers = await self._head(key)
        return Stat(int(headers["Content-Length"]), _modified(headers))

    async def put(self, key: str, content: bytes) -> None:
        await self.store(key, content)

    async def store(self, key: str, content: bytes) -> str:
        """Store an object; the service's MD5 of it."""
        headers = {"Content-Type": _BYTES, "Content-Length": str(len(content))}
        return await self._put(key, content, headers)

    async def store_manifest(self, key: str, segments: Sequence[Segment]) -> None:
        """Make ``key`` the concatenation of segments, which the service checks first."""
        entries = [segment.entry(self._account.container) for segment in segments]
        query = {"multipart-manifest": "put"}
        await self._put(key, json.dumps(entries).encode(), {"Content-Type": _BYTES}, query)

    async def copy(self, piece: Piece, destination: str) -> str:
        """Copy a part of an object inside the service; the service's MD5 of the copy."""
        headers = {
            "X-Copy-From": self._account.path(piece.key),
            "Range": f"bytes={piece.start}-{piece.start + piece.length - 1}",
            "Content-Type": _BYTES,
            "Content-Length": "0",
        }
        try:
            etag = await self._put(destination, b"", headers, long=True)
        except PathNotFound as error:
            raise PathNotFound(NAME, piece.key, error.reason) from error
        if piece.length >= _LARGE:
            await self._check_copy(piece, destination)
        return etag

    async def _check_copy(self, piece: Piece, destination: str) -> None:
        """Ceph's gateway, for one, copies the manifest in place of the bytes that it stands for: two
        objects would share segments, and lose them together."""
        headers = await self._head(destination)
        if headers.get("Content-Length") != str(piece.length) or _has_segments(headers):
            await self.remove([destination])
            reason = (
                "the service does not copy as OpenStack Swift does; nothing was lost, but large "
                "objects cannot be stored: use its S3 API with storage.s3, if it has one"
            )
            raise StorageUnavailable(NAME, piece.key, reason)

    async def _put(
        self,
        key: str,
        content: bytes,
        headers: Mapping[str, str],
        query: Mapping[str, str] = {},
        *,
        long: bool = False,
    ) -> str:
        async with self._in_container():
            answered, _ = await self._account.send(
                "PUT", key, content, headers=headers, query=query, long=long or bool(query)
            )
        return answered.get("Etag", "").strip('"')

    async def upload(self, key: str, pieces: AsyncIterable[bytes]) -> int:
        return await multipart.upload(
            self._memory, pieces, partial(self.put, key), partial(LargeObject, self, key)
        )

    async def join(self, sources: Sequence[Source], destination: str) -> None:
        """Copy the bytes inside the service. Segments are never shared between two objects, so
        that removing one of them takes nothing from the other."""
        groups = plan([source for source in sources if source.size], MINIMUM_PART, _COPY)
        if len(groups) == 1:
            if len(groups[0]) == 1:
                await self.copy(groups[0][0], destination)
            else:
                await self.put(destination, await fetch(self, groups[0]))
            return
        async with LargeObject(self, destination) as large:
            for group in groups:
                await large.take(group)
            await large.complete(sum(source.size for source in sources))

    async def delete(self, keys: Sequence[str]) -> None:
        if len(keys) == 1:
            await self._delete(keys[0])
        elif keys:
            segments = commonpath([f"{self.segments}{key}" for key in keys])
            wanted = set(keys)
            async with aclosing(self.list(segments)) as found:
                names = [
                    stored.key
                    async for stored in found
                    if (made := self.made(stored.key)) and made.key in wanted
                ]
            await self.remove([*keys, *names])

    async def _delete(self, key: str) -> None:
        try:
            headers = await self._head(key)
        except PathNotFound:
            return
        if _has_segments(headers):
            await self._remove_many("DELETE", key, b"", {"multipart-manifest": "delete"})
            return
        await self.remove([key])
        if manifest := headers.get("X-Object-Manifest"):  # as distribution makes large objects
            container, _, prefix = unquote(manifest).partition("/")
            if container == self._account.container and prefix:
                async with aclosing(self.list(prefix)) as found:
                    await self.remove([stored.key async for stored in found])

    async def remove(self, keys: Sequence[str]) -> None:
        """Remove these objects and not what manifests among them name. Missing ones are no error."""
        if len(keys) > 1 and self._removes_many:
            for start in range(0, len(keys), _PAGE):
                some = keys[start : start + _PAGE]
                paths = "\n".join(self._account.path(key) for key in some)
                await self._remove_many("POST", None, paths.encode(), {"bulk-delete": "true"})
            return
        waiting = list(keys)

        async def work() -> None:
            while waiting:
                with suppress(PathNotFound):
                    await self._account.send("DELETE", waiting.pop())

        workers = [asyncio.create_task(work()) for _ in range(min(_REMOVED_AT_ONCE, len(keys)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()

    async def _remove_many(
        self, method: str, key: str | None, content: bytes, query: Mapping[str, str]
    ) -> None:
        """The service answers 200 before it begins, and tells in the body how it went."""
        headers = {"Accept": "application/json", "Content-Type": "text/plain"}
        _, answer = await self._account.send(
            method, key, content, headers=headers, query=query, long=True
        )
        told = json.loads(answer)
        for name, why in told.get("Errors", ()):
            if not str(why).startswith("404"):
                raise StorageUnavailable(NAME, str(name), f"not removed: {why}")
        status = str(told.get("Response Status", ""))
        if not status.startswith(("200", "404")) and not told.get("Errors"):
            reason = f"not removed: {status} {told.get('Response Body', '')}".strip()
            raise StorageUnavailable(NAME, key or self._account.container, reason)

    async def list(self, prefix: str) -> AsyncGenerator[StoredObject, None]:
        async with aclosing(self._pages(prefix)) as entries:
            async for found in entries:
                # Times are UTC, and do not say so.
                modified = datetime.fromisoformat(found["last_modified"]).replace(tzinfo=UTC)
                yield StoredObject(found["name"], Stat(found["bytes"], modified.timestamp()))

    async def prefixes(self, prefix: str) -> AsyncGenerator[str, None]:
        async with aclosing(self._pages(prefix, delimiter="/")) as entries:
            async for found in entries:
                if "subdir" in found:
                    yield found["subdir"]

    async def _pages(self, prefix: str, **more: str) -> AsyncGenerator[dict[str, Any], None]:
        query = {"format": "json", "prefix": prefix, "limit": str(_PAGE), "marker": "", **more}
        while True:
            _, answer = await self._account.send("GET", "", query=query)
            page = json.loads(answer or b"[]")
            for found in page:
                yield found
            if len(page) < _PAGE:
                return
            query["marker"] = page[-1].get("name") or page[-1]["subdir"]

    async def presigned_url(self, key: str, method: str, lifetime: float) -> str | None:
        """A TempURL at the address that clients have in the catalog."""
        if self._signer is None or method not in self._signer.methods:
            return None
        public = (await self._account.access()).public
        return self._signer.url(public, self._account.container, key, method, lifetime)

    async def remove_abandoned(self, prefix: str, before: float) -> int:
        """Segments whose object was never made, or is made of others by now."""
        return await remove_unused(self, prefix, before)

    def made(self, name: str) -> Made | None:
        """What the key of a segment tells."""
        return Made.parse(name.removeprefix(self.segments))

    async def manifest(self, key: str) -> bytes | None:
        """What an object is made of, by the newest copy there is; None if it has no segments."""
        query = {"multipart-manifest": "get", "format": "raw"}
        try:
            headers, _ = await self._account.send("HEAD", key, headers={"X-Newest": "true"})
            if not _has_segments(headers):
                return None
            _, manifest = await self._account.send(
                "GET", key, headers={"X-Newest": "true"}, query=query
            )
        except PathNotFound:
            return None
        return manifest

    async def _head(self, key: str | None) -> Mapping[str, str]:
        headers, _ = await self._account.send("HEAD", key)
        return headers

    @asynccontextmanager
    async def _in_container(self) -> AsyncGenerator[None, None]:
        """Whatever is missing may be so because the whole container is: Swift answers the same."""
        try:
            yield
        except PathNotFound:
            try:
                await self._head("")
            except Refused as error:
                reason = f"container {self._account.container!r} is gone: {error.reason}"
                raise StorageUnavailable(NAME, self._account.container, reason) from error
            raise


def _has_segments(headers: Mapping[str, str]) -> bool:
    return headers.get("X-Static-Large-Object", "").lower() == "true"


def _modified(headers: Mapping[str, str]) -> float:
    if "X-Timestamp" in headers:
        return float(headers["X-Timestamp"])
    return parsedate_to_datetime(headers["Last-Modified"]).timestamp()


def from_settings(settings: "SwiftSettings") -> StorageDriver:
    """The driver that the configuration describes."""
    return ObjectDriver(SwiftStore(settings), settings.prefix)
