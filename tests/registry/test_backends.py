"""Repositories whose bytes lie in different backends."""

import pytest

from longshore.oci.digest import Digest
from longshore.registry.expiry import UploadExpiry
from longshore.storage import layout
from longshore.storage.backends import Placement
from longshore.storage.driver import PathNotFound
from longshore.testing.builders import image, random_bytes

pytestmark = pytest.mark.anyio

SMALL, LARGE = random_bytes(1000), random_bytes(3 << 20)


@pytest.fixture
def cluster(cluster):
    cluster.named = ("cold", "fast")
    cluster.rules = (
        Placement("archive/**", "cold"),
        Placement("*/build", "fast"),
        Placement("team/**", ""),
        Placement("**", "fast"),
    )
    return cluster


async def places(registry, digest):
    """The backends that have the bytes."""
    found = []
    for name, backend in registry.backends.all.items():
        try:
            await backend.driver.stat(layout.blob(digest))
        except PathNotFound:
            continue
        found.append(name)
    return found


async def push_in_chunks(registry, name, data):
    """As docker does: the bytes are staged first."""
    location = await registry.begin(name)
    answer = await registry.client.patch(location, content=data)
    digest = Digest.of(data)
    answer = await registry.client.put(f"{answer.headers['location']}?digest={digest}")
    assert answer.status_code == 201, answer.text
    return digest


async def pull(registry, name, digest):
    answer = await registry.client.get(f"/v2/{name}/blobs/{digest}")
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("archive/2020/app", "cold"),
        ("team/app", ""),
        ("team/build", "fast"),
        ("other", "fast"),
        ("archives/app", "fast"),
    ],
)
@pytest.mark.parametrize("data", [SMALL, LARGE, b""], ids=["small", "large", "empty"])
async def test_the_first_rule_for_a_repository_says_where_bytes_go(registry, name, place, data):
    digest = await push_in_chunks(registry, name, data)

    assert await places(registry, digest) == [place]
    assert await pull(registry, name, digest) == data


async def test_an_image_lies_where_its_repository_belongs_manifest_and_all(registry):
    pushed = image()
    await registry.push_image("archive/app", "v1", pushed)
    answer = await registry.client.get("/v2/archive/app/manifests/v1")

    assert answer.content == pushed.manifest.data
    for content in (*pushed.blobs, pushed.manifest):
        assert await places(registry, content.descriptor.digest) == ["cold"]


@pytest.mark.parametrize("push", [push_in_chunks, lambda r, n, d: r.push_blob(n, d)])
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
async def test_what_is_there_already_is_not_stored_twice(registry, push, data):
    digest = await push(registry, "archive/app", data)
    await push(registry, "team/app", data)

    assert await places(registry, digest) == ["cold"]
    assert await pull(registry, "team/app", digest) == data
    assert [upload async for upload in registry.driver.list_staged()] == []


async def test_a_manifest_that_two_repositories_have_lies_in_one_place(registry):
    pushed = image()
    for name in ("team/app", "archive/app", "other"):
        await registry.push_image(name, "v1", pushed)

    assert await places(registry, pushed.manifest.descriptor.digest) == [""]
    for name in ("team/app", "archive/app", "other"):
        answer = await registry.client.get(f"/v2/{name}/manifests/v1")
        assert answer.content == pushed.manifest.data


async def test_a_mounted_blob_stays_where_it_is(registry):
    digest = await registry.push_blob("archive/app", SMALL)
    answer = await registry.client.post(
        f"/v2/team/app/blobs/uploads/?mount={digest}&from=archive/app"
    )

    assert answer.status_code == 201
    assert await pull(registry, "team/app", digest) == SMALL
    assert await places(registry, digest) == ["cold"]


async def test_bytes_that_another_backend_lost_are_healed_by_a_push(registry):
    digest = await push_in_chunks(registry, "archive/app", LARGE)
    await registry.backends["cold"].driver.delete(layout.blob(digest))
    await push_in_chunks(registry, "team/app", LARGE)

    assert await places(registry, digest) == [""]
    assert await pull(registry, "archive/app", digest) == LARGE


async def test_an_upload_stays_in_the_backend_where_it_began(cluster):
    async with cluster.node() as before:
        location = await before.begin("archive/app")
        answer = await before.client.patch(location, content=LARGE[:2000000])
    cluster.rules = ()
    async with cluster.node() as after:
        digest = Digest.of(LARGE)
        answer = await after.client.put(
            f"{answer.headers['location']}?digest={digest}", content=LARGE[2000000:]
        )

        assert answer.status_code == 201
        assert await places(after, digest) == ["cold"]
        assert await pull(after, "archive/app", digest) == LARGE


async def test_a_backend_that_is_not_configured_any_more_is_named_in_the_log(cluster, caplog):
    async with cluster.node() as before:
        digest = await before.push_blob("archive/app", SMALL)
    cluster.named, cluster.rules = (), ()
    async with cluster.node() as after:
        answer = await after.client.get(f"/v2/archive/app/blobs/{digest}")

    assert answer.status_code == 503
    assert "no backend 'cold'" in caplog.text


async def test_idle_uploads_are_removed_from_every_backend(registry):
    for name in ("archive/app", "team/app", "other"):
        location = await registry.begin(name)
        await registry.client.patch(location, content=SMALL)
    await UploadExpiry(registry.database, registry.backends, age=-1).once()

    for backend in registry.backends.all.values():
        assert [upload async for upload in backend.driver.list_staged()] == []
