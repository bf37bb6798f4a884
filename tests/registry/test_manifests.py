"""Manifests and tags: stored byte for byte, checked, conditional, removed."""

import json

import anyio
import pytest

from longshore.oci import mediatypes
from longshore.oci.descriptor import Platform
from longshore.oci.digest import Digest
from longshore.registry.install import DataPlaneOptions
from longshore.registry.validation import ManifestValidation
from longshore.testing.builders import content, image, index

pytestmark = pytest.mark.anyio

IMAGE = image([b"one", b"two"])
MANIFESTS = "/v2/team/app/manifests"


def code(response):
    return response.json()["errors"][0]["code"]


def message(response):
    return response.json()["errors"][0]["message"]


async def test_an_image_is_served_by_tag_and_by_digest_as_it_was_pushed(registry):
    pushed = await registry.push_image("team/app", "v1", IMAGE)

    for reference in ("v1", IMAGE.digest):
        response = await registry.client.get(f"{MANIFESTS}/{reference}")
        assert response.content == IMAGE.manifest.data
        assert response.headers["content-type"] == mediatypes.OCI_MANIFEST
        assert response.headers["docker-content-digest"] == IMAGE.digest
        assert response.headers["etag"] == f'"{IMAGE.digest}"'
    assert pushed.headers["location"] == f"{MANIFESTS}/{IMAGE.digest}"
    assert pushed.headers["docker-content-digest"] == IMAGE.digest


@pytest.mark.parametrize("accept", [None, "*/*", "text/html", mediatypes.DOCKER_MANIFEST])
async def test_the_stored_type_is_served_whatever_the_client_accepts(registry, accept):
    await registry.push_image("team/app", "v1", IMAGE)

    headers = {"Accept": accept} if accept else {}
    response = await registry.client.get(f"{MANIFESTS}/v1", headers=headers)

    assert response.status_code == 200
    assert response.headers["content-type"] == mediatypes.OCI_MANIFEST


async def test_odd_whitespace_in_a_manifest_survives(registry):
    for blob in IMAGE.blobs:
        await registry.push_blob("team/app", blob.data)
    odd = content(b"\n  " + IMAGE.manifest.data + b" \n", mediatypes.OCI_MANIFEST)

    await registry.push_manifest("team/app", "odd", odd)
    response = await registry.client.get(f"{MANIFESTS}/odd")

    assert response.content == odd.data


async def test_a_head_has_the_headers_and_no_body(registry):
    await registry.push_image("team/app", "v1", IMAGE)

    response = await registry.client.head(f"{MANIFESTS}/v1")

    assert response.headers["content-length"] == str(len(IMAGE.manifest.data))
    assert response.content == b""


async def test_a_client_that_has_the_manifest_is_told_so(registry):
    await registry.push_image("team/app", "v1", IMAGE)

    response = await registry.client.get(
        f"{MANIFESTS}/v1", headers={"If-None-Match": f'"{IMAGE.digest}"'}
    )

    assert response.status_code == 304


async def test_a_manifest_whose_blobs_are_missing_is_refused_with_their_digests(registry):
    await registry.push_blob("team/app", IMAGE.blobs[0].data)

    response = await registry.push_manifest("team/app", "v1", IMAGE.manifest)

    assert response.status_code == 400
    assert code(response) == "MANIFEST_BLOB_UNKNOWN"
    assert IMAGE.blobs[1].digest in message(response)
    assert IMAGE.blobs[0].digest not in message(response)
    assert (await registry.client.get(f"{MANIFESTS}/v1")).status_code == 404


async def test_blobs_of_another_repository_do_not_count(registry):
    await registry.push_image("team/base", "v1", IMAGE)

    response = await registry.push_manifest("team/app", "v1", IMAGE.manifest)

    assert code(response) == "MANIFEST_BLOB_UNKNOWN"


