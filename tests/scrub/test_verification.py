"""Stored bytes that a disk has spoilt: they are found, no longer served, and healed by a push."""

import asyncio
from functools import partial

import pytest
from sqlalchemy import func, select, text

from longshore import migrations
from longshore.db.database import Database
from longshore.gc.collection import CollectionOptions
from longshore.gc.explanation import explain
from longshore.oci.digest import Digest
from longshore.registry import store as registry_store
from longshore.registry.tables import QUARANTINED, blobs
from longshore.scrub import store
from longshore.scrub.verification import Scrub, ScrubOptions, StorageEmpty
from longshore.storage import layout
from longshore.storage.backends import Backends
from longshore.storage.driver import StorageUnavailable
from longshore.testing.builders import image, index, random_bytes

pytestmark = pytest.mark.anyio

LARGE = random_bytes(3 << 20)
ONE = image([b"one", LARGE])
LAYER, BIG = ONE.blobs[1].digest, ONE.blobs[2].digest
EVERY_TIME = ScrubOptions(interval=0.0)


async def scrub(registry, *, driver=None, options=EVERY_TIME, **hooks):
    return await Scrub(
        registry.database, Backends.of(driver) if driver else registry.backends, options, **hooks
    ).run()


def file_of(registry, digest):
    return registry.driver.local_path(layout.blob(digest))


def flip(registry, digest):
    file = file_of(registry, digest)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def truncate(registry, digest):
    file = file_of(registry, digest)
    file.write_bytes(file.read_bytes()[:-1])


def lengthen(registry, digest):
    with file_of(registry, digest).open("ab") as file:
        file.write(b"more")


def remove(registry, digest):
    file_of(registry, digest).unlink()


async def status(registry, path, method="GET"):
    return (await registry.client.request(method, f"/v2/{path}")).status_code


async def quarantined(registry):
    return await registry.database.read(registry_store.count_quarantined)


async def test_what_is_sound_is_read_once_in_an_interval(registry):
    await registry.push_image("team/app", "one", ONE)

    first = await scrub(registry, options=ScrubOptions(interval=3600.0))
    second = await scrub(registry, options=ScrubOptions(interval=3600.0))
    third = await scrub(registry)

    assert (first.sound, first.skipped, first.bad) == (4, 0, [])
    size = sum(len(blob.data) for blob in [*ONE.blobs, ONE.manifest])
    assert first.size == size
    assert (second.sound, second.skipped, second.size) == (0, 4, 0)
    assert third.sound == 4


@pytest.mark.parametrize(
    ("damage", "digest"), [(flip, BIG), (truncate, BIG), (lengthen, LAYER), (remove, LAYER)]
)
async def test_a_bad_blob_is_not_served_until_it_is_pushed_again(registry, damage, digest):
    await registry.push_image("team/app", "one", ONE)
    damage(registry, digest)
    lines = []

    async def say(line):
        lines.append(line)

    tally = await scrub(registry, say=say)
    found = await registry.client.get(f"/v2/team/app/blobs/{digest}")
    head = await status(registry, f"team/app/blobs/{digest}", "HEAD")
    other = await status(registry, f"team/app/blobs/{ONE.blobs[0].digest}")
    count = await quarantined(registry)
    content = LARGE if digest == BIG else b"one"
    await registry.push_blob("team/app", content)
    healed = await registry.client.get(f"/v2/team/app/blobs/{digest}")
    again = await scrub(registry)

    assert (tally.sound, tally.quarantined, tally.bad) == (3, 1, [digest])
    assert [line for line in lines if digest in line] == lines
    assert "is bad: " in lines[0]
    assert (found.status_code, head, other, count) == (404, 404, 200, 1)
    assert "damaged: push the image again" in found.json()["errors"][0]["message"]
    assert healed.content == content
    assert (again.sound, again.bad) == (4, [])


async def test_a_chunked_push_heals_too(registry):
    await registry.push_image("team/app", "one", ONE)
    flip(registry, LAYER)
    await scrub(registry)

    location = await registry.begin("team/app")
    part = await registry.client.patch(location, content=b"one")
    done = await registry.client.put(f"{part.headers['location']}?digest={LAYER}")

    assert done.status_code == 201
    assert (await registry.client.get(f"/v2/team/app/blobs/{LAYER}")).content == b"one"


async def test_a_bad_object_is_not_taken_for_staged_bytes_that_are_gone(registry):
    await registry.push_image("team/app", "one", ONE)
    flip(registry, LAYER)
    await scrub(registry)
    location = await registry.begin("team/app")
    part = await registry.client.patch(location, content=b"one")
    async for upload, _ in registry.driver.list_staged():
        await registry.driver.discard(upload)

    refused = await registry.client.put(f"{part.headers['location']}?digest={LAYER}")

    assert refused.status_code == 404
    assert refused.json()["errors"][0]["code"] == "BLOB_UPLOAD_UNKNOWN"
    assert await status(registry, f"team/app/blobs/{LAYER}") == 404


