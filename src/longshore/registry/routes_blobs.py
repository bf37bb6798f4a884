"""``/v2/<name>/blobs/<digest>``: OCI Distribution 1.1 end-2, end-10."""

from dataclasses import dataclass
from typing import Final

from longshore.access.model import Access, AccessController, Action
from longshore.http.ranges import ByteRange, matches_etag, parse_range
from longshore.http.request import Request
from longshore.http.response import FileResponse, Response, StreamResponse
from longshore.oci.digest import Digest
from longshore.oci.errors import Unsupported
from longshore.oci.mediatypes import OCTET_STREAM
from longshore.oci.names import RepositoryName
from longshore.outbox.deferred import DeferredOutbox
from longshore.registry.blobs import Blobs
from longshore.registry.events import BlobPulled
from longshore.registry.model import Blob
from longshore.registry.origin import origin_of
from longshore.registry.redirects import RedirectRules
from longshore.storage import layout
from longshore.storage.backends import Backends
from longshore.storage.driver import LocalFiles
from longshore.telemetry import clock

#: Content under a digest never changes: a client or a proxy may keep it for a year.
IMMUTABLE: Final = "max-age=31536000"


@dataclass(frozen=True, slots=True)
class BlobRoutes:
    access: AccessController
    blobs: Blobs
    backends: Backends
    deferred: DeferredOutbox
    deletes: bool = True
    redirect: RedirectRules | None = None

    async def get(self, request: Request, name: str, digest: str) -> Response:
        """GET and HEAD: the whole blob, one range of it, or where to fetch it."""
        repository, wanted = RepositoryName(name), Digest(digest)
        request.exchange.repository, request.exchange.reference = repository, wanted
        wants = (Access.repository(repository, Action.PULL),)
        grant = await self.access.authorize(request, wants)
        blob = await self.blobs.get(repository, wanted, request.as_of)
        headers = {
            "Content-Type": OCTET_STREAM,
            "Docker-Content-Digest": blob.digest,
            "ETag": f'"{blob.digest}"',
            "Accept-Ranges": "bytes",
            "Cache-Control": IMMUTABLE,
        }
        if matches_etag(request.headers.get("if-none-match"), blob.digest):
            return Response(304, headers)
        redirect = await self._redirect(request, blob, headers)
        response = redirect or await self._send(request, blob, headers)
        sent = request.method == "GET" and response.status in (200, 307)
        if sent and self.deferred.may_want(BlobPulled):
            self.deferred.tell(
                BlobPulled(
                    at=clock.timestamp(),
                    origin=origin_of(request, grant),
                    repository=repository,
                    digest=wanted,
                    size=blob.size,
                )
            )
        return response

    async def _redirect(
        self, request: Request, blob: Blob, headers: dict[str, str]
    ) -> Response | None:
        rules, redirection = self.redirect, self.backends[blob.backend].redirection
        client = request.exchange.client
        if rules is None or redirection is None or not rules.redirects(client):
            return None
        path = layout.blob(blob.digest)
        url = await redirection.url(path, request.method, rules.lifetime, client)
        if url is None:
            return None
        # containerd fails without the digest on the redirect itself.
        return Response(
            307, {"Location": url, "Docker-Content-Digest": headers["Docker-Content-Digest"]}
        )

    async def _send(self, request: Request, blob: Blob, headers: dict[str, str]) -> Response:
        asked = request.headers.get("range")
        if not matches_etag(request.headers.get("if-range", "*"), blob.digest):
            asked = None
        part = parse_range(asked, blob.size)
        status = 200
        if part:
            status, headers["Content-Range"] = 206, part.content_range
        else:
            part = ByteRange(0, blob.size, blob.size)
        path, driver = layout.blob(blob.digest), self.backends[blob.backend].driver
        if isinstance(driver, LocalFiles):
            file = driver.local_path(path)
            return FileResponse(status, headers, file, part.start, part.length, blob.size)
        pieces = driver.stream(path, part.start, part.length)
        stream = StreamResponse(status, headers, pieces, part.length)
        if request.method != "HEAD":
            await stream.begin()
        return stream

    async def delete(self, request: Request, name: str, digest: str) -> Response:
        """DELETE: take the blob away from the repository."""
        repository, unwanted = RepositoryName(name), Digest(digest)
        request.exchange.repository, request.exchange.reference = repository, unwanted
        await self.access.authorize(request, (Access.repository(repository, Action.DELETE),))
        refuse_unless_enabled(self.deletes)
        await self.blobs.delete(repository, unwanted)
        return Response(202, {"Docker-Content-Digest": unwanted})


def refuse_unless_enabled(deletes: bool) -> None:
    """Raise Unsupported (405) where ``storage.delete.enabled`` is not set."""
    if not deletes:
        raise Unsupported(
            "deleting is switched off; set storage.delete.enabled: true in the configuration "
            "(REGISTRY_STORAGE_DELETE_ENABLED=true) to allow it"
        )
