"""Offline collection: nothing reachable goes, everything else does, and the report is true."""

import anyio.to_thread
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longshore.db import occupancy
from longshore.gc.offline import OfflineCollection, reach
from longshore.gc.store.offline import Node
from longshore.gc.unknown import StorageUnknown
from longshore.oci.digest import Digest
from longshore.storage import layout
from longshore.storage.driver import StorageUnavailable
from longshore.testing.builders import artifact, image, index

pytestmark = pytest.mark.anyio

ONE, TWO = image([b"one"]), image([b"two"])


async def collect(registry, **options):
    lines: list[str] = []
    run = OfflineCollection(registry.database, registry.backends, lines.append, **options)
    return await run.run(), lines


async def stored(registry):
    found = [layout.blob_digest(entry.path) async for entry in registry.driver.list(layout.BLOBS)]
    return {digest for digest in found if digest}


def everything(*images):
    return {blob.digest for picture in images for blob in [*picture.blobs, picture.manifest]}


async def test_what_a_manifest_refers_to_stays_and_the_rest_goes(registry):
    await registry.push_image("team/app", "one", ONE)
    await registry.push_blob("team/app", b"nobody refers to me")

    report, lines = await collect(registry)

    assert await stored(registry) == everything(ONE)
    assert (report.blobs, report.links, report.freed) == (1, 1, 19)
    assert f"blob eligible for deletion: {Digest.of(b'nobody refers to me')}" in lines
    assert (await registry.client.get("/v2/team/app/manifests/one")).status_code == 200


async def test_a_dry_run_says_the_same_and_changes_nothing(registry):
    await registry.push_image("team/app", "one", ONE)
    await registry.push_image("team/app", TWO.digest, TWO)
    before = await stored(registry)

    told, dry_lines = await collect(registry, dry_run=True, delete_untagged=True)
    after = await stored(registry)
    done, lines = await collect(registry, delete_untagged=True)

    assert after == before
    assert (told, dry_lines) == (done, lines)
    assert await stored(registry) == everything(ONE)


async def test_untagged_manifests_stay_unless_asked(registry):
    await registry.push_image("team/app", ONE.digest, ONE)

    await collect(registry)
    assert await stored(registry) == everything(ONE)
    await collect(registry, delete_untagged=True)
    assert await stored(registry) == set()


async def test_children_of_a_tagged_index_and_what_refers_to_them_stay(registry):
    sbom = artifact(ONE.manifest)
    signature = artifact(sbom.manifest, "application/vnd.example.signature")
    for picture in (ONE, TWO, sbom, signature):
        await registry.push_image("team/app", picture.digest, picture)
    await registry.push_manifest("team/app", "multi", index([ONE.manifest]))

    report, _ = await collect(registry, delete_untagged=True)

    assert report.manifests == 1
    for kept in (ONE, sbom, signature):
        path = f"/v2/team/app/manifests/{kept.digest}"
        assert (await registry.client.get(path)).status_code == 200
    gone = await registry.client.get(f"/v2/team/app/manifests/{TWO.digest}")
    assert gone.status_code == 404


async def test_bytes_that_another_repository_needs_stay(registry):
    await registry.push_image("team/app", "one", ONE)
    await registry.push_image("team/other", "one", ONE)
    await registry.client.delete(f"/v2/team/app/manifests/{ONE.digest}")

    await collect(registry)

    assert await stored(registry) == everything(ONE)
    layer = f"/v2/team/app/blobs/{ONE.blobs[0].digest}"
    assert (await registry.client.get(layer)).status_code == 404


async def test_bytes_that_no_row_ever_knew_go(registry):
    await registry.push_image("team/app", "one", ONE)
    await registry.driver.write(layout.blob(Digest.of(b"orphan")), b"orphan")

    report, _ = await collect(registry)

    assert report.blobs == 1
    assert await stored(registry) == everything(ONE)


async def test_bytes_that_storage_refuses_to_delete_do_not_keep_the_rest(registry, monkeypatch):
    await registry.push_image("team/app", "one", ONE)
    stuck, loose = Digest.of(b"stuck"), Digest.of(b"loose one")
    await registry.driver.write(layout.blob(stuck), b"stuck")
    await registry.driver.write(layout.blob(loose), b"loose one")
    delete = registry.driver.delete

    async def refuse_one(path):
        if path == layout.blob(stuck):
            raise StorageUnavailable("filesystem", path, "permission denied")
        await delete(path)

    with monkeypatch.context() as patch:
        patch.setattr(registry.driver, "delete", refuse_one)
        report, lines = await collect(registry)

    assert (report.blobs, report.failed, report.freed) == (2, 1, 9)
    assert any(line.startswith(f"blob left in place: {stuck}: ") for line in lines)
    assert await stored(registry) == everything(ONE) | {stuck}

    report, _ = await collect(registry)
    assert (report.blobs, report.failed, report.freed) == (1, 0, 5)
    assert await stored(registry) == everything(ONE)


async def test_what_only_looks_like_a_blob_is_left_alone(registry):
    await registry.push_image("team/app", "one", ONE)
    strange = [f"{layout.BLOBS}/{tail}" for tail in ("sha256/zz/zz/data", "sha256/ab/data", "x")]
    for path in strange:
        await registry.driver.write(path, b"strange")

    report, _ = await collect(registry)

    assert report.blobs == 0
    for path in strange:
        assert await registry.driver.read(path) == b"strange"


async def test_the_storage_of_another_registry_is_not_emptied(registry):
    """The directory of a registry that was not taken over, or the wrong database."""
    orphan = Digest.of(b"orphan")
    await registry.driver.write(layout.blob(orphan), b"orphan")
    with pytest.raises(StorageUnknown, match="nothing was ever pushed to this database"):
        await collect(registry, delete_untagged=True)

    await registry.push_image("team/app", "one", ONE)
    link = f"_manifests/revisions/sha256/{orphan.hex}/link"
    await registry.driver.write(f"{layout.REPOSITORIES}/team/app/{link}", orphan.encode())
    await registry.driver.write(f"{layout.REPOSITORIES}/library/old/{link}", orphan.encode())
    with pytest.raises(StorageUnknown, match="'library/old'"):
        await collect(registry, dry_run=True)

    assert orphan in await stored(registry)


async def test_no_collection_while_a_server_accepts_pushes(registry):
    def try_alone():
        with occupancy.alone(registry.database):
            pass

    def server():
        with (
            occupancy.sharing(registry.database),
            occupancy.sharing(registry.database),
            pytest.raises(occupancy.Occupied),
        ):
            try_alone()
        try_alone()

    await anyio.to_thread.run_sync(server)


@st.composite
def graphs(draw):
    """A repository's manifests: some tagged, indexes over earlier ones, subjects anywhere."""
    count = draw(st.integers(0, 12))
    nodes, edges = [], {}
    for number in range(count):
        subject = draw(st.none() | st.integers(0, count - 1).map(str))
        nodes.append(Node(number, str(number), subject, draw(st.booleans())))
        earlier = st.integers(0, max(number - 1, 0)).map(str)
        edges[number] = draw(st.lists(earlier, max_size=3)) if number else []
    return nodes, edges


@given(graphs())
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_reach_is_the_smallest_set_closed_under_the_rules(graph):
    nodes, edges = graph
    expected = {node.id for node in nodes if node.tagged}
    while True:
        more = {int(digest) for i in expected for digest in edges[i]}
        more |= {n.id for n in nodes if n.subject is not None and int(n.subject) in expected}
        if more <= expected:
            break
        expected |= more

    assert reach(nodes, edges) == expected
