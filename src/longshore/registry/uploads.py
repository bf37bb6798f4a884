"""Uploads: bytes on their way in. OCI Distribution 1.1, "Pushing blobs".

A session is a row; what it has received is staged in storage. No process holds anything that
another could not take up: the next chunk may go to any worker of any node, also after a restart.

Invariants kept here:

- a blob is published only after the digest of exactly its bytes was verified;
- of several attempts to continue one upload only the newest counts (``claim_upload``), and each
  writes to a place of its own, so a stale connection can neither corrupt nor overtake it;
- what had arrived when a client vanished is kept, and ``GET`` tells the offset.
"""

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from longshore.db.database import Connection, Database
from longshore.http.request import Request
from longshore.oci.digest import ALGORITHMS, CANONICAL, Digest
from longshore.oci.errors import (
    BlobUploadUnknown,
    Denied,
    DigestInvalid,
    RangeInvalid,
    RegistryError,
    SizeInvalid,
)
from longshore.oci.names import RepositoryName
from longshore.registry import store
from longshore.registry.hashing import HashMemory, RunningHash
from longshore.registry.model import Blob, Standing, Upload
from longshore.registry.placing import holds, home, keep_copy
from longshore.registry.policy import NO_GATES, StorageGates
from longshore.registry.reservation import Look, reserve
from longshore.storage import layout
from longshore.storage.backends import Backends
from longshore.storage.driver import PathNotFound, Staged, StorageDriver, StorageError
from longshore.telemetry import clock

logger = logging.getLogger(__name__)

#: A body of at most this many bytes is verified and stored in one step, without staging.
SMALL: Final = 1 << 20
_MAX_ID: Final = 64
#: How often a body that is still coming says so, in seconds: collection spares its repository.
_SIGN_OF_LIFE: Final = 20.0


@dataclass(slots=True)
class Body:
    """What a request brings for an upload: its bytes, and whether all of them came.

    A fault while reading (time-out, broken announcement) ends the bytes; what came before is kept
    first, then ``fault`` is raised.
    """

    request: Request
    fault: RegistryError | None = None

    async def batches(self) -> AsyncIterator[bytes]:
        try:
            async for batch in self.request.batches():
                yield batch
        except RegistryError as error:
            self.fault = error

    @property
    def announced(self) -> int | None:
        return self.request.content_length

    @property
    def is_empty(self) -> bool:
        """Whether the request says that it has no body at all."""
        return (self.announced or 0) == 0 and "transfer-encoding" not in self.request.headers

    def check(self) -> None:
        """Raise what ended the body early."""
        if self.fault:
            raise self.fault
        if not self.request.complete:
            raise SizeInvalid(
                f"the request body ended after {self.request.exchange.received} bytes of the "
                f"{self.announced or 'unknown number'} announced; ask for the upload's offset "
                "and continue there"
            )