@pytest.mark.parametrize(("damage", "digest"), [(truncate, BIG), (lengthen, LAYER)])
async def test_a_push_replaces_an_object_of_another_size_that_nobody_has_noticed(
    registry, damage, digest
):
    await registry.push_image("team/app", "one", ONE)
    damage(registry, digest)
    content = LARGE if digest == BIG else b"one"

    await registry.push_blob("team/app", content)

    assert file_of(registry, digest).read_bytes() == content


async def test_a_bad_blob_can_neither_be_mounted_nor_referred_to(registry):
    await registry.push_image("team/app", "one", ONE)
    flip(registry, LAYER)
    await scrub(registry)

    mount = await registry.client.post(f"/v2/other/app/blobs/uploads/?mount={LAYER}&from=team/app")
    manifest = await registry.push_manifest("team/app", "two", ONE.manifest)

    assert mount.status_code == 202
    assert manifest.status_code == 400
    assert manifest.json()["errors"][0]["code"] == "MANIFEST_BLOB_UNKNOWN"


@pytest.mark.parametrize(("damage", "reference"), [(flip, "one"), (remove, ONE.digest)])
async def test_a_bad_manifest_is_not_served_until_it_is_pushed_again(
    cluster, registry, damage, reference
):
    await registry.push_image("team/app", "one", ONE)
    await registry.push_image("other/app", "one", ONE)
    damage(registry, ONE.digest)

    tally = await scrub(registry)
    found = await registry.client.get(f"/v2/team/app/manifests/{reference}")
    head = await status(registry, f"team/app/manifests/{reference}", "HEAD")
    pushed = await registry.push_manifest("team/app", "one", ONE.manifest)
    async with cluster.node() as node:
        healed = await node.client.get(f"/v2/other/app/manifests/{reference}")
    again = await scrub(registry)

    assert tally.bad == [ONE.digest]
    assert (found.status_code, head) == (404, 404)
    assert f"{ONE.digest} of 'team/app' are damaged" in found.json()["errors"][0]["message"]
    assert pushed.status_code == 201
    assert healed.content == ONE.manifest.data
    assert (again.sound, again.bad) == (4, [])


@pytest.mark.parametrize("count", [1, 2000])
async def test_a_manifest_that_is_read_from_storage_is_verified(cluster, registry, count):
    """By a process that does not have it in memory, before anybody has scrubbed."""
    await registry.push_image("team/app", "one", ONE)
    many = index([ONE.manifest] * count)
    await registry.push_manifest("team/app", "many", many)
    flip(registry, many.digest)

    async with cluster.node() as node:
        found = await node.client.get("/v2/team/app/manifests/many")
        pushed = await node.push_manifest("team/app", "many", many)
    async with cluster.node() as node:
        healed = await node.client.get("/v2/team/app/manifests/many")

    assert found.status_code == 404
    assert "damaged: push the image again" in found.json()["errors"][0]["message"]
    assert pushed.status_code == 201
    assert healed.content == many.data


class Interrupted:
    """The registry's driver; after the bytes of ``digest`` were read ``times`` times, something else
    happens first."""

    def __init__(self, driver, digest, times, happens):
        self._driver = driver
        self._path = layout.blob(digest)
        self._times = times
        self._happens = happens

    def list(self, prefix):
        return self._driver.list(prefix)

    async def stream(self, path):
        async for piece in self._driver.stream(path):
            yield piece
        if path == self._path:
            self._times -= 1
            if self._times == 0:
                await self._happens()


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_push_that_replaces_bad_bytes_meanwhile_is_not_undone(registry, times):
    await registry.push_image("team/app", "one", ONE)
    flip(registry, BIG)
    push = partial(registry.push_blob, "team/app", LARGE)

    await scrub(registry, driver=Interrupted(registry.driver, BIG, times, push))

    assert (await registry.client.get(f"/v2/team/app/blobs/{BIG}")).content == LARGE
    assert await quarantined(registry) == 0


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_manifest_that_is_replaced_meanwhile_is_served(registry, times):
    await registry.push_image("team/app", "one", ONE)
    flip(registry, ONE.digest)
    push = partial(registry.push_manifest, "team/app", "one", ONE.manifest)

    await scrub(registry, driver=Interrupted(registry.driver, ONE.digest, times, push))

    assert await status(registry, "team/app/manifests/one") == 200
    assert await quarantined(registry) == 0


