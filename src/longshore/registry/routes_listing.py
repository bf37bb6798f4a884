"""``/v2/``, ``_catalog``, ``tags/list`` and extension discovery: end-1, end-8."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from longshore.access.model import Access, AccessController, Action
from longshore.http.locations import Locations
from longshore.http.paging import Page
from longshore.http.request import Request
from longshore.http.response import JSONResponse, Response
from longshore.oci.errors import NameUnknown
from longshore.oci.names import RepositoryName
from longshore.registry.resolution import Resolution

#: Names in one ``_catalog`` reply when the client does not say (distribution's default).
CATALOG_PAGE: Final = 100
#: Names looked at together where only some of them may be shown.
_BATCH: Final = 1000
_EXTENSIONS: Final = {
    "extensions": [
        {
            "name": "_catalog",
            "url": "https://distribution.github.io/distribution/spec/api/#catalog",
            "description": "the repositories of this registry, paged by n and last",
            "endpoints": ["/v2/_catalog"],
        }
    ]
}


@dataclass(frozen=True, slots=True)
class ListingRoutes:
    access: AccessController
    resolution: Resolution
    locations: Locations
    catalog_limit: int = 1000
    tags_limit: int = 1000

    async def base(self, request: Request) -> Response:
        """GET /v2/: the registry speaks this API, and who you are is accepted."""
        await self.access.authorize(request, ())
        return JSONResponse({})

    async def catalog(self, request: Request) -> Response:
        """GET /v2/_catalog: repositories that hold a manifest, in ASCII order."""
        await self.access.authorize(request, (Access.catalog(),))
        page = Page.parse(request.query_params, default=CATALOG_PAGE, largest=self.catalog_limit)
        size = CATALOG_PAGE if page.size is None else page.size
        found = await self._readable(request, page.last, size + 1)
        names, more = page.cut(found)
        headers = {}
        if more:
            path = self.locations.of(request, "/v2/_catalog")
            headers["Link"] = page.next_link(path, names[-1])
        return JSONResponse({"repositories": names}, headers=headers)

    async def _readable(self, request: Request, last: str, limit: int) -> Sequence[str]:
        """At most ``limit`` names after ``last``, without what the requester may not know of."""
        found: list[str] = []
        wanted = limit
        while True:
            batch = await self.resolution.names(last, wanted)
            found += await self.access.readable(request, batch)
            if len(batch) < wanted or len(found) >= limit:
                return found[:limit]
            # Somebody sees little of this registry: look at more at a time.
            last, wanted = batch[-1], max(limit, _BATCH)

    async def tags(self, request: Request, name: str) -> Response:
        """GET /v2/<name>/tags/list: tags in ASCII order; all of them unless ``n`` is given."""
        repository = RepositoryName(name)
        request.exchange.repository = repository
        await self.access.authorize(request, (Access.repository(repository, Action.PULL),))
        page = Page.parse(request.query_params, default=None, largest=self.tags_limit)
        limit = None if page.size is None else page.size + 1
        found = await self.resolution.tags(repository, page.last, limit)
        if found is None:
            raise NameUnknown(
                f"repository {repository!r} is not known to this registry",
                detail={"name": repository},
            )
        tags, more = page.cut(found)
        headers = {}
        if more:
            path = self.locations.of(request, f"/v2/{repository}/tags/list")
            headers["Link"] = page.next_link(path, tags[-1])
        return JSONResponse({"name": repository, "tags": tags}, headers=headers)

    async def discover(self, request: Request) -> Response:
        """GET /v2/_oci/ext/discover: what this registry offers beyond the specification."""
        await self.access.authorize(request, ())
        return JSONResponse(_EXTENSIONS)
