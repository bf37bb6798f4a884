"""Puts the data plane together."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from longshore.access.model import AccessController
from longshore.db.database import Database
from longshore.http.locations import Locations
from longshore.http.routing import Route
from longshore.registry.blobs import Blobs
from longshore.registry.manifests import Manifests
from longshore.registry.policy import PushGate
from longshore.registry.redirects import RedirectRules
from longshore.registry.resolution import Observer, Resolution
from longshore.registry.routes import data_plane
from longshore.registry.routes_blobs import BlobRoutes
from longshore.registry.routes_listing import ListingRoutes
from longshore.registry.routes_manifests import ManifestRoutes
from longshore.registry.routes_uploads import UploadRoutes
from longshore.registry.uploads import Uploads
from longshore.registry.validation import ManifestValidation
from longshore.storage.driver import StorageDriver


@dataclass(frozen=True, slots=True)
class DataPlaneOptions:
    """What the configuration decides about the data plane. ``redirect`` says
    who is sent to the storage, None to send every blob ourselves; the limits are entries in one
    reply; ``minimum_chunk`` is how many bytes of a chunk clients are advised to send at least."""

    deletes: bool = True
    redirect: RedirectRules | None = None
    minimum_chunk: int = 0
    catalog_limit: int = 1000
    tags_limit: int = 1000
    validation: ManifestValidation = field(default_factory=ManifestValidation)
    locations: Locations = field(default_factory=Locations)


def install(
    database: Database,
    driver: StorageDriver,
    access: AccessController,
    options: DataPlaneOptions,
    gates: Sequence[PushGate] = (),
    *,
    observe_lookup: Observer = lambda **_: None,
) -> list[Route]:
    """The routes of the data plane. ``gates`` are asked in this order at every manifest push."""
    resolution = Resolution(database, driver, observe=observe_lookup)
    blobs = Blobs(database, resolution)
    manifests = Manifests(database, driver, resolution, options.validation, gates)
    uploads = Uploads(database, driver)
    return data_plane(
        ListingRoutes(
            access,
            database,
            resolution,
            options.locations,
            options.catalog_limit,
            options.tags_limit,
        ),
        ManifestRoutes(access, manifests, database, options.locations, options.deletes),
        BlobRoutes(access, blobs, driver, options.deletes, options.redirect),
        UploadRoutes(access, blobs, uploads, options.locations, options.minimum_chunk),
    )