class Uploads:
    """The use cases of upload sessions, for one process."""

    def __init__(
        self, database: Database, backends: Backends, gates: StorageGates = NO_GATES
    ) -> None:
        self._gates = gates
        self._database = database
        self._backends = backends
        self._hashes = HashMemory()

    async def start(
        self, repository: RepositoryName, owner: str, algorithm: str = CANONICAL
    ) -> Upload:
        """Begin a session. Raises DigestInvalid for an unknown ``algorithm``, Denied when the repository
        may hold no more."""
        if algorithm not in ALGORITHMS:
            raise DigestInvalid(
                f"digest-algorithm {algorithm[:40]!r} is not supported; "
                f"use {' or '.join(ALGORITHMS)}"
            )
        upload_id = secrets.token_hex(16)
        upload = Upload(
            upload_id,
            repository,
            owner,
            algorithm,
            Staged(upload_id),
            started_at=clock.timestamp(),
            backend=self._backends.place(repository),
        )

        # Losing a session that has received nothing costs the client one more POST: not worth an
        # fsync on every push.
        def create(connection: Connection) -> None:
            self._gates.begin(connection, repository)
            store.create_upload(connection, upload)

        await self._database.write(create, durable=False)
        return upload

    async def find(self, repository: RepositoryName, upload_id: str) -> Upload:
        """The session as it stands. Raises BlobUploadUnknown."""
        upload, _ = await self.find_to_finish(repository, upload_id, "")
        return upload

    async def find_to_finish(
        self, repository: RepositoryName, upload_id: str, digest: str
    ) -> tuple[Upload, Look]:
        """The session, and in the same question how ``digest`` stands. Raises BlobUploadUnknown."""
        upload, look = None, Look(Standing.SAFE)
        if len(upload_id) <= _MAX_ID:

            def find(connection: Connection) -> tuple[Upload | None, Standing]:
                standing = store.blob_standing(connection, digest) if digest else Standing.SAFE
                return store.find_upload(connection, upload_id), standing

            upload, standing = await self._database.read(find)
            look = Look(standing)
        if upload is None or upload.repository != repository:
            raise BlobUploadUnknown(
                f"upload {upload_id[:64]!r} of repository {repository!r} is not known: it was "
                "finished, cancelled or expired; start again with a POST"
            )
        return upload, look

    async def append(self, upload: Upload, body: Body, start: int | None = None) -> Upload:
        """Add the body to the session; ``start`` is where the client says that it belongs.

        Raises RangeInvalid when that is not the session's offset, or when another request
        continued the session meanwhile; Denied when the repository may not hold so much: the session is
        then over, so that it keeps no room.
        """
        check_offset(upload, start)
        try:
            return await self._append(upload, body)
        except Denied:
            await self.cancel(upload)
            raise

    async def _append(self, upload: Upload, body: Body) -> Upload:
        attempt = secrets.token_hex(8)
        allowed = await self._claim(upload, attempt, body.announced or 0)
        running = await self._resume_hash(upload, upload.algorithm)
        arriving = self._alive(upload, attempt, body)
        if allowed is not None:
            arriving = self._within(allowed, upload, arriving, body)
        staged = await self._stage(upload, running.over(arriving))
        received = replace(upload, staged=staged, digest=running.digest if staged.size else None)
        now = clock.timestamp()

        def record(connection: Connection) -> bool:
            with self._gates.watching(connection, upload.repository):
                return store.record_upload(connection, received, attempt, now)

        if not await self._database.write(record, durable=False):
            raise _overtaken(upload)
        self._hashes.keep(upload.id, running)
        body.check()
        return received

    async def _claim(self, upload: Upload, attempt: str, announced: int) -> int | None:
        """Become the attempt that counts; how many bytes it may have in all."""
        now = clock.timestamp()

        def claim(connection: Connection) -> tuple[bool, int | None]:
            if not store.claim_upload(connection, upload.id, upload.size, attempt, now):
                return False, None
            return True, self._gates.expect(connection, upload, upload.size + announced)

        claimed, allowed = await self._database.write(claim, durable=False)
        if not claimed:
            raise _overtaken(upload)
        return allowed

    async def _within(
        self, allowed: int, upload: Upload, pieces: AsyncIterator[bytes], body: Body
    ) -> AsyncIterator[bytes]:
        """What arrives, as long as there is room: nobody knew before how much it would be."""
        total: int = upload.size
        limit: int | None = allowed
        async for piece in pieces:
            total += len(piece)
            if limit is not None and total > limit:
                expect = partial(self._gates.expect, upload=upload, total=total)
                try:
                    limit = await self._database.write(expect, durable=False)
                except Denied as refusal:
                    body.fault = refusal
                    return
            yield piece

    async def finish(
        self,
        upload: Upload,
        digest: Digest,
        body: Body,
        start: int | None = None,
        look: Look | None = None,
    ) -> Blob:
        """Add the last bytes, verify the digest of all, publish, and link to the repository.

        Raises DigestInvalid when the bytes are others, Denied when the repository may not hold them; the
        session is then over.
        """
        check_offset(upload, start)
        announced = body.announced
        if upload.size == 0 and announced is not None and announced <= SMALL:
            return await self._finish_small(upload, digest, body, look)
        if not body.is_empty:
            upload = await self.append(upload, body, start)
        actual = upload.digest
        if actual is None or actual.algorithm != digest.algorithm:
            actual = (
                await self._resume_hash(replace(upload, digest=None), digest.algorithm)
            ).digest
        if not actual.matches(digest):
            await self.cancel(upload)
            raise _mismatch(digest, actual, upload.size)
        standing = await reserve(self._database, digest, look)
        place = await home(self._database, self._backends, digest, upload.backend)
        if place != upload.backend:
            blob = Blob(digest, upload.size, backend=place)
            return await self._finish_elsewhere(upload, blob, standing)
        return await self._publish(upload, digest, standing)

    async def _publish(
        self, upload: Upload, digest: Digest, standing: Standing, *, lost: str | None = None
    ) -> Blob:
        """Make the staged bytes the blob's; ``lost`` is a backend that should have had them."""
        await keep_copy(self._database, self._backends, digest, upload.backend)
        try:
            await self._driver(upload).publish(upload.staged, layout.blob(digest))
        except PathNotFound as error:
            raise await self._lost(upload) from error
        if standing is Standing.QUARANTINED and not await self._is_sound(upload, digest):
            raise await self._lost(upload)
        return await self._link(
            upload, Blob(digest, upload.size, backend=upload.backend), lost=lost
        )

    async def _finish_elsewhere(self, upload: Upload, blob: Blob, standing: Standing) -> Blob:
        """The bytes are in another backend already: those that came are not needed."""
        await keep_copy(self._database, self._backends, blob.digest, blob.backend)
        bad = standing is Standing.QUARANTINED
        if bad or not await holds(self._backends, blob.backend, blob.digest, blob.size):
            return await self._publish(upload, blob.digest, standing, lost=blob.backend)
        linked = await self._link(upload, blob)
        await self._driver(upload).discard(upload.id)
        return linked

    async def push(
        self, repository: RepositoryName, owner: str, digest: Digest, body: Body
    ) -> Blob:
        """Take a whole blob from one request. Raises as :meth:`finish`; no session is left then,
        because the client never learnt of one that it could continue."""
        upload = await self.start(repository, owner, digest.algorithm)
        try:
            return await self.finish(upload, digest, body)
        except Exception:
            with suppress(RegistryError, StorageError):
                await self.cancel(upload)
            raise

    async def _is_sound(self, upload: Upload, digest: Digest) -> bool:
        """Publishing may take an object of the right size for one that it published before; but here
        a bad one lay, so only its bytes count."""
        running = RunningHash(digest.algorithm)
        await running.take(self._driver(upload).stream(layout.blob(digest)))
        return running.digest.matches(digest)

    async def _finish_small(
        self, upload: Upload, digest: Digest, body: Body, look: Look | None
    ) -> Blob:
        content = b"".join([batch async for batch in body.batches()])
        body.check()
        running = RunningHash(digest.algorithm)
        await running.update(content)
        if not running.digest.matches(digest):
            await self.cancel(upload)
            raise _mismatch(digest, running.digest, len(content))
        await reserve(self._database, digest, look)
        place = await home(self._database, self._backends, digest, upload.backend)
        await keep_copy(self._database, self._backends, digest, place)
        await self._backends[place].driver.write(layout.blob(digest), content)
        return await self._link(upload, Blob(digest, len(content), backend=place))

    async def _link(self, upload: Upload, blob: Blob, *, lost: str | None = None) -> Blob:
        now = clock.timestamp()
        several = self._backends.are_several

        def link(connection: Connection) -> None:
            if lost is not None:
                store.replace_location(connection, blob.digest, lost, blob.backend)
            with self._gates.watching(connection, upload.repository):
                store.link_blob(connection, upload.repository, blob, now)
                if several:
                    store.settle_copy(connection, blob.digest, blob.size, blob.backend)
                store.delete_upload(connection, upload.id)

        try:
            await self._database.write(link)
        except Denied:
            await self.cancel(upload)
            raise
        self._hashes.forget(upload.id)
        return blob

    async def cancel(self, upload: Upload) -> None:
        """End the session and free its bytes."""
        await self._database.write(partial(store.delete_upload, upload_id=upload.id), durable=False)
        await self._driver(upload).discard(upload.id)
        self._hashes.forget(upload.id)

    def _driver(self, upload: Upload) -> StorageDriver:
        return self._backends[upload.backend].driver

    async def _stage(self, upload: Upload, pieces: AsyncIterator[bytes]) -> Staged:
        try:
            return await self._driver(upload).append(upload.staged, pieces)
        except PathNotFound as error:
            raise await self._lost(upload) from error

    async def _alive(self, upload: Upload, attempt: str, body: Body) -> AsyncIterator[bytes]:
        """The body; one request may take longer than collection waits for the next."""
        last = clock.timestamp()
        async for batch in body.batches():
            now = clock.timestamp()
            if now - last >= _SIGN_OF_LIFE:
                last = now
                touch = partial(store.touch_upload, upload_id=upload.id, attempt=attempt, now=now)
                with suppress(RegistryError):  # the end of the request meets it again, if it lasts
                    await self._database.write(touch, durable=False)
            yield batch

    async def _resume_hash(self, upload: Upload, algorithm: str) -> RunningHash:
        """The hash of what has arrived: remembered, or computed from storage again."""
        if upload.size == 0:
            return RunningHash(algorithm)
        if upload.digest is not None:
            remembered = self._hashes.find(upload.id, upload.digest)
            if remembered:
                return remembered
        running = RunningHash(algorithm)
        try:
            await running.take(self._driver(upload).staged_stream(upload.staged))
        except PathNotFound as error:
            raise await self._lost(upload) from error
        return running

    async def _lost(self, upload: Upload) -> RegistryError:
        # A power failure can take bytes that were never promised to be durable; the session cannot
        # go on, and the client must not believe that it can.
        await self.cancel(upload)
        return BlobUploadUnknown(
            f"what upload {upload.id} had received is gone from storage: start again with a POST"
        )


