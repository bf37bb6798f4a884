"""Collection where bytes lie in several backends: each gives back its own."""

import pytest

from longshore.gc.offline import OfflineCollection
from longshore.gc.unknown import StorageUnknown
from longshore.oci.digest import Digest
from longshore.placement import store
from longshore.storage import layout
from longshore.storage.backends import Placement
from longshore.telemetry import clock
from longshore.testing.builders import image
from tests.gc.test_collection import Clock, collect, collect_all, everything

pytestmark = pytest.mark.anyio

HERE, COLD = image([b"here"], config=b'{"n":1}'), image([b"cold"], config=b'{"n":2}')
LOST = Digest.of(b"lost")


@pytest.fixture
def cluster(cluster):
    cluster.named = ("cold",)
    cluster.rules = (Placement("archive/**", "cold"),)
    return cluster


@pytest.fixture
def time(monkeypatch):
    return Clock(monkeypatch)


async def stored(registry, name):
    entries = registry.backends[name].driver.list(layout.BLOBS)
    return {layout.blob_digest(entry.path) async for entry in entries}


async def push_all(registry):
    """Two images, and in each backend a blob that nothing needs."""
    await registry.push_image("team/app", "one", HERE)
    await registry.push_image("archive/app", "one", COLD)
    await registry.push_blob("team/app", b"useless here")
    await registry.push_blob("archive/app", b"useless there")


async def collect_offline(registry):
    await OfflineCollection(registry.database, registry.backends, lambda line: None).run()


@pytest.mark.parametrize("online", [True, False])
async def test_each_backend_keeps_what_is_used_and_loses_what_is_not(registry, time, online):
    await push_all(registry)
    await registry.backends["cold"].driver.write(layout.blob(LOST), b"lost")
    if online:
        await collect_all(registry, time)
    else:
        await collect_offline(registry)

    assert await stored(registry, "") == everything(HERE)
    assert await stored(registry, "cold") == everything(COLD)
    answer = await registry.client.get("/v2/archive/app/manifests/one")
    assert answer.content == COLD.manifest.data


async def test_the_bytes_of_a_deleted_image_go_from_where_they_lie(registry, time):
    await push_all(registry)
    await registry.client.delete(f"/v2/archive/app/manifests/{COLD.digest}")
    await collect_all(registry, time)

    assert await stored(registry, "") == everything(HERE)
    assert await stored(registry, "cold") == set()


@pytest.mark.parametrize("online", [True, False])
async def test_a_copy_that_nobody_reads_goes_and_what_is_read_stays(registry, time, online):
    await push_all(registry)
    blob = COLD.blobs[0]
    await registry.driver.write(layout.blob(blob.digest), blob.data)
    if online:
        time.pass_lease()
        await collect(registry)
        (spare,) = [
            copy
            for copy in await registry.database.read(
                lambda connection: store.due_spares(connection, -1e6, 10)
            )
            if copy.digest == blob.digest
        ]
        assert spare.backend == ""
    else:
        await collect_offline(registry)
        assert blob.digest not in await stored(registry, "")
    assert blob.digest in await stored(registry, "cold")


async def test_what_is_on_its_way_to_be_removed_is_not_moved(registry, time):
    await push_all(registry)
    time.pass_lease()
    await collect(registry)

    def ask(connection):
        return {found.digest for found in store.stored_after(connection, "", "cold", None, 100)}

    assert await registry.database.read(ask) == everything(HERE)


@pytest.mark.parametrize("online", [True, False])
async def test_a_backend_where_another_registry_has_written_is_left_alone(registry, time, online):
    await push_all(registry)
    foreign = f"{layout.REPOSITORIES}/foreign/_manifests/revisions/sha256/{'0' * 64}/link"
    await registry.backends["cold"].driver.write(foreign, b"sha256:" + b"0" * 64)
    time.pass_lease()

    with pytest.raises(StorageUnknown, match="foreign"):
        await (collect(registry) if online else collect_offline(registry))


async def test_what_was_announced_is_not_touched_when_its_time_is_over(registry, time, monkeypatch):
    await push_all(registry)
    time.pass_lease()
    await collect(registry)
    time.pass_lease()
    monotonic = clock.monotonic
    took: list[int] = []
    monkeypatch.setattr(clock, "monotonic", lambda: monotonic() + 61.0 * len(took))

    def delete_all(driver):
        async def delete(paths):
            took.append(len(paths))  # and a minute
            for path in paths:
                await driver.delete(path)

        return delete

    for name in ("", "cold"):
        driver = registry.backends[name].driver
        monkeypatch.setattr(driver, "delete_all", delete_all(driver), raising=False)
    first = await collect(registry)
    time.pass_lease(0.1)
    second = await collect(registry)

    assert (first.blobs, second.blobs) == (1, 1)
    assert took == [1, 1]
