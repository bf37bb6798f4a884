"""Blobs: ranges, conditions, mounts, deletes, and who may read what."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.http.ranges import parse_range
from longshore.oci.digest import Digest
from longshore.oci.errors import RangeInvalid
from longshore.registry.install import DataPlaneOptions
from longshore.testing.builders import random_bytes

pytestmark = pytest.mark.anyio

DATA = random_bytes(1000)
DIGEST = Digest.of(DATA)
BLOB = f"/v2/team/app/blobs/{DIGEST}"
OTHER = "sha256:" + "0" * 64


def code(response):
    return response.json()["errors"][0]["code"]


@pytest.mark.parametrize(
    ("asked", "status", "expected", "told"),
    [
        ("bytes=0-9", 206, DATA[:10], "bytes 0-9/1000"),
        ("bytes=990-", 206, DATA[990:], "bytes 990-999/1000"),
        ("bytes=-5", 206, DATA[-5:], "bytes 995-999/1000"),
        ("bytes=0-99999", 206, DATA, "bytes 0-999/1000"),
        ("bytes=-99999", 206, DATA, "bytes 0-999/1000"),
        ("bytes=0-1,5-6", 200, DATA, None),
        ("chunks=0-1", 200, DATA, None),
        ("bytes=abc", 200, DATA, None),
    ],
)
async def test_a_range_is_served_or_ignored_as_http_says(registry, asked, status, expected, told):
    await registry.push_blob("team/app", DATA)

    response = await registry.client.get(BLOB, headers={"Range": asked})

    assert response.status_code == status
    assert response.content == expected
    assert response.headers.get("content-range") == told


@pytest.mark.parametrize("asked", ["bytes=1000-", "bytes=5000-6000", "bytes=-0", "bytes=9-1"])
async def test_a_range_outside_is_refused_with_the_size(registry, asked):
    await registry.push_blob("team/app", DATA)

    response = await registry.client.get(BLOB, headers={"Range": asked})

    assert response.status_code == 416
    assert response.headers["content-range"] == "bytes */1000"


async def test_a_range_of_another_version_is_ignored(registry):
    await registry.push_blob("team/app", DATA)
    asked = {"Range": "bytes=0-9"}

    same = await registry.client.get(BLOB, headers={**asked, "If-Range": f'"{DIGEST}"'})
    other = await registry.client.get(BLOB, headers={**asked, "If-Range": '"x"'})

    assert (same.status_code, other.status_code) == (206, 200)


@given(st.text("bytes=-0123456789, ", max_size=20), st.integers(0, 50))
@settings(max_examples=300)
def test_whatever_the_range_header_says_only_bytes_that_exist_are_served(header, size):
    content = bytes(range(size))
    try:
        part = parse_range(header, size)
    except RangeInvalid as error:
        assert error.headers["Content-Range"] == f"bytes */{size}"
        return
    if part is not None:
        assert 0 <= part.start < size
        assert len(content[part.start : part.start + part.length]) == part.length > 0


async def test_a_head_has_the_headers_and_no_body(registry):
    await registry.push_blob("team/app", DATA)

    response = await registry.client.head(BLOB)

    assert response.headers["content-length"] == "1000"
    assert response.headers["docker-content-digest"] == DIGEST
    assert response.content == b""


@pytest.mark.parametrize("etag", [f'"{DIGEST}"', DIGEST, f'W/"{DIGEST}"', "*", f'"x", "{DIGEST}"'])
async def test_a_client_that_has_the_blob_is_told_so(registry, etag):
    await registry.push_blob("team/app", DATA)

    response = await registry.client.get(BLOB, headers={"If-None-Match": etag})

    assert response.status_code == 304
    assert response.headers["etag"] == f'"{DIGEST}"'


async def test_bytes_of_another_repository_are_unknown_here(registry):
    await registry.push_blob("team/secret", DATA)

    response = await registry.client.get(BLOB)

    assert response.status_code == 404
    assert code(response) == "BLOB_UNKNOWN"


async def test_a_blob_is_mounted_from_another_repository(registry):
    await registry.push_blob("team/base", DATA)

    response = await registry.client.post(
        f"/v2/team/app/blobs/uploads/?mount={DIGEST}&from=team/base"
    )

    assert response.status_code == 201
    assert response.headers["location"] == BLOB
    assert response.headers["docker-content-digest"] == DIGEST
    assert (await registry.client.get(BLOB)).content == DATA


async def test_a_blob_is_mounted_from_anywhere_when_no_source_is_named(registry):
    await registry.push_blob("team/base", DATA)

    response = await registry.client.post(f"/v2/team/app/blobs/uploads/?mount={DIGEST}")

    assert response.status_code == 201


@pytest.mark.parametrize(
    "query",
    [
        f"?mount={OTHER}&from=team/base",
        f"?mount={DIGEST}&from=no/such",
        f"?mount={DIGEST}&from=NOT/A/NAME",
        "?mount=sha256:x&from=team/base",
        f"?mount={OTHER}",
    ],
)
async def test_a_mount_that_cannot_be_becomes_an_upload(registry, query):
    await registry.push_blob("team/base", DATA)

    response = await registry.client.post(f"/v2/team/app/blobs/uploads/{query}")

    assert response.status_code == 202
    assert "/blobs/uploads/" in response.headers["location"]


async def test_a_deleted_blob_is_gone_here_and_stays_elsewhere(registry):
    await registry.push_blob("team/app", DATA)
    await registry.push_blob("team/base", DATA)

    assert (await registry.client.delete(BLOB)).status_code == 202
    assert (await registry.client.get(BLOB)).status_code == 404
    assert (await registry.client.delete(BLOB)).status_code == 404
    assert (await registry.client.get(BLOB.replace("app", "base"))).content == DATA


async def test_where_deleting_is_off_it_is_refused_with_the_switch(cluster):
    async with cluster.node(DataPlaneOptions(deletes=False)) as registry:
        await registry.push_blob("team/app", DATA)
        response = await registry.client.delete(BLOB)

    assert response.status_code == 405
    assert code(response) == "UNSUPPORTED"
    assert "storage.delete.enabled" in response.json()["errors"][0]["message"]


async def test_a_blob_deleted_by_another_node_is_gone_at_once(cluster):
    async with cluster.node() as first, cluster.node() as second:
        await first.push_blob("team/app", DATA)
        assert (await second.client.get(BLOB)).status_code == 200
        await first.client.delete(BLOB)
        gone = await second.client.get(BLOB)

    assert gone.status_code == 404