def check_offset(upload: Upload, start: int | None) -> None:
    """Raise RangeInvalid, telling where to continue, unless ``start`` is the session's offset."""
    if start is not None and start != upload.size:
        raise RangeInvalid(
            f"the chunk begins at byte {start}, but the upload stands at byte {upload.size}: "
            "continue there",
            headers=progress_headers(upload),
        )


def upload_path(upload: Upload) -> str:
    """The session's own path, which every reply repeats as its Location."""
    return f"/v2/{upload.repository}/blobs/uploads/{upload.id}"


def progress_headers(upload: Upload) -> dict[str, str]:
    """``Range`` names the last byte that arrived; for an empty session ``0-0``, as everybody does."""
    return {
        "Location": upload_path(upload),
        "Range": f"0-{max(upload.size - 1, 0)}",
        "Docker-Upload-UUID": upload.id,
    }


def _overtaken(upload: Upload) -> RangeInvalid:
    return RangeInvalid(
        f"another request continued upload {upload.id} meanwhile: ask for its offset and continue "
        "there",
        headers={"Location": upload_path(upload)},
    )


def _mismatch(expected: Digest, actual: Digest, size: int) -> DigestInvalid:
    return DigestInvalid(
        f"the {size} bytes received have digest {actual}, not {expected}: nothing was stored, "
        "push the blob again",
        detail={"expected": expected, "actual": actual, "size": size},
    )
