"""``/v2/<name>/manifests/<reference>`` and referrers: OCI Distribution 1.1 end-3, end-7, end-9,
end-12."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from longshore.access.model import Access, AccessController, Action, Grant
from longshore.db.database import Database
from longshore.http.locations import Locations
from longshore.http.paging import Page
from longshore.http.ranges import matches_etag
from longshore.http.request import Request
from longshore.http.response import JSONResponse, Response
from longshore.oci import mediatypes
from longshore.oci.digest import Digest
from longshore.oci.errors import TagInvalid
from longshore.oci.names import RepositoryName, Tag, parse_reference
from longshore.outbox.deferred import DeferredOutbox
from longshore.registry import store
from longshore.registry.events import ManifestPulled
from longshore.registry.manifests import Manifests, Preconditions, digest_for
from longshore.registry.model import StoredManifest
from longshore.registry.origin import origin_of
from longshore.registry.policy import NO_GATES, Push, StorageGates
from longshore.registry.routes_blobs import refuse_unless_enabled
from longshore.telemetry import clock

#: Referrers in one reply; more follow under Link. Keeps a reply well below 4 MiB.
REFERRERS_PAGE: Final = 1000
#: Tags that one push may set (Distribution: at least 10).
MAX_TAGS: Final = 100

#: Told of every manifest that is sent: repository, digest, and the tag that it was asked for by.
Pulled = Callable[[RepositoryName, Digest, Tag | None], None]


def uncounted(repository: RepositoryName, digest: Digest, tag: Tag | None) -> None:
    """Nobody counts pulls."""


@dataclass(frozen=True, slots=True)
class ManifestRoutes:
    access: AccessController
    manifests: Manifests
    database: Database
    locations: Locations
    deferred: DeferredOutbox
    deletes: bool = True
    gates: StorageGates = NO_GATES
    pulled: Pulled = uncounted

    async def get(self, request: Request, name: str, reference: str) -> Response:
        """GET and HEAD: the stored bytes with the stored type, whatever ``Accept`` says."""
        repository, wanted = RepositoryName(name), parse_reference(reference)
        grant = await self._authorize(request, repository, wanted, Action.PULL)
        manifest = await self.manifests.get(repository, wanted, request.as_of)
        if matches_etag(request.headers.get("if-none-match"), manifest.digest):
            return Response(304, _headers(manifest))
        if request.method == "HEAD":
            return Response(200, _headers(manifest), length=manifest.size)
        content = await self.manifests.content(repository, manifest)
        self.pulled(repository, manifest.digest, wanted if isinstance(wanted, Tag) else None)
        if self.deferred.may_want(ManifestPulled):
            self.deferred.tell(
                ManifestPulled(
                    at=clock.timestamp(),
                    origin=origin_of(request, grant),
                    repository=repository,
                    digest=manifest.digest,
                    media_type=manifest.media_type,
                    size=manifest.size,
                    tag=wanted if isinstance(wanted, Tag) else None,
                )
            )
        return Response(200, _headers(manifest), content)

    async def put(self, request: Request, name: str, reference: str) -> Response:
        """PUT: under a tag, or under a digest with any number of ``?tag=``."""
        repository, target = RepositoryName(name), parse_reference(reference)
        grant = await self._authorize(request, repository, target, Action.PULL, Action.PUSH)
        extra = _tag_parameters(request)
        raw = await request.read(self.manifests.validation.max_size)
        manifest = self.manifests.parse(raw, request.headers.get("content-type", ""))
        digest = digest_for(manifest.raw, target)
        tags = [*([target] if isinstance(target, Tag) else []), *extra]
        push = Push(repository, manifest, digest, tags, origin_of(request, grant))
        preconditions = Preconditions(
            request.headers.get("if-match"), request.headers.get("if-none-match")
        )
        async with self.gates.explaining(lambda: push.origin, lambda: reference):
            warnings = await self.manifests.put(push, preconditions)
        headers = {
            "Location": self.locations.of(request, f"/v2/{repository}/manifests/{digest}"),
            "Docker-Content-Digest": digest,
        }
        if manifest.subject:
            headers["OCI-Subject"] = manifest.subject.digest
        if extra:
            headers["OCI-Tag"] = ", ".join(extra)
        if warnings:
            # OCI Distribution 1.1, "Warnings": clients show them.
            headers["Warning"] = ", ".join(f'299 - "{text}"' for text in warnings)
        return Response(201, headers)

    async def delete(self, request: Request, name: str, reference: str) -> Response:
        """DELETE: a tag is only untagged; a digest takes the manifest and all its tags."""
        repository, unwanted = RepositoryName(name), parse_reference(reference)
        grant = await self._authorize(request, repository, unwanted, Action.DELETE)
        refuse_unless_enabled(self.deletes)
        await self.manifests.delete(repository, unwanted, origin_of(request, grant))
        return Response(202)

    async def referrers(self, request: Request, name: str, digest: str) -> Response:
        """GET: an index of the manifests whose subject is ``digest``; empty when there are none."""
        repository, subject = RepositoryName(name), Digest(digest)
        await self._authorize(request, repository, subject, Action.PULL)
        query = request.query_params
        page = Page.parse(query, default=REFERRERS_PAGE, largest=REFERRERS_PAGE)
        size = page.size or REFERRERS_PAGE
        artifact_type = query.get("artifactType") or None
        await self.manifests.complete(repository)
        found = await self.database.read(
            partial(
                store.list_referrers,
                name=repository,
                subject=subject,
                artifact_type=artifact_type,
                last=page.last,
                limit=size + 1,
            )
        )
        headers = {"OCI-Filters-Applied": "artifactType"} if artifact_type else {}
        if len(found) > size:
            found = found[:size]
            path = self.locations.of(request, f"/v2/{repository}/referrers/{subject}")
            kept = {"artifactType": artifact_type} if artifact_type else None
            headers["Link"] = page.next_link(path, found[-1].digest, kept)
        index = {
            "schemaVersion": 2,
            "mediaType": mediatypes.OCI_INDEX,
            "manifests": [referrer.to_json() for referrer in found],
        }
        return JSONResponse(index, headers=headers, media_type=mediatypes.OCI_INDEX)

    async def _authorize(
        self,
        request: Request,
        repository: RepositoryName,
        reference: Tag | Digest,
        *actions: Action,
    ) -> Grant:
        request.exchange.repository, request.exchange.reference = repository, reference
        return await self.access.authorize(request, (Access.repository(repository, *actions),))


def _headers(manifest: StoredManifest) -> dict[str, str]:
    return {
        "Content-Type": manifest.media_type,
        "Docker-Content-Digest": manifest.digest,
        "ETag": f'"{manifest.digest}"',
    }


def _tag_parameters(request: Request) -> list[Tag]:
    values = request.query_params.getlist("tag")
    if len(values) > MAX_TAGS:
        raise TagInvalid(f"{len(values)} tags in one push; at most {MAX_TAGS} are accepted")
    return [Tag(value) for value in dict.fromkeys(values)]
