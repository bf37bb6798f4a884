"""Puts the data plane together."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from longshore.access.model import AccessController
from longshore.db.database import Database
from longshore.http.locations import Locations
from longshore.http.routing import Route
from longshore.outbox.deferred import DeferredOutbox
from longshore.outbox.recording import Outbox
from longshore.registry.blobs import Blobs
from longshore.registry.manifests import Manifests
from longshore.registry.policy import PushGate, StorageGate, StorageGates
from longshore.registry.redirects import RedirectRules
from longshore.registry.resolution import Observer, Resolution
from longshore.registry.routes import data_plane
from longshore.registry.routes_blobs import BlobRoutes
from longshore.registry.routes_listing import ListingRoutes
from longshore.registry.routes_manifests import ManifestRoutes, Pulled, uncounted
from longshore.registry.routes_uploads import UploadRoutes
from longshore.registry.uploads import Uploads
from longshore.registry.upstream import Upstream
from longshore.registry.validation import ManifestValidation
from longshore.storage.backends import Backends


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


@dataclass(frozen=True, slots=True)
class DataPlane:
    """The routes, and what they stand on: for others who change what repositories hold."""

    routes: list[Route]
    manifests: Manifests
    blobs: Blobs


def install(
    database: Database,
    backends: Backends,
    access: AccessController,
    options: DataPlaneOptions,
    gates: Sequence[PushGate] = (),
    outbox: Outbox | None = None,
    *,
    observe_lookup: Observer = lambda **_: None,
    upstream: Upstream | None = None,
    deferred: DeferredOutbox | None = None,
    storage_gates: Sequence[StorageGate] = (),
    pulled: Pulled = uncounted,
) -> DataPlane:
    """The data plane. ``gates`` are asked in this order at every manifest push, and
    ``storage_gates`` whenever a repository is to hold more; what
    becomes of it is told to ``outbox``, and what changes nothing to ``deferred``; ``upstream`` is
    asked for what the rows lack; ``pulled`` is told of every manifest that is sent."""
    rooms = StorageGates(storage_gates)
    later = deferred or DeferredOutbox(database, Outbox())
    resolution = Resolution(database, backends, observe=observe_lookup, upstream=upstream)
    blobs = Blobs(database, resolution, rooms)
    manifests = Manifests(database, backends, resolution, options.validation, gates, outbox, rooms)
    uploads = Uploads(database, backends, rooms)
    routes = data_plane(
        ListingRoutes(
            access,
            resolution,
            options.locations,
            options.catalog_limit,
            options.tags_limit,
        ),
        ManifestRoutes(
            access, manifests, database, options.locations, later, options.deletes, rooms, pulled
        ),
        BlobRoutes(access, blobs, backends, later, options.deletes, options.redirect),
        UploadRoutes(
            access, blobs, uploads, options.locations, later, options.minimum_chunk, rooms
        ),
    )
    return DataPlane(routes, manifests, blobs)
