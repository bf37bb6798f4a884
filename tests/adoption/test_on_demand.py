"""What clients see while an adoption has not come to the repository that they ask for."""

import asyncio
from functools import partial

import pytest

from longshore.adoption import store
from longshore.adoption.indexing import Indexer
from longshore.adoption.upstream import OnDemand
from longshore.oci.names import RepositoryName
from longshore.storage import layout
from longshore.testing.builders import artifact, image, index
from tests.adoption.adopting import begun, finished, names, notice, referrers, resolve, tags

pytestmark = pytest.mark.anyio

NAME = RepositoryName("team/app")


async def until(upstream: OnDemand, *, active: bool) -> None:
    while upstream.active is not active:  # noqa: ASYNC110 - a server has no event for that
        await asyncio.sleep(0.01)


async def test_an_image_is_pulled_at_once(legacy, registry):
    picture = image([b"one", b"two"])
    parent = index([picture.manifest])
    await legacy.push(NAME, picture)
    await legacy.manifest(NAME, parent, "latest")
    await begun(registry)

    by_tag = await registry.client.get(f"/v2/{NAME}/manifests/latest")
    child = await registry.client.get(f"/v2/{NAME}/manifests/{picture.digest}")
    blobs = [await registry.client.get(f"/v2/{NAME}/blobs/{blob.digest}") for blob in picture.blobs]

    assert by_tag.content == parent.data
    assert child.content == picture.manifest.data
    assert [blob.content for blob in blobs] == [blob.data for blob in picture.blobs]
    assert await registry.database.read(partial(store.is_waiting, name=NAME))


async def test_a_blob_is_found_by_its_link_alone(legacy, registry):
    picture, other = image([b"one"]), image([b"other"])
    await legacy.push(NAME, picture)
    await legacy.push("other", other)
    await begun(registry)

    found = await registry.client.get(f"/v2/{NAME}/blobs/{picture.blobs[1].digest}")
    foreign = await registry.client.get(f"/v2/{NAME}/blobs/{other.blobs[1].digest}")

    assert (found.content, foreign.status_code) == (b"one", 404)


async def test_tags_catalog_and_referrers_are_complete_at_once(legacy, registry):
    picture = image()
    signature = artifact(picture.manifest)
    await legacy.push(NAME, picture, "v1", "v2", "v3")
    await legacy.push(NAME, signature)
    for number in range(5):
        await legacy.push(f"many/{number}", picture, "v1")
    await begun(registry)
    assert await resolve(registry, NAME, "v2") == picture.digest

    assert await names(registry) == [*(f"many/{number}" for number in range(5)), NAME]
    assert await names(registry, "?n=2&last=many/1") == ["many/2", "many/3"]
    assert await tags(registry, NAME) == ["v1", "v2", "v3"]
    assert await referrers(registry, NAME, picture.digest) == [signature.digest]


async def test_what_does_not_exist_is_not_found(legacy, registry):
    await legacy.push(NAME, image(), "v1")
    await begun(registry)

    for name, reference in ((NAME, "v2"), (NAME, image([b"none"]).digest), ("unheard/of", "v1")):
        assert await resolve(registry, name, reference) is None
    assert (await registry.client.get("/v2/unheard/of/tags/list")).status_code == 404


async def test_a_push_meets_all_that_was_there(legacy, registry):
    old, new = image([b"layer"]), image([b"layer"], annotations={"new": "yes"})
    await legacy.push(NAME, old, "v1", "latest")
    await begun(registry)

    answer = await registry.push_manifest(NAME, "latest", new.manifest)

    assert answer.status_code == 201, answer.text
    await finished(registry)
    assert await resolve(registry, NAME, "latest") == new.digest
    assert await resolve(registry, NAME, "v1") == old.digest


async def test_what_is_deleted_meanwhile_does_not_come_back(legacy, registry):
    kept, gone = image([b"kept"]), image([b"gone"])
    await legacy.push(NAME, kept, "kept", "untagged")
    await legacy.push(NAME, gone, "gone")
    await legacy.push("blobs", kept, "kept")
    await begun(registry)

    for path in (
        f"{NAME}/manifests/untagged",
        f"{NAME}/manifests/{gone.digest}",
        f"blobs/blobs/{kept.blobs[1].digest}",
    ):
        assert (await registry.client.delete(f"/v2/{path}")).status_code == 202
    await finished(registry)

    assert await tags(registry, NAME) == ["kept"]
    assert await resolve(registry, NAME, gone.digest) is None
    assert (await registry.client.get(f"/v2/blobs/blobs/{kept.blobs[1].digest}")).status_code == 404


