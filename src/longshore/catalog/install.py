"""Puts the catalog together."""

from dataclasses import dataclass

from longshore.catalog.additions import Additions
from longshore.catalog.details import Details
from longshore.catalog.editing import Editing
from longshore.db.database import Database
from longshore.registry.install import DataPlane
from longshore.storage.backends import Backends


@dataclass(frozen=True, slots=True)
class Catalog:
    """What is done with artifacts. One per process."""

    details: Details
    additions: Additions
    editing: Editing


def catalog(plane: DataPlane, database: Database, backends: Backends) -> Catalog:
    """Over what the data plane stands on."""
    details = Details(plane.manifests, database, backends)
    return Catalog(
        details,
        Additions(plane.manifests, details),
        Editing(plane.manifests, plane.blobs, database),
    )
