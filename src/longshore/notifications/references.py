"""What a pushed manifest refers to, read when it is told: a push need not carry it."""

from dataclasses import dataclass

from longshore.db.database import Database
from longshore.notifications.envelope import References
from longshore.oci.digest import Digest
from longshore.oci.manifest import Manifest
from longshore.registry.events import ManifestPushed
from longshore.registry.placing import read
from longshore.storage.backends import Backends
from longshore.storage.driver import PathNotFound


@dataclass(frozen=True, slots=True)
class StoredReferences:
    """Looks into the manifest's bytes."""

    database: Database
    backends: Backends

    async def __call__(self, event: ManifestPushed) -> References | None:
        """Config and layers, or the manifests of an index; None if it was deleted meanwhile."""
        try:
            raw = await read(self.database, self.backends, Digest(event.digest))
        except PathNotFound:
            return None
        manifest = Manifest.parse(raw, event.media_type)
        return [*manifest.blobs, *manifest.children]
