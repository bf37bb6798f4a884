"""What artifacts say of themselves: the configs of images and charts, the platforms of an index."""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from longshore.catalog import store
from longshore.catalog.model import Artifact
from longshore.db.database import Database
from longshore.oci import mediatypes
from longshore.oci.descriptor import Descriptor
from longshore.oci.digest import Digest
from longshore.oci.errors import RegistryError
from longshore.oci.names import RepositoryName
from longshore.registry import placing
from longshore.registry.manifests import Manifests
from longshore.storage import layout
from longshore.storage.backends import DEFAULT, Backends
from longshore.storage.driver import StorageError

logger = logging.getLogger(__name__)

#: Bytes of a config that is read at all, and of what is kept of it.
_LARGEST_CONFIG: Final = 4 << 20
_LARGEST_KEPT: Final = 64 << 10
_PARALLEL: Final = 8


def attributes_of(kind: str, config: bytes) -> dict[str, Any]:
    """What people want to know of a config; nothing when it is not what it should be."""
    document = _object(config)
    if kind == "CHART":
        return document if len(config) <= _LARGEST_KEPT else {}
    names = ("architecture", "os", "os.version", "variant", "created", "author")
    found: dict[str, Any] = {
        name: document[name][:1000] for name in names if isinstance(document.get(name), str)
    }
    settings = document.get("config")
    if isinstance(settings, dict) and len(json.dumps(settings)) <= _LARGEST_KEPT:
        found["config"] = settings
    return found


def list_in(config: bytes, name: str) -> list[Any]:
    """A list in a config: ``history`` of an image, ``dependencies`` of a chart."""
    found = _object(config).get(name)
    return found if isinstance(found, list) else []


def _object(config: bytes) -> dict[str, Any]:
    try:
        found = json.loads(config)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class Details:
    """One per process."""

    manifests: Manifests
    database: Database
    backends: Backends

    async def attributes(self, found: Sequence[Artifact]) -> Mapping[int, Mapping[str, Any]]:
        """What the configs of these artifacts say, by the artifacts' ids. Each is read once: what it says is
        kept."""
        unread = [one for one in found if one.extra is None and _has_config(one)]
        read: dict[int, Mapping[str, Any]] = {}
        for start in range(0, len(unread), _PARALLEL):
            some = unread[start : start + _PARALLEL]
            configs = await asyncio.gather(*(self.config(one) for one in some))
            for one, config in zip(some, configs, strict=True):
                if config is not None:
                    read[one.id] = await asyncio.to_thread(attributes_of, one.kind, config)
        if read:
            try:
                keep = partial(store.remember_extra, extras=read)
                await self.database.write(keep, durable=False)
            except RegistryError as error:
                logger.warning("what configs say will be read again: %s", error)
        return {**{one.id: one.extra for one in found if one.extra is not None}, **read}

    async def listed(self, found: Sequence[Artifact]) -> Mapping[int, Mapping[str, Descriptor]]:
        """What the indexes among these artifacts say of what they list, by artifact and digest."""
        indexes = [one for one in found if one.media_type in mediatypes.INDEXES]
        said: dict[int, Mapping[str, Descriptor]] = {}
        for one in indexes:
            name, digest = RepositoryName(one.repository), Digest(one.digest)
            try:
                stored = await self.manifests.get(name, digest)
                raw = await self.manifests.content(name, stored)
                manifest = await asyncio.to_thread(self.manifests.parse, raw, stored.media_type)
            except RegistryError as error:
                logger.warning("the index %s of %s cannot be read: %s", digest, name, error)
                continue
            said[one.id] = {child.digest: child for child in manifest.children}
        return said

    async def config(self, artifact: Artifact) -> bytes | None:
        """The bytes of an artifact's config; None when storage has none, or more than a config has."""
        if artifact.config is None:
            return None
        return await self.blob(Digest(artifact.config), _LARGEST_CONFIG)

    async def blob(self, digest: Digest, largest: int) -> bytes | None:
        """A small blob; None when storage has none, or it has more than ``largest`` bytes."""
        place = await placing.home(self.database, self.backends, digest, DEFAULT)
        driver, path = self.backends[place].driver, layout.blob(digest)
        try:
            if (await driver.stat(path)).size > largest:
                return None
            return await driver.read(path)
        except StorageError as error:
            logger.warning("the blob %s cannot be read: %s", digest, error)
            return None


def _has_config(artifact: Artifact) -> bool:
    return artifact.config is not None and (artifact.is_image or artifact.kind == "CHART")
