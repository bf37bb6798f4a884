"""Bytes move from one backend to another, and the registry serves them all the while."""

import asyncio
import random
from functools import partial

import anyio
import pytest

from longshore.gc.store.offline import delete_unlinked_blobs
from longshore.jobs.model import Status
from longshore.oci.digest import Digest
from longshore.placement import store
from longshore.placement.model import Move, Stored
from longshore.storage import layout
from longshore.storage.backends import Backend, Backends
from longshore.storage.driver import StorageUnavailable
from longshore.storage.filesystem import FilesystemDriver
from longshore.testing.builders import image, random_bytes
from tests.placement.conftest import Movers

pytestmark = pytest.mark.anyio

LARGE = random_bytes(3 << 20)


def contents(pushed):
    return (*pushed.blobs, pushed.manifest)


async def pull(registry, name, digest):
    answer = await registry.client.get(f"/v2/{name}/blobs/{digest}")
    return answer.content if answer.status_code == 200 else answer


async def spares(registry):
    found = await registry.database.read(store.holdings)
    return sum(holding.spare for holding in found.values())


async def test_everything_moves_and_is_pulled_as_before(registry, movers):
    pushed = image()
    await registry.push_image("team/app", "v1", pushed)
    large = await registry.push_blob("team/app", LARGE)
    job = await movers.move("cold")

    assert job.status is Status.DONE, job.error
    assert job.progress_done == job.progress_total
    for content in contents(pushed):
        assert await movers.places(content.descriptor.digest) == ["cold"]
    assert await movers.places(large) == ["cold"]
    assert await pull(registry, "team/app", large) == LARGE
    answer = await registry.client.get("/v2/team/app/manifests/v1")
    assert answer.content == pushed.manifest.data
    assert await spares(registry) == 0
    assert await registry.database.read(store.holdings) == {
        "cold": (await registry.database.read(store.holdings))["cold"]
    }


async def test_there_and_back_is_as_before(registry, movers):
    pushed = image()
    await registry.push_image("team/app", "v1", pushed)
    for to in ("cold", "fast", ""):
        assert (await movers.move(to)).status is Status.DONE

    for content in contents(pushed):
        assert await movers.places(content.descriptor.digest) == [""]
    assert await spares(registry) == 0


async def test_the_old_bytes_stay_for_the_pulls_that_are_under_way(registry, movers):
    movers.grace = 3600.0
    digest = await registry.push_blob("team/app", LARGE)
    await movers.move("cold")
    assert await movers.places(digest) == ["", "cold"]

    movers.grace = 0.0
    async with movers.working():
        await movers.remove()
    assert await movers.places(digest) == ["cold"]


async def test_a_pattern_chooses_what_only_its_repositories_use(registry, movers):
    mine, ours = random_bytes(10), random_bytes(20)
    for name in ("team/app", "other"):
        await registry.push_blob(name, ours)
    await registry.push_blob("team/app", mine)

    job = await movers.move("fast", repositories="team/**")
    assert await movers.places(Digest.of(mine)) == ["fast"]
    assert await movers.places(Digest.of(ours)) == [""]
    assert "1 are used elsewhere, too, and stay" in await movers.log(job)

    await movers.move("fast", repositories="team/**", shared=True)
    assert await movers.places(Digest.of(ours)) == ["fast"]
    assert await pull(registry, "other", Digest.of(ours)) == ours


async def test_only_one_backend_is_emptied_if_one_is_named(registry, movers):
    here = await registry.push_blob("team/app", b"here")
    cold = await registry.push_blob("archive/app", b"cold")
    await movers.move("fast", source="cold")

    assert await movers.places(here) == [""]
    assert await movers.places(cold) == ["fast"]


async def test_what_is_damaged_or_missing_stays_and_is_reported(registry, movers, tmp_path):
    small, large = random_bytes(100), LARGE
    lost = await registry.push_blob("team/app", b"lost")
    for data in (small, large):
        await registry.push_blob("team/app", data)
        file = registry.driver.local_path(layout.blob(Digest.of(data)))
        file.write_bytes(bytes(len(data)))
    await registry.driver.delete(layout.blob(lost))
    fine = await registry.push_blob("team/app", b"fine")
    job = await movers.move("cold")

    log = await movers.log(job)
    assert job.status is Status.DEAD
    assert "3 blobs were not moved" in (job.error or "")
    assert f"{lost} in default: missing" in log
    for data in (small, large):
        assert f"{Digest.of(data)} in default: damaged" in log
        assert await movers.places(Digest.of(data)) == [""]
    assert await movers.places(fine) == ["cold"]
    cold = registry.backends["cold"].driver
    assert [upload async for upload in cold.list_staged()] == []


async def test_a_storage_that_fails_is_tried_again_from_where_it_stood(cluster):
    class Failing(FilesystemDriver):
        left = 7

        async def write(self, path, content):
            if path.startswith(layout.BLOBS):
                Failing.left -= 1
                if Failing.left < 0 and Failing.left > -8:
                    raise StorageUnavailable("filesystem", path, "away")
            await super().write(path, content)

    async with cluster.node() as registry:
        digests = [await registry.push_blob("team/app", bytes([n])) for n in range(20)]
        failing = Failing(cluster.directory.with_name("data-failing"))
        await failing.open()
        registry.backends = Backends(registry.backends.default, {"failing": Backend.of(failing)})
        movers = Movers(registry)
        first = await movers.move("failing")
        while first.status is Status.DEAD:
            first = await movers.move("failing")

        for digest in digests:
            assert await movers.places(digest) == ["failing"]
        assert await spares(registry) == 0
        await failing.close()


