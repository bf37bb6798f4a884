"""Scrubbing where bytes lie in several backends, and where a move goes on meanwhile."""

import pytest

from longshore.registry import store as registry_store
from longshore.scrub.verification import Scrub, ScrubOptions
from longshore.storage import layout
from longshore.storage.backends import DEFAULT, Placement
from longshore.testing.builders import image, random_bytes
from tests.services.in_process import Cluster

pytestmark = pytest.mark.anyio

LARGE = random_bytes(2 << 20)
ONE = image([LARGE])
DIGEST = ONE.blobs[1].digest


@pytest.fixture
def cluster(database_url, tmp_path):
    return Cluster(
        database_url, tmp_path / "data", named=["cold"], rules=[Placement("cold/**", "cold")]
    )


def file_of(registry, backend, digest):
    return registry.backends[backend].driver.local_path(layout.blob(digest))


async def scrub(registry):
    return await Scrub(registry.database, registry.backends, ScrubOptions(interval=0.0)).run()


async def test_a_push_to_another_backend_heals_and_the_bad_copy_is_not_taken_for_it(registry):
    """It has the right size, which is what counts otherwise."""
    await registry.push_image("cold/app", "one", ONE)
    file_of(registry, "cold", DIGEST).write_bytes(bytes(len(LARGE)))

    tally = await scrub(registry)
    await registry.push_blob("warm/app", LARGE)
    healed = await registry.client.get(f"/v2/cold/app/blobs/{DIGEST}")
    again = await scrub(registry)

    assert tally.bad == [DIGEST]
    assert healed.content == LARGE
    assert file_of(registry, DEFAULT, DIGEST).read_bytes() == LARGE
    assert (again.sound, again.bad) == (3, [])


async def test_a_manifest_in_another_backend_is_verified_there(registry):
    await registry.push_image("cold/app", "one", ONE)
    file_of(registry, "cold", ONE.digest).write_bytes(b"{}")

    tally = await scrub(registry)
    gone = await registry.client.get("/v2/cold/app/manifests/one")
    await registry.push_manifest("cold/app", "one", ONE.manifest)
    healed = await registry.client.get("/v2/cold/app/manifests/one")

    assert tally.bad == [ONE.digest]
    assert (gone.status_code, healed.status_code) == (404, 200)
    assert file_of(registry, "cold", ONE.digest).read_bytes() == ONE.manifest.data


async def test_what_is_moved_while_it_is_looked_at_is_not_taken_for_missing(registry, monkeypatch):
    await registry.push_image("cold/app", "one", ONE)
    cold = registry.backends["cold"].driver
    read = cold.stream

    async def moved_before(path):
        if path == layout.blob(DIGEST):
            monkeypatch.undo()
            await registry.driver.write(path, LARGE)
            await cold.delete(path)
            await registry.database.write(
                lambda connection: registry_store.replace_location(
                    connection, DIGEST, "cold", DEFAULT
                )
            )
        async for piece in read(path):
            yield piece

    monkeypatch.setattr(cold, "stream", moved_before)
    tally = await scrub(registry)

    assert (tally.sound, tally.bad) == (3, [])