async def test_a_blob_is_mounted_from_a_repository_that_waits(legacy, registry):
    picture = image()
    await legacy.push(NAME, picture, "v1")
    await begun(registry)

    layer = picture.blobs[1].digest
    answer = await registry.client.post(f"/v2/new/blobs/uploads/?mount={layer}&from={NAME}")

    assert answer.status_code == 201


async def test_a_tag_that_was_pushed_before_the_adoption_was_noticed_stays(legacy, registry):
    old, new = image([b"old"]), image([b"new"])
    await legacy.push(NAME, old, "latest", "v1")
    await registry.push_image(NAME, "latest", new)
    await begun(registry)
    await finished(registry)

    assert await resolve(registry, NAME, "latest") == new.digest
    assert await resolve(registry, NAME, "v1") == old.digest


async def test_many_clients_at_once_are_served(legacy, cluster):
    pictures = [image([str(number).encode()]) for number in range(10)]
    for number, picture in enumerate(pictures):
        await legacy.push(NAME, picture, f"v{number}")
    async with cluster.node() as one, cluster.node() as two:
        await begun(one)
        await notice(two)

        found = await asyncio.gather(
            *(resolve(node, NAME, f"v{n % 10}") for node in (one, two) for n in range(30)),
            *(tags(node, NAME) for node in (one, two)),
        )

        assert found[:10] == [picture.digest for picture in pictures]
        assert found[-1] == found[-2] == [f"v{number}" for number in range(10)]


async def test_a_client_is_not_kept_waiting_for_a_large_repository(legacy, registry, monkeypatch):
    go_on = asyncio.Event()
    repository = Indexer.repository

    async def slowly(self, name, progress=None):
        await go_on.wait()
        await repository(self, name, progress)

    monkeypatch.setattr(Indexer, "repository", slowly)
    picture = image()
    await legacy.push(NAME, picture, "v1")
    await begun(registry)
    registry.upstream._patience = 0.05

    busy = await registry.client.get(f"/v2/{NAME}/tags/list")
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "10")
    assert "just being taken over" in busy.text
    assert await resolve(registry, NAME, "v1") == picture.digest
    registry.upstream._patience = 5.0
    go_on.set()

    assert await tags(registry, NAME) == ["v1"]


async def test_nobody_asks_before_an_adoption_and_after_it(legacy, registry, monkeypatch):
    await legacy.push(NAME, image(), "v1")
    assert await resolve(registry, NAME, "v1") is None
    await begun(registry)
    await finished(registry)

    def never(*_: object) -> None:
        raise AssertionError("asked")

    for method in ("find_manifest", "find_blob", "complete", "names"):
        monkeypatch.setattr(OnDemand, method, never)

    assert await tags(registry, NAME) == ["v1"]
    assert await resolve(registry, NAME, "v2") is None
    assert await names(registry) == [NAME]


async def test_a_running_server_notices_an_adoption_and_its_end(legacy, cluster, database_url):
    await legacy.push(NAME, image(), "v1")
    async with cluster.node() as node:
        upstream = OnDemand(node.database, node.driver, poll=0.02)
        async with upstream.running():
            assert not upstream.active
            await begun(node)
            await until(upstream, active=True)
            await finished(node)
            await until(upstream, active=False)


@pytest.mark.parametrize("there", [True, False])
async def test_a_server_that_serves_nothing_of_a_full_storage_says_so(
    legacy, registry, caplog, there
):
    if there:
        await legacy.push(NAME, image(), "v1")

    async with OnDemand(registry.database, registry.driver).running(suggest=True):
        pass

    assert ("`longshore adopt CONFIG`" in caplog.text) is there


async def test_a_missing_link_is_asked_for_again(legacy, registry):
    picture = image()
    await legacy.push(NAME, picture)
    await begun(registry)
    assert await resolve(registry, NAME, "late") is None

    await legacy.link(layout.tag_link(NAME, "late"), picture.digest)

    assert await resolve(registry, NAME, "late") == picture.digest