async def test_two_backends_in_one_place_are_noticed_before_anything_is_lost(cluster):
    async with cluster.node() as registry:
        digest = await registry.push_blob("team/app", b"data")
        (cluster.directory.parent / "link").symlink_to(cluster.directory)
        twin = FilesystemDriver(cluster.directory.parent / "link")
        await twin.open()
        registry.backends = Backends(registry.backends.default, {"twin": Backend.of(twin)})
        job = await Movers(registry).move("twin")

        assert job.status is Status.DEAD
        assert "keep their bytes in the same place" in (job.error or "")
        assert await pull(registry, "team/app", digest) == b"data"
        await twin.close()


async def test_a_copy_that_is_wanted_again_is_not_removed(registry, movers):
    movers.grace = 3600.0
    digest = await registry.push_blob("team/app", LARGE)
    await movers.move("cold")
    await movers.move("")
    movers.grace = 0.0
    async with movers.working():
        await movers.remove()

    assert await movers.places(digest) == [""]
    assert await pull(registry, "team/app", digest) == LARGE


async def test_whoever_pushes_while_a_copy_is_removed_is_asked_to_come_again(
    registry, movers, monkeypatch
):
    monkeypatch.setattr("longshore.registry.placing._PATIENCE", 0.3)
    movers.grace = 3600.0
    digest = await registry.push_blob("team/app", b"data")
    await movers.move("cold")
    copy = Stored(digest, 4, "")
    assert await registry.database.write(partial(store.begin_removal, copy=copy))
    # Collection removes the blob meanwhile, so the next push goes to the default place.
    await registry.client.delete(f"/v2/team/app/blobs/{digest}")
    await registry.database.write(delete_unlinked_blobs)
    location = await registry.begin("team/app")
    answer = await registry.client.put(f"{location}?digest={digest}", content=b"data")

    assert answer.status_code == 503
    assert "just being removed" in answer.text
    await registry.database.write(partial(store.end_removal, copy=copy))
    await registry.push_blob("team/app", b"data")
    assert await pull(registry, "team/app", digest) == b"data"


async def test_pushes_pulls_and_moves_at_the_same_time_lose_nothing(registry, movers):
    chance = random.Random(25)
    data = [random_bytes(chance.choice([10, 1000, 1200000])) for _ in range(12)]
    names = ["team/app", "archive/app", "other"]
    pushed: set[tuple[str, int]] = set()

    async def push(name: str, content: bytes) -> None:
        while True:
            location = await registry.begin(name)
            url = f"{location}?digest={Digest.of(content)}"
            reply = await registry.client.put(url, content=content)
            if reply.status_code == 201:
                return
            # On a busy machine the old copy may not have gone yet when the push has waited for long enough.
            assert reply.status_code == 503, reply.text
            assert "push the blob again" in reply.text

    async def push_and_pull(seed: int) -> None:
        own = random.Random(seed)
        for _ in range(25):
            name, n = own.choice(names), own.randrange(len(data))
            digest = Digest.of(data[n])
            if own.random() < 0.5:
                await push(name, data[n])
                pushed.add((name, n))
            elif (name, n) in pushed:
                assert await pull(registry, name, digest) == data[n]

    async def move_about() -> None:
        for to in ("cold", "fast", "", "cold", ""):
            moved = await movers.ended(await movers.queue(Move(to)))
            assert moved.status is Status.DONE, moved.error
            await movers.remove()

    movers.grace = 0.5
    async with movers.working(), anyio.create_task_group() as tasks:
        tasks.start_soon(move_about)
        for seed in range(3):
            tasks.start_soon(push_and_pull, seed)
    movers.grace = -1.0
    await movers.move("fast")

    for name, n in pushed:
        digest = Digest.of(data[n])
        assert await pull(registry, name, digest) == data[n]
        assert await movers.places(digest) == ["fast"]
    assert await spares(registry) == 0


@pytest.mark.parametrize("size", [10, 3 << 20])
async def test_a_push_waits_for_an_old_copy_that_is_just_being_removed(
    registry, movers, monkeypatch, size
):
    data = random_bytes(size)
    movers.grace = 3600.0
    digest = await registry.push_blob("archive/app", data)
    await movers.move("fast")
    # Nothing refers to it any more but the copy in the old place, where the next push brings it.
    await registry.client.delete(f"/v2/archive/app/blobs/{digest}")
    await registry.database.write(delete_unlinked_blobs)
    cold = registry.backends["cold"].driver
    written, removed, pushes = anyio.Event(), anyio.Event(), []
    remove = {name: getattr(cold, name) for name in ("delete", "write", "publish")}

    async def delete(path):
        location = await registry.begin("archive/app")
        put = registry.client.put(f"{location}?digest={digest}", content=data)
        pushes.append(asyncio.create_task(put))
        with anyio.move_on_after(0.5):
            await written.wait()
        await remove["delete"](path)

    async def write(name, *what):
        await remove[name](*what)
        written.set()
        await removed.wait()

    for name in ("write", "publish"):
        monkeypatch.setattr(cold, name, partial(write, name))
    monkeypatch.setattr(cold, "delete", delete)
    movers.grace = 0.0
    async with movers.working():
        await movers.remove()
    removed.set()
    (pushed,) = await asyncio.gather(*pushes)

    assert pushed.status_code == 201
    assert await pull(registry, "archive/app", digest) == data
