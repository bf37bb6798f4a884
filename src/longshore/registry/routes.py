"""Every path of the data plane, with the part of the specification that describes it.

The names are the ``handler`` labels of distribution's metrics.
"""

from longshore.http.routing import Route
from longshore.registry.routes_blobs import BlobRoutes
from longshore.registry.routes_listing import ListingRoutes
from longshore.registry.routes_manifests import ManifestRoutes
from longshore.registry.routes_uploads import UploadRoutes

# The repository takes everything up to the last keyword, as a name may hold "blobs" or "manifests"
# as a component. Its grammar is checked by RepositoryName, which can say what is wrong with it.
_NAME = r"/v2/(?P<name>.+)"


def data_plane(
    listing: ListingRoutes, manifests: ManifestRoutes, blobs: BlobRoutes, uploads: UploadRoutes
) -> list[Route]:
    """The routes in the order in which they are tried, most frequent first."""
    return [
        Route(
            "manifest",
            rf"{_NAME}/manifests/(?P<reference>[^/]+)",
            {"GET": manifests.get, "PUT": manifests.put, "DELETE": manifests.delete},
            "end-3, end-7, end-9",
        ),
        Route(
            "blob_upload",
            rf"{_NAME}/blobs/uploads/?",
            {"POST": uploads.start},
            "end-4a, end-4b, end-4c, end-11",
        ),
        Route(
            "blob",
            rf"{_NAME}/blobs/(?P<digest>[^/]+)",
            {"GET": blobs.get, "DELETE": blobs.delete},
            "end-2, end-10",
        ),
        Route(
            "blob_upload_chunk",
            rf"{_NAME}/blobs/uploads/(?P<upload_id>[^/]+)",
            {
                "PATCH": uploads.append,
                "PUT": uploads.finish,
                "GET": uploads.status,
                "DELETE": uploads.cancel,
            },
            "end-5, end-6, end-13, end-14",
        ),
        Route("tags", rf"{_NAME}/tags/list", {"GET": listing.tags}, "end-8a, end-8b"),
        Route(
            "referrers",
            rf"{_NAME}/referrers/(?P<digest>[^/]+)",
            {"GET": manifests.referrers},
            "end-12a, end-12b",
        ),
        Route("base", r"/v2/?", {"GET": listing.base}, "end-1"),
        Route("catalog", r"/v2/_catalog", {"GET": listing.catalog}, "Docker Registry HTTP API V2"),
        Route(
            "extensions",
            r"/v2/_oci/ext/discover",
            {"GET": listing.discover},
            "OCI Distribution extensions",
        ),
    ]
