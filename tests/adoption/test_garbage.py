"""Garbage collection and adoptions: nothing goes before all that is in use is known."""

import pytest

from longshore.gc.offline import OfflineCollection
from longshore.gc.unknown import AdoptionRunning
from longshore.storage import layout
from longshore.storage.backends import Backends
from longshore.testing.builders import image
from tests.adoption.adopting import begun, finished, resolve, tags
from tests.services.in_process import Registry

pytestmark = pytest.mark.anyio

NAME = "team/app"


async def collect(registry: Registry) -> int:
    backends = Backends.of(registry.driver)
    return (await OfflineCollection(registry.database, backends, lambda line: None).run()).blobs


async def test_nothing_is_removed_while_only_some_is_known(legacy, registry):
    await legacy.push(NAME, image([b"one"]), "v1")
    await legacy.push(NAME, image([b"two"]), "v2")
    await begun(registry)
    assert await resolve(registry, NAME, "v1")

    with pytest.raises(AdoptionRunning, match="still being taken over"):
        await collect(registry)


async def test_afterwards_only_what_nothing_uses_is_removed(legacy, registry):
    one = image([b"one"])
    await legacy.push(NAME, one, "v1")
    await legacy.push("Not/A/Name", image([b"nobody"]), "v1")
    await begun(registry)
    await finished(registry)

    removed = await collect(registry)

    assert removed == 2  # a layer and a manifest; the config is the same
    assert await tags(registry, NAME) == ["v1"]
    for blob in (one.manifest, *one.blobs):
        assert (await registry.driver.stat(layout.blob(blob.digest))).size == len(blob.data)