async def test_bytes_that_somebody_put_back_by_hand_are_served_again(registry):
    await registry.push_image("team/app", "one", ONE)
    flip(registry, LAYER)
    await scrub(registry)
    flip(registry, LAYER)

    tally = await scrub(registry, options=ScrubOptions(interval=3600.0))

    assert (tally.healed, tally.sound, tally.skipped) == (1, 1, 3)
    assert await status(registry, f"team/app/blobs/{LAYER}") == 200


async def test_an_empty_storage_quarantines_nothing(registry):
    await registry.push_image("team/app", "one", ONE)
    for blob in [*ONE.blobs, ONE.manifest]:
        remove(registry, blob.digest)

    with pytest.raises(StorageEmpty, match="is it mounted"):
        await scrub(registry)

    assert await quarantined(registry) == 0


class Unreadable(Interrupted):
    async def stream(self, path):
        if path == self._path or self._path is None:
            raise StorageUnavailable("disk", path, "Input/output error")
        async for piece in self._driver.stream(path):
            yield piece


async def test_what_cannot_be_read_is_told_and_looked_at_again(registry):
    await registry.push_image("team/app", "one", ONE)
    options = ScrubOptions(interval=3600.0)

    first = await scrub(
        registry, driver=Unreadable(registry.driver, LAYER, 0, None), options=options
    )
    second = await scrub(registry, options=options)

    assert (first.unreadable, first.sound, first.bad) == (1, 3, [])
    assert (second.sound, second.skipped) == (1, 3)


async def test_a_run_goes_on_where_another_was_interrupted(registry, monkeypatch):
    await registry.push_image("team/app", "one", ONE)
    monkeypatch.setattr("longshore.scrub.verification._BATCH", 1)
    states = []

    async def remember(state):
        states.append(state)

    await scrub(registry, remember=remember)
    run = Scrub(registry.database, registry.backends, EVERY_TIME)
    tally = await run.run(states[1])

    assert tally.sound == 4
    assert tally.size == sum(len(blob.data) for blob in [*ONE.blobs, ONE.manifest])
    assert sorted(b.digest for b in [*ONE.blobs, ONE.manifest])[1] == states[1]["last"]


@pytest.mark.parametrize("page", [1, 2, 3])
async def test_pages_of_any_length_leave_nothing_out(registry, monkeypatch, page):
    for name in (b"one", b"two", b"three"):
        await registry.push_image("team/app", name.decode(), image([name]))
    monkeypatch.setattr("longshore.scrub.verification._PAGE", page)

    tally = await scrub(registry)

    assert (tally.sound, await registry.database.read(store.count)) == (7, 7)


async def test_what_is_no_more_is_forgotten(registry):
    digest = await registry.push_blob("team/app", b"one")
    await scrub(registry)
    await registry.client.delete(f"/v2/team/app/blobs/{digest}")

    def collect(connection):
        connection.execute(text("DELETE FROM blobs"))

    await registry.database.write(collect)
    before = await registry.database.read(partial(store.outdated, after="", until=None))
    await scrub(registry)
    after = await registry.database.read(partial(store.outdated, after="", until=None))

    assert (before, after) == ([digest], [])


async def test_only_what_is_asked_for_is_read(registry):
    await registry.push_image("team/app", "one", ONE)
    unknown = Digest.of(b"unknown")
    lines = []

    async def say(line):
        lines.append(line)

    run = Scrub(registry.database, registry.backends, say=say)
    tally = await run.verify([LAYER, unknown])

    assert (tally.sound, tally.size) == (1, 3)
    assert lines == [f"{unknown}: no blob and no manifest has this digest"]


async def test_the_budget_is_kept(registry, monkeypatch):
    await registry.push_image("team/app", "one", ONE)
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr("longshore.scrub.verification.clock.monotonic", lambda: 1000.0)
    monkeypatch.setattr("longshore.scrub.verification.asyncio.sleep", sleep)
    tally = await scrub(registry, options=ScrubOptions(rate=1 << 20, interval=0.0))

    assert slept[-1] == pytest.approx(tally.size / (1 << 20))


async def test_why_gc_mentions_it(registry):
    await registry.push_image("team/app", "one", ONE)
    flip(registry, LAYER)
    await scrub(registry)

    found = await registry.database.read(
        lambda connection: explain(connection, LAYER, CollectionOptions())
    )

    assert "its stored bytes are damaged or missing" in found.lines[-1]
    assert found.kept


async def test_a_short_way_leads_to_what_is_bad(tmp_path):
    """Every pull of a manifest asks; an index that is all but empty answers."""

    def plan():
        database = Database(f"sqlite:///{tmp_path}/longshore.db", pool_size=1)
        database.open()
        migrations.upgrade(database)
        with database.engine.connect() as connection:
            query = select(func.count()).select_from(blobs).where(QUARANTINED)
            found = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all()
        database.close()
        return str(found)

    assert "ix_blobs_quarantined" in await asyncio.to_thread(plan)
