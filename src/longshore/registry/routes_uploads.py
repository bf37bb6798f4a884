"""``/v2/<name>/blobs/uploads/``: OCI Distribution 1.1 end-4 to end-6, end-11, end-13, end-14."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from longshore.access.model import Access, AccessController, Action, Grant
from longshore.http.locations import Locations
from longshore.http.ranges import parse_upload_range
from longshore.http.request import Request
from longshore.http.response import Response
from longshore.oci import mediatypes
from longshore.oci.digest import CANONICAL, Digest
from longshore.oci.errors import (
    BlobUploadUnknown,
    DigestInvalid,
    RangeInvalid,
    RegistryError,
    SizeInvalid,
    Unsupported,
)
from longshore.oci.names import RepositoryName
from longshore.outbox.deferred import DeferredOutbox
from longshore.registry.blobs import Blobs
from longshore.registry.events import BlobMounted, BlobPushed
from longshore.registry.model import Blob, Upload
from longshore.registry.origin import origin_of
from longshore.registry.policy import NO_GATES, StorageGates
from longshore.registry.reservation import Look
from longshore.registry.uploads import Body, Uploads, progress_headers, upload_path
from longshore.telemetry import clock


@dataclass(frozen=True, slots=True)
class UploadRoutes:
    access: AccessController
    blobs: Blobs
    uploads: Uploads
    locations: Locations
    deferred: DeferredOutbox
    minimum_chunk: int = 0
    gates: StorageGates = NO_GATES

    async def start(self, request: Request, name: str) -> Response:
        """POST: begin a session, or mount, or push the whole blob in this one request."""
        repository = RepositoryName(name)
        grant = await self._authorize(request, repository)
        async with self._explaining(request, grant):
            return await self._start(request, repository, grant)

    async def _start(self, request: Request, repository: RepositoryName, grant: Grant) -> Response:
        query = request.query_params
        if "mount" in query:
            mounted = await self._mount(request, repository, query["mount"], query.get("from"))
            if mounted:
                self._tell(BlobMounted, request, grant, repository, mounted, query.get("from"))
                return self._created(request, repository, mounted)
        algorithm = query.get("digest-algorithm", CANONICAL)
        if "digest" not in query:
            upload = await self.uploads.start(repository, grant.principal.name, algorithm)
            return self._accepted(request, upload)
        digest = Digest(query["digest"])
        request.exchange.reference = digest
        body = Body(request)
        if body.is_empty and request.headers.get("content-length") is None:
            # Neither a body nor a Content-Length of 0: the client only names what it will push.
            upload = await self.uploads.start(repository, grant.principal.name, digest.algorithm)
            return self._accepted(request, upload)
        blob = await self.uploads.push(repository, grant.principal.name, digest, body)
        self._tell(BlobPushed, request, grant, repository, blob)
        return self._created(request, repository, blob)

    async def status(self, request: Request, name: str, upload_id: str) -> Response:
        """GET: how far the session has come."""
        upload, *_ = await self._continue(request, name, upload_id)
        headers = progress_headers(upload)
        headers["Location"] = self.locations.of(request, upload_path(upload))
        return Response(204, headers)

    async def append(self, request: Request, name: str, upload_id: str) -> Response:
        """PATCH: one chunk, or everything in one stream."""
        upload, _, grant = await self._continue(request, name, upload_id)
        _check_body_type(request)
        start = _chunk_start(request)
        with self._located(request):
            async with self._explaining(request, grant):
                upload = await self.uploads.append(upload, Body(request), start)
        return self._accepted(request, upload)

    async def finish(self, request: Request, name: str, upload_id: str) -> Response:
        """PUT: the last chunk, if any, and the digest of the whole."""
        text = request.query_params.get("digest")
        upload, look, grant = await self._continue(request, name, upload_id, text or "")
        if text is None:
            raise DigestInvalid(
                "the digest is missing: finish an upload with PUT <location>?digest=sha256:..."
            )
        digest = Digest(text)
        request.exchange.reference = digest
        start = _chunk_start(request)
        with self._located(request):
            async with self._explaining(request, grant):
                blob = await self.uploads.finish(upload, digest, Body(request), start, look)
        self._tell(BlobPushed, request, grant, upload.repository, blob)
        return self._created(request, upload.repository, blob)

    async def cancel(self, request: Request, name: str, upload_id: str) -> Response:
        """DELETE: end the session and free its bytes."""
        upload, *_ = await self._continue(request, name, upload_id)
        await self.uploads.cancel(upload)
        return Response(204, {"Docker-Upload-UUID": upload.id})

    async def _mount(
        self, request: Request, repository: RepositoryName, digest: str, source: str | None
    ) -> Blob | None:
        # A mount that cannot be is no error: the client goes on to upload.
        try:
            wanted = Digest(digest)
            origin = RepositoryName(source) if source else None
        except RegistryError:
            return None
        request.exchange.reference = wanted

        async def may_pull(candidate: RepositoryName) -> bool:
            return await self.access.may_pull(request, candidate)

        return await self.blobs.mount(repository, wanted, origin, may_pull)

    async def _continue(
        self, request: Request, name: str, upload_id: str, digest: str = ""
    ) -> tuple[Upload, Look, Grant]:
        """The session that a request continues, how ``digest`` stands, and who asks. Whoever began it
        may go on after their token has expired: the time that a push takes is no reason to refuse
        it."""
        repository = RepositoryName(name)
        try:
            upload, look = await self.uploads.find_to_finish(repository, upload_id, digest)
        except BlobUploadUnknown:
            await self._authorize(request, repository)
            raise
        return upload, look, await self._authorize(request, repository, upload.owner)

    async def _authorize(
        self, request: Request, repository: RepositoryName, owner: str | None = None
    ) -> Grant:
        request.exchange.repository = repository
        wanted = (Access.repository(repository, Action.PULL, Action.PUSH),)
        return await self.access.authorize(request, wanted, upload_owner=owner)

    def _tell(
        self,
        event: type[BlobPushed | BlobMounted],
        request: Request,
        grant: Grant,
        repository: RepositoryName,
        blob: Blob,
        source: str | None = None,
    ) -> None:
        if self.deferred.may_want(event):
            more = {"source": source} if source else {}
            self.deferred.tell(
                event(
                    at=clock.timestamp(),
                    origin=origin_of(request, grant),
                    repository=repository,
                    digest=blob.digest,
                    size=blob.size,
                    **more,
                )
            )

    def _accepted(self, request: Request, upload: Upload) -> Response:
        headers = progress_headers(upload)
        headers["Location"] = self.locations.of(request, upload_path(upload))
        if self.minimum_chunk:
            headers["OCI-Chunk-Min-Length"] = str(self.minimum_chunk)
        return Response(202, headers)

    def _created(self, request: Request, repository: RepositoryName, blob: Blob) -> Response:
        location = self.locations.of(request, f"/v2/{repository}/blobs/{blob.digest}")
        return Response(201, {"Location": location, "Docker-Content-Digest": blob.digest})

    def _explaining(self, request: Request, grant: Grant) -> AbstractAsyncContextManager[None]:
        return self.gates.explaining(
            lambda: origin_of(request, grant), lambda: request.exchange.reference or ""
        )

    def _located(self, request: Request) -> "_Located":
        return _Located(self.locations, request)


@dataclass(frozen=True, slots=True)
class _Located:
    """Refusals that tell where to continue speak of paths; here they become locations."""

    locations: Locations
    request: Request

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, RangeInvalid) and "Location" in error.headers:
            path = error.headers["Location"]
            error.headers = {**error.headers, "Location": self.locations.of(self.request, path)}


def _check_body_type(request: Request) -> None:
    content_type = mediatypes.essence(request.headers.get("content-type", ""))
    if content_type.startswith("multipart/"):
        raise Unsupported(
            f"an upload's body is the blob itself (Content-Type {mediatypes.OCTET_STREAM}), "
            f"not {content_type[:60]!r}"
        )


def _chunk_start(request: Request) -> int | None:
    """Where the client says the chunk begins; None when it does not say."""
    header = request.headers.get("content-range")
    if header is None:
        return None
    first, last = parse_upload_range(header)
    announced = request.content_length
    if announced is not None and announced != last - first + 1:
        raise SizeInvalid(
            f"Content-Range {header[:60]!r} spans {last - first + 1} bytes, but Content-Length "
            f"announces {announced}"
        )
    return first