async def test_an_index_needs_its_children_in_the_repository(registry):
    arm = image([b"arm"], platform=Platform("linux", "arm64"))
    both = index([IMAGE.manifest, arm.manifest])
    await registry.push_image("team/app", IMAGE.digest, IMAGE)

    refused = await registry.push_manifest("team/app", "multi", both)
    await registry.push_image("team/app", arm.digest, arm)
    accepted = await registry.push_manifest("team/app", "multi", both)

    assert code(refused) == "MANIFEST_BLOB_UNKNOWN"
    assert accepted.status_code == 201


async def test_an_index_of_indexes_and_an_index_of_blobs_are_accepted(registry):
    await registry.push_image("team/app", "v1", IMAGE)
    inner = index([IMAGE.manifest])
    await registry.push_manifest("team/app", inner.digest, inner)
    nested = index([inner, IMAGE.manifest])
    cache = index([IMAGE.blobs[0]])  # what BuildKit's registry cache looks like

    assert (await registry.push_manifest("team/app", "nested", nested)).status_code == 201
    assert (await registry.push_manifest("team/app", "cache", cache)).status_code == 201


async def test_a_sparse_index_is_accepted_where_that_is_allowed(cluster):
    sparse = index([IMAGE.manifest])
    options = DataPlaneOptions(validation=ManifestValidation(platforms="none"))
    async with cluster.node(options) as registry:
        response = await registry.push_manifest("team/app", "sparse", sparse)

    assert response.status_code == 201


async def test_layers_that_stay_elsewhere_need_not_be_pushed(registry):
    foreign = {
        "mediaType": mediatypes.DOCKER_FOREIGN_LAYER,
        "digest": "sha256:" + "f" * 64,
        "size": 5,
        "urls": ["https://elsewhere.example/layer"],
    }
    document = {**json.loads(IMAGE.manifest.data), "layers": [foreign]}
    await registry.push_blob("team/app", IMAGE.blobs[0].data)

    response = await registry.push_manifest(
        "team/app", "v1", content(json.dumps(document).encode(), mediatypes.OCI_MANIFEST)
    )

    assert response.status_code == 201


async def test_schema_1_is_refused_with_the_way_out(registry):
    old = content(b'{"schemaVersion": 1, "name": "a"}', mediatypes.DOCKER_SCHEMA1_SIGNED)

    response = await registry.push_manifest("team/app", "v1", old)

    assert code(response) == "MANIFEST_INVALID"
    assert "skopeo" in message(response)


async def test_a_manifest_above_the_limit_is_refused_with_413(registry):
    big = content(json.dumps({"x": "y" * (4 << 20)}).encode(), "application/vnd.example+json")

    response = await registry.push_manifest("team/app", "v1", big)

    assert response.status_code == 413
    assert "longshore.manifests.maxsize" in message(response)


async def test_a_digest_that_is_not_the_bodys_is_refused(registry):
    response = await registry.push_manifest("team/app", "sha256:" + "0" * 64, IMAGE.manifest)

    assert code(response) == "DIGEST_INVALID"


async def test_one_push_may_set_many_tags(registry):
    await registry.push_image("team/app", IMAGE.digest, IMAGE)
    query = "&".join(f"tag=t{n}" for n in range(12))

    response = await registry.push_manifest("team/app", f"{IMAGE.digest}?{query}", IMAGE.manifest)

    listed = (await registry.client.get("/v2/team/app/tags/list")).json()["tags"]
    assert response.status_code == 201
    assert {tag.strip() for tag in response.headers["oci-tag"].split(",")} == set(listed)
    assert len(listed) == 12


async def test_a_malformed_tag_parameter_leaves_everything_as_it_was(registry):
    await registry.push_image("team/app", IMAGE.digest, IMAGE)

    response = await registry.push_manifest(
        "team/app", f"{IMAGE.digest}?tag=good&tag=b%20d", IMAGE.manifest
    )

    assert code(response) == "TAG_INVALID"
    assert (await registry.client.get(f"{MANIFESTS}/good")).status_code == 404


async def test_a_tag_moves_and_the_old_manifest_stays_by_digest(registry):
    newer = image([b"three"])
    await registry.push_image("team/app", "latest", IMAGE)
    await registry.push_image("team/app", "latest", newer)

    latest = await registry.client.get(f"{MANIFESTS}/latest")
    old = await registry.client.get(f"{MANIFESTS}/{IMAGE.digest}")

    assert latest.headers["docker-content-digest"] == newer.digest
    assert old.status_code == 200


