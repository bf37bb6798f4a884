"""Blobs: finding them, mounting them from another repository, taking them away."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from longshore.db.database import Connection, Database
from longshore.db.generation import Generation
from longshore.oci.digest import Digest
from longshore.oci.errors import BlobUnknown
from longshore.oci.names import RepositoryName
from longshore.registry import store
from longshore.registry.model import Blob
from longshore.registry.policy import NO_GATES, StorageGates
from longshore.registry.resolution import Resolution
from longshore.telemetry import clock

MayPull = Callable[[RepositoryName], Awaitable[bool]]

#: How many repositories an anonymous mount looks through for one that the client may pull.
_CANDIDATES: Final = 50


class Blobs:
    """The use cases of finished blobs, for one process."""

    def __init__(
        self, database: Database, resolution: Resolution, gates: StorageGates = NO_GATES
    ) -> None:
        self._database = database
        self._resolution = resolution
        self._gates = gates

    async def get(
        self, name: RepositoryName, digest: Digest, as_of: Generation | None = None
    ) -> Blob:
        """``as_of`` as for :meth:`Resolution.blob`. Raises BlobUnknown, also for bytes that only other
        repositories may read."""
        found = await self._resolution.blob(name, digest, as_of)
        if found is None:
            spoilt = partial(store.holds_quarantined, name=name, digest=digest)
            if await self._database.read(spoilt):
                raise BlobUnknown(
                    f"the stored bytes of blob {digest} of {name!r} are damaged: push the image again",
                    detail={"name": name, "digest": digest},
                )
            raise BlobUnknown(
                f"blob {digest} is not known in repository {name!r}",
                detail={"name": name, "digest": digest},
            )
        return found

    async def mount(
        self,
        name: RepositoryName,
        digest: Digest,
        source: RepositoryName | None,
        may_pull: MayPull,
    ) -> Blob | None:
        """Link a blob that the client may pull from ``source``, or from anywhere if that is None.

        None when there is no such blob: the client then uploads it (Distribution 1.1, "Mounting a
        blob from another repository"). Raises Denied when the repository may hold no more.
        """
        found = await self._resolution.blob(name, digest)
        if found is not None:
            return found
        found = await self._find_readable(digest, source, may_pull)
        if found is None:
            return None
        blob, now = found, clock.timestamp()

        def link(connection: Connection) -> bool:
            with self._gates.watching(connection, name):
                return store.mount_blob(connection, name, blob, now)

        return blob if await self._database.write(link) else None

    async def _find_readable(
        self, digest: Digest, source: RepositoryName | None, may_pull: MayPull
    ) -> Blob | None:
        if source is not None:
            candidates = [source]
        else:
            names = await self._database.read(
                partial(store.repositories_with_blob, digest=digest, limit=_CANDIDATES)
            )
            candidates = [RepositoryName(found) for found in names]
        for candidate in candidates:
            if await may_pull(candidate):
                found = await self._resolution.blob(candidate, digest)
                if found is not None:
                    return found
        return None

    async def delete(self, name: RepositoryName, digest: Digest) -> None:
        """Take the blob away from the repository; the bytes go when nothing needs them.

        Raises BlobUnknown.
        """
        await self._resolution.complete(name)
        if not await self._database.write(partial(store.unlink_blob, name=name, digest=digest)):
            raise BlobUnknown(
                f"blob {digest} is not known in repository {name!r}",
                detail={"name": name, "digest": digest},
            )
