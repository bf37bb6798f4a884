"""``/v2/<name>/blobs/uploads/``: OCI Distribution 1.1 end-4 to end-6, end-11, end-13, end-14."""

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
from longshore.registry.blobs import Blobs
from longshore.registry.model import Blob, Upload
from longshore.registry.uploads import Body, Uploads, progress_headers, upload_path


@dataclass(frozen=True, slots=True)
class UploadRoutes:
    access: AccessController
    blobs: Blobs
    uploads: Uploads
    locations: Locations
    minimum_chunk: int = 0

    async def start(self, request: Request, name: str) -> Response:
        """POST: begin a session, or mount, or push the whole blob in this one request."""
        repository = RepositoryName(name)
        grant = await self._authorize(request, repository)
        query = request.query_params
        if "mount" in query:
            mounted = await self._mount(request, repository, query["mount"], query.get("from"))
            if mounted:
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
        return self._created(request, repository, blob)

    async def status(self, request: Request, name: str, upload_id: str) -> Response:
        """GET: how far the session has come."""
        upload = await self._continue(request, name, upload_id)
        headers = progress_headers(upload)
        headers["Location"] = self.locations.of(request, upload_path(upload))
        return Response(204, headers)

    async def append(self, request: Request, name: str, upload_id: str) -> Response:
        """PATCH: one chunk, or everything in one stream."""
        upload = await self._continue(request, name, upload_id)
        _check_body_type(request)
        start = _chunk_start(request)
        with self._located(request):
            upload = await self.uploads.append(upload, Body(request), start)
        return self._accepted(request, upload)

    async def finish(self, request: Request, name: str, upload_id: str) -> Response:
        """PUT: the last chunk, if any, and the digest of the whole."""
        upload = await self._continue(request, name, upload_id)
        text = request.query_params.get("digest")
        if text is None:
            raise DigestInvalid(
                "the digest is missing: finish an upload with PUT <location>?digest=sha256:..."
            )
        digest = Digest(text)
        request.exchange.reference = digest
        start = _chunk_start(request)
        with self._located(request):
            blob = await self.uploads.finish(upload, digest, Body(request), start)
        return self._created(request, upload.repository, blob)

    async def cancel(self, request: Request, name: str, upload_id: str) -> Response:
        """DELETE: end the session and free its bytes."""
        upload = await self._continue(request, name, upload_id)
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

    async def _continue(self, request: Request, name: str, upload_id: str) -> Upload:
        """The session that a request continues. Whoever began it may go on after their token has
        expired: the time that a push takes is no reason to refuse it."""
        repository = RepositoryName(name)
        upload: Upload | None = None
        unknown: BlobUploadUnknown | None = None
        try:
            upload = await self.uploads.find(repository, upload_id)
        except BlobUploadUnknown as error:
            unknown = error
        await self._authorize(request, repository, upload.owner if upload else None)
        if upload is None:
            raise unknown or BlobUploadUnknown(f"upload {upload_id[:64]!r} is not known")
        return upload

    async def _authorize(
        self, request: Request, repository: RepositoryName, owner: str | None = None
    ) -> Grant:
        request.exchange.repository = repository
        wanted = (Access.repository(repository, Action.PULL, Action.PUSH),)
        return await self.access.authorize(request, wanted, upload_owner=owner)

    def _accepted(self, request: Request, upload: Upload) -> Response:
        headers = progress_headers(upload)
        headers["Location"] = self.locations.of(request, upload_path(upload))
        if self.minimum_chunk:
            headers["OCI-Chunk-Min-Length"] = str(self.minimum_chunk)
        return Response(202, headers)

    def _created(self, request: Request, repository: RepositoryName, blob: Blob) -> Response:
        location = self.locations.of(request, f"/v2/{repository}/blobs/{blob.digest}")
        return Response(201, {"Location": location, "Docker-Content-Digest": blob.digest})

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