async def test_an_update_on_a_condition_is_refused_when_somebody_was_faster(registry):
    newer, newest = image([b"three"]), image([b"four"])
    await registry.push_image("team/app", "latest", IMAGE)
    for picture in (newer, newest):
        await registry.push_image("team/app", picture.digest, picture)

    async def put(picture, **headers):
        return await registry.client.put(
            f"{MANIFESTS}/latest",
            content=picture.manifest.data,
            headers={"Content-Type": mediatypes.OCI_MANIFEST, **headers},
        )

    first = await put(newer, **{"If-Match": f'"{IMAGE.digest}"'})
    second = await put(newest, **{"If-Match": f'"{IMAGE.digest}"'})
    third = await put(newest, **{"If-None-Match": "*"})

    assert (first.status_code, second.status_code, third.status_code) == (201, 412, 412)
    assert newer.digest in message(second)


async def test_deleting_a_tag_only_untags(registry):
    await registry.push_image("team/app", "v1", IMAGE)
    await registry.push_image("team/app", "v2", IMAGE)

    assert (await registry.client.delete(f"{MANIFESTS}/v1")).status_code == 202
    assert (await registry.client.get(f"{MANIFESTS}/v1")).status_code == 404
    assert (await registry.client.get(f"{MANIFESTS}/v2")).status_code == 200
    assert (await registry.client.get(f"{MANIFESTS}/{IMAGE.digest}")).status_code == 200


async def test_deleting_a_digest_takes_its_tags_along(registry):
    await registry.push_image("team/app", "v1", IMAGE)
    await registry.push_image("team/app", "v2", IMAGE)

    assert (await registry.client.delete(f"{MANIFESTS}/{IMAGE.digest}")).status_code == 202
    for reference in ("v1", "v2", IMAGE.digest):
        response = await registry.client.get(f"{MANIFESTS}/{reference}")
        assert code(response) == "MANIFEST_UNKNOWN"


async def test_a_deleted_manifest_can_be_pushed_again(registry):
    await registry.push_image("team/app", "v1", IMAGE)
    await registry.client.delete(f"{MANIFESTS}/{IMAGE.digest}")

    assert (await registry.push_manifest("team/app", "v1", IMAGE.manifest)).status_code == 201
    assert (await registry.client.get(f"{MANIFESTS}/v1")).content == IMAGE.manifest.data


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_what_is_unknown_is_told_apart(registry, method):
    await registry.push_image("team/app", "v1", IMAGE)

    unknown = "sha256:" + "0" * 64
    for path, expected in [
        ("/v2/no/such/manifests/v1", "NAME_UNKNOWN"),
        (f"{MANIFESTS}/nope", "MANIFEST_UNKNOWN"),
        (f"{MANIFESTS}/{unknown}", "MANIFEST_UNKNOWN"),
    ]:
        response = await registry.client.request(method, path)
        assert response.status_code == 404
        if method != "HEAD":
            assert code(response) == expected


async def test_concurrent_pushes_of_one_tag_leave_one_whole_image(cluster):
    images = [image([f"layer {n}".encode()]) for n in range(8)]
    async with cluster.node() as first, cluster.node() as second:

        async def push(node, picture):
            await node.push_image("team/app", "latest", picture)

        async with anyio.create_task_group() as group:
            for n, picture in enumerate(images):
                group.start_soon(push, (first, second)[n % 2], picture)
        latest = await first.client.get(f"{MANIFESTS}/latest")
        same = await second.client.get(f"{MANIFESTS}/latest")

    assert latest.content == same.content
    assert Digest.of(latest.content) in {picture.digest for picture in images}


async def test_a_push_is_seen_at_once_by_every_node(cluster):
    async with cluster.node() as first, cluster.node() as second:
        for n in range(20):
            picture = image([f"layer {n}".encode()])
            await first.push_image("team/app", "latest", picture)
            response = await second.client.get(f"{MANIFESTS}/latest")
            assert response.headers["docker-content-digest"] == picture.digest
