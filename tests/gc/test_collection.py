"""Online collection beside a server: what waits, what goes, what stays, and what it says."""

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest
from sqlalchemy import text

from longshore.adoption.indexing import Indexer
from longshore.adoption.store import add_linked
from longshore.gc.collection import PATIENCE, Collection, CollectionOptions
from longshore.gc.explanation import explain
from longshore.gc.store import mark
from longshore.gc.unknown import AdoptionRunning, StorageUnknown
from longshore.oci.digest import Digest
from longshore.oci.names import RepositoryName, Tag
from longshore.outbox.model import Event, Recorded
from longshore.outbox.recording import Outbox
from longshore.registry import store
from longshore.registry.model import AdoptionState, BlobGoing, Standing
from longshore.storage import layout
from longshore.storage.driver import PathNotFound, StorageUnavailable
from longshore.telemetry import clock
from longshore.testing.builders import artifact, image, index

pytestmark = pytest.mark.anyio

LEASE = 3600.0
APP = RepositoryName("team/app")
ONE, TWO = image([b"one"]), image([b"two"])


class Clock:
    """Adds to the time of this process, and to that of the database."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        real = clock.timestamp
        monkeypatch.setattr(clock, "timestamp", lambda: real() + self.ahead)
        modules = ("longshore.gc.run", "longshore.gc.marking", "longshore.gc.sweeping")
        for module in (*modules, "longshore.registry.store.blobs"):
            monkeypatch.setattr(f"{module}.database_time", lambda _: real() + self.ahead)

    def pass_lease(self, count: float = 1.1) -> None:
        self.ahead += count * LEASE


@pytest.fixture
def time(monkeypatch):
    return Clock(monkeypatch)


async def collect(registry, *, untagged=False, **options):
    run = Collection(
        registry.database,
        registry.backends,
        CollectionOptions(LEASE, untagged),
        **options,
    )
    return await run.run()


async def collect_all(registry, time, *, untagged=False):
    """What is unused now is found, waits out its lease, and goes."""
    time.pass_lease()
    await collect(registry, untagged=untagged)
    time.pass_lease()
    return await collect(registry, untagged=untagged)


async def stored(registry):
    found = [layout.blob_digest(entry.path) async for entry in registry.driver.list(layout.BLOBS)]
    return {digest for digest in found if digest}


def everything(*images):
    return {blob.digest for picture in images for blob in [*picture.blobs, picture.manifest]}


async def test_what_is_unused_goes_a_lease_after_it_was_found(registry, time):
    await registry.push_image("team/app", "one", ONE)
    lost = await registry.push_blob("team/app", b"nobody refers to me")

    young = await collect(registry)
    time.pass_lease()
    found = await collect(registry)
    at_once = await collect(registry)
    before = await stored(registry)
    time.pass_lease()
    swept = await collect(registry)

    assert (young.condemned_links, found.condemned_links, found.condemned_blobs) == (0, 1, 1)
    assert (at_once.links, at_once.blobs) == (0, 0)
    assert lost in before
    assert (swept.links, swept.blobs, swept.freed) == (1, 1, 19)
    assert await stored(registry) == everything(ONE)
    assert (await registry.client.get(f"/v2/team/app/blobs/{lost}")).status_code == 404
    assert (await registry.client.get("/v2/team/app/manifests/one")).status_code == 200


@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_a_blob_that_a_client_was_told_of_stays_for_another_lease(registry, time, method):
    lost = await registry.push_blob("team/app", b"nobody refers to me")
    time.pass_lease()
    await collect(registry)
    time.pass_lease(0.9)

    told = await registry.client.request(method, f"/v2/team/app/blobs/{lost}")
    time.pass_lease(0.9)
    kept = await collect(registry)
    picture = image([b"nobody refers to me"])
    pushed = await registry.push_image("team/app", "new", picture)
    time.pass_lease(20)
    await collect_all(registry, time)

    assert (told.status_code, kept.blobs, pushed.status_code) == (200, 0, 201)
    assert await stored(registry) == everything(picture)


async def test_a_mounted_blob_outlives_its_source(registry, time):
    lost = await registry.push_blob("team/app", b"base")
    time.pass_lease()
    await collect(registry)

    mounted = await registry.client.post(
        f"/v2/team/other/blobs/uploads/?mount={lost}&from=team/app"
    )
    time.pass_lease(0.9)
    await collect(registry)

    assert mounted.status_code == 201
    assert (await registry.client.head(f"/v2/team/other/blobs/{lost}")).status_code == 200


async def test_a_manifest_takes_back_what_was_found_unused(registry, time):
    for blob in ONE.blobs:
        await registry.push_blob("team/app", blob.data)
    time.pass_lease()
    found = await collect(registry)
    time.pass_lease(0.9)

    pushed = await registry.push_manifest("team/app", "one", ONE.manifest)
    time.pass_lease(0.2)
    swept = await collect(registry)

    assert found.condemned_links == 2
    assert pushed.status_code == 201
    assert (swept.links, swept.blobs) == (0, 0)
    assert await stored(registry) == everything(ONE)


async def test_untagged_manifests_go_only_when_asked_and_whole(registry, time):
    for picture in (ONE, TWO):
        await registry.push_image("team/app", picture.digest, picture)
    signature = artifact(ONE.manifest)
    await registry.push_image("team/app", signature.digest, signature)
    await registry.push_manifest("team/app", "multi", index([ONE.manifest, TWO.manifest]))
    reached = await stored(registry)

    kept = await collect_all(registry, time)
    tagged = await collect_all(registry, time, untagged=True)
    await registry.client.delete("/v2/team/app/manifests/multi")
    untagged = await collect_all(registry, time)
    assert await stored(registry) == reached
    swept = await collect_all(registry, time, untagged=True)

    assert (kept.manifests, tagged.manifests, untagged.manifests) == (0, 0, 0)
    assert swept.manifests == 4
    assert await stored(registry) == set()


async def test_a_tag_that_comes_back_keeps_all_that_it_reaches(registry, time):
    for picture in (ONE, TWO):
        await registry.push_image("team/app", picture.digest, picture)
    multi = index([ONE.manifest, TWO.manifest])
    await registry.push_manifest("team/app", multi.digest, multi)
    time.pass_lease()
    found = await collect(registry, untagged=True)
    time.pass_lease(0.9)

    assert (await registry.client.get(f"/v2/team/app/manifests/{multi.digest}")).status_code == 200
    time.pass_lease(0.5)
    await collect(registry, untagged=True)
    again = await registry.push_manifest("team/app", "again", multi)

    assert found.condemned_manifests == 3
    assert again.status_code == 201
    await collect_all(registry, time, untagged=True)
    assert everything(ONE, TWO) <= await stored(registry)


async def test_bytes_that_no_row_ever_knew_go(registry, time):
    await registry.push_image("team/app", "one", ONE)
    await registry.driver.write(layout.blob(Digest.of(b"orphan")), b"orphan")
    time.pass_lease()
    await collect(registry)
    time.pass_lease()
    swept = await collect(registry)

    assert (swept.blobs, swept.freed) == (1, 6)
    assert await stored(registry) == everything(ONE)


async def test_the_bytes_of_a_deleted_image_go(registry, time):
    await registry.push_image("team/app", "one", ONE)
    await registry.push_image("team/other", "one", ONE)
    await registry.client.delete(f"/v2/team/app/manifests/{ONE.digest}")
    await collect_all(registry, time)
    assert await stored(registry) == everything(ONE)

    await registry.client.delete(f"/v2/team/other/manifests/{ONE.digest}")
    await collect_all(registry, time)
    assert await stored(registry) == set()


async def test_a_repository_that_is_being_pushed_to_loses_nothing_for_a_while(registry, time):
    lost = await registry.push_blob("team/app", b"told of long ago")
    time.pass_lease()
    await collect(registry)
    time.pass_lease()
    await registry.begin("team/app")

    during = await collect(registry)
    assert (during.links, during.blobs) == (0, 0)
    time.pass_lease(PATIENCE)
    await registry.begin("team/app")
    after = await collect(registry)

    assert (after.links, after.blobs) == (1, 1)
    assert lost not in await stored(registry)


async def test_one_request_that_takes_longer_than_a_lease_protects_its_repository(registry, time):
    lost = await registry.push_blob("team/app", b"told of long ago")
    time.pass_lease()
    await collect(registry)
    location, swept = await registry.begin("team/app"), []

    async def slowly():
        for _ in range(3):
            yield bytes(1 << 20)
            time.pass_lease(0.9)
        yield bytes(1 << 20)
        swept.append(await collect(registry))
        yield b"the end"

    answer = await registry.client.patch(location, content=slowly())

    assert (answer.status_code, swept[0].links, swept[0].blobs) == (202, 0, 0)
    assert lost in await stored(registry)


async def test_a_blob_that_comes_again_protects_its_repository_too(registry, time):
    lost = await registry.push_blob("team/app", b"told of long ago")
    await registry.push_blob("team/app", b"comes again")
    time.pass_lease()
    await collect(registry)
    time.pass_lease()
    await registry.push_blob("team/app", b"comes again")
    swept = await collect(registry)

    assert (swept.links, swept.blobs) == (0, 0)
    assert lost in await stored(registry)


async def test_a_digest_whose_bytes_are_going_can_be_pushed_once_they_are_gone(registry, time):
    lost = await registry.push_blob("team/app", b"comes and goes")
    time.pass_lease()
    await collect(registry)
    time.pass_lease()
    delete = registry.driver.delete

    async def push_meanwhile(path):
        assert (
            await registry.database.read(partial(store.blob_standing, digest=lost))
            is Standing.DELETING
        )
        await delete(path)

    registry.driver.delete = push_meanwhile
    swept = await collect(registry)
    registry.driver.delete = delete
    again = await registry.push_blob("team/app", b"comes and goes")

    assert swept.blobs == 1
    assert again == lost
    assert lost in await stored(registry)
    assert (await registry.client.get(f"/v2/team/app/blobs/{lost}")).content == b"comes and goes"


async def test_what_a_killed_collector_announced_can_be_pushed_when_its_time_is_over(
    registry, time, monkeypatch
):
    lost = await registry.push_blob("team/app", b"comes and goes")
    time.pass_lease()
    await collect(registry)
    time.pass_lease()

    async def die(path):
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(registry.driver, "delete", die)
        with pytest.raises(asyncio.CancelledError):
            await collect(registry)
    monkeypatch.setattr("longshore.registry.reservation._PATIENCE", 0.3)
    location = await registry.begin("team/app")
    refused = await registry.client.put(f"{location}?digest={lost}", content=b"comes and goes")
    time.pass_lease(0.1)
    again = await registry.push_blob("team/app", b"comes and goes")

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert "are just being removed: push the blob again" in refused.text
    assert again == lost
    await collect(registry)
    assert (await registry.client.get(f"/v2/team/app/blobs/{lost}")).content == b"comes and goes"


async def test_what_storage_refuses_to_delete_is_reported_and_tried_again(registry, time):
    stuck = await registry.push_blob("team/app", b"stuck")
    loose = await registry.push_blob("team/app", b"loose one")
    time.pass_lease()
    await collect(registry)
    time.pass_lease()
    delete, said = registry.driver.delete, []

    async def refuse_one(path):
        if path == layout.blob(stuck):
            raise StorageUnavailable("filesystem", path, "permission denied")
        await delete(path)

    async def say(line):
        said.append(line)

    registry.driver.delete = refuse_one
    first = await collect(registry, say=say)
    registry.driver.delete = delete
    time.pass_lease()
    second = await collect(registry)

    assert (first.blobs, first.failed, first.freed) == (1, 1, 9)
    assert said == [
        f"{stuck} is left in place: filesystem: {layout.blob(stuck)}: permission denied"
    ]
    assert (second.blobs, second.freed) == (1, 5)
    assert not {stuck, loose} & await stored(registry)


async def test_a_run_goes_on_where_another_ended(registry, time):
    await registry.push_image("team/app", "one", ONE)
    await registry.push_blob("team/app", b"lost")
    time.pass_lease()
    states = []

    async def remember(state):
        states.append(state)

    whole = await collect(registry, remember=remember)
    rest = Collection(registry.database, registry.backends, CollectionOptions(LEASE))
    resumed = await rest.run(states[2])

    assert [state["phase"] for state in states] == [
        f"{what} {which}"
        for what, which in [
            *(("mark", which) for which in ("manifests", "links", "blobs", "storage")),
            *(("sweep", which) for which in ("manifests", "links", "blobs")),
        ]
    ]
    assert resumed.condemned_links == whole.condemned_links == 1


async def test_a_run_that_another_version_left_unfinished_begins_anew(registry, time):
    await registry.push_blob("team/app", b"lost")
    time.pass_lease()

    rest = Collection(registry.database, registry.backends, CollectionOptions(LEASE))
    found = await rest.run({"phase": 1, "last": "sha256:ff", "tally": {}})

    assert (found.condemned_links, found.condemned_blobs) == (1, 1)


async def test_nothing_is_collected_while_another_registry_is_taken_over(registry, time):
    await registry.database.write(partial(store.set_adoption_state, state=AdoptionState.RUNNING))
    with pytest.raises(AdoptionRunning, match="longshore adopt"):
        await collect(registry)


async def test_an_adoption_that_begins_meanwhile_links_nothing_that_is_going(registry, time):
    lost = await registry.push_blob("team/app", b"lost")
    time.pass_lease()
    await collect(registry)
    time.pass_lease()
    delete = registry.driver.delete
    indexer = Indexer(registry.database, registry.driver)
    await registry.driver.write(layout.layer_link(APP, lost), lost.encode())
    await registry.database.write(partial(add_linked, names=[APP]))

    async def adopt_meanwhile(path):
        with pytest.raises(BlobGoing):
            await indexer.blob(APP, lost)
        await delete(path)

    registry.driver.delete = adopt_meanwhile
    swept = await collect(registry)

    assert swept.blobs == 1
    assert not await indexer.blob(APP, lost)


@pytest.mark.parametrize("phase", ["sweep manifests", "sweep links", "sweep blobs"])
async def test_a_run_ends_when_an_adoption_begins_meanwhile(registry, time, phase):
    await registry.push_image("team/app", "one", ONE)
    await registry.client.delete("/v2/team/app/manifests/one")
    await registry.push_blob("team/app", b"lost")
    await registry.driver.write(layout.blob(Digest.of(b"orphan")), b"orphan")
    time.pass_lease()
    await collect(registry, untagged=True)
    time.pass_lease()
    before = await stored(registry)
    begin = partial(store.set_adoption_state, state=AdoptionState.RUNNING)

    async def remember(state):
        if state["phase"] == phase:
            await registry.database.write(begin)

    with pytest.raises(AdoptionRunning):
        await collect(registry, untagged=True, remember=remember)
    assert await stored(registry) == before


async def test_manifests_that_are_each_others_subject_go_together(registry, time):
    lists = []
    for subject, referrer in ((ONE, TWO), (TWO, ONE)):
        fallback = Tag(subject.digest.replace(":", "-"))
        await registry.push_image("team/app", "tag", referrer)
        lists.append((fallback, index([referrer.manifest])))
    for fallback, children in lists:
        await registry.push_manifest("team/app", fallback, children)
    for tag in ("tag", *(fallback for fallback, _ in lists)):
        await registry.client.delete(f"/v2/team/app/manifests/{tag}")
    await collect_all(registry, time, untagged=True)

    assert await stored(registry) == set()


async def test_the_storage_of_another_registry_is_not_emptied(registry, time):
    await registry.driver.write(layout.blob(Digest.of(b"orphan")), b"orphan")
    time.pass_lease()

    with pytest.raises(StorageUnknown, match="nothing was ever pushed to this database"):
        await collect(registry)


async def test_why_names_the_way_to_a_tag_or_the_time_that_is_left(registry, time):
    await registry.push_image("team/app", ONE.digest, ONE)
    multi = index([ONE.manifest])
    await registry.push_manifest("team/app", "v1", multi)
    lost = await registry.push_blob("team/app", b"lost")

    async def why(digest, *, untagged=False):
        options = CollectionOptions(LEASE, untagged)
        found = await registry.database.read(partial(explain, digest=digest, options=options))
        return found.kept, found.lines

    chain = f"index {multi.digest} contains it, tag v1 names it"
    assert await why(ONE.digest) == (True, [f"team/app: a manifest; {chain}"])
    layer = ONE.blobs[-1].digest
    assert await why(layer) == (True, [f"team/app: manifest {ONE.digest} needs it; {chain}"])
    kept, lines = await why(lost)
    assert not kept
    waits = "the next run finds it, and it goes a lease later"
    assert lines == [f"team/app: a blob that no manifest there needs; {waits}"]
    time.pass_lease()
    await collect(registry)
    _, (line,) = await why(lost)
    assert "found unused at " in line
    assert ", goes after " in line
    _, (line,) = await why(Digest.of(b"never seen"))
    assert line.startswith("no row knows it")
    await registry.client.delete("/v2/team/app/manifests/v1")
    assert (await why(multi.digest))[0]
    assert not (await why(multi.digest, untagged=True))[0]


class Everything:
    """A listener that wants all there is."""

    name = "everything"
    batch = 1

    def wants(self, event: Event) -> bool:
        return True

    async def deliver(self, events: Sequence[Recorded]) -> None:
        raise AssertionError("nobody delivers here")


async def test_others_hear_of_images_that_went(registry, time):
    await registry.push_image("team/app", ONE.digest, ONE)
    outbox = Outbox([Everything()])
    time.pass_lease()
    await collect(registry, untagged=True, outbox=outbox)
    time.pass_lease()
    await collect(registry, untagged=True, outbox=outbox)

    def ask(connection):
        rows = connection.execute(text("SELECT kind, body FROM outbox")).all()
        return [(row.kind, ONE.digest in str(row.body)) for row in rows]

    assert await registry.database.read(ask) == [("manifest.deleted", True)]


async def test_what_waits_is_counted(registry, time):
    await registry.push_blob("team/app", b"lost")
    time.pass_lease()
    await collect(registry)

    waiting = await registry.database.read(mark.waiting)

    assert (waiting.blobs, waiting.size) == (1, 4)
    with pytest.raises(PathNotFound):
        await registry.driver.stat(layout.blob(Digest.of(b"other")))
