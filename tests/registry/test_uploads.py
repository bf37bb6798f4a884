"""Uploads through the public door: every way to push, and every way it can go wrong."""

import anyio
import pytest

from longshore.oci.digest import Digest
from longshore.testing.builders import random_bytes

pytestmark = pytest.mark.anyio

DATA = random_bytes(300_000)
DIGEST = Digest.of(DATA)
BLOB = f"/v2/team/app/blobs/{DIGEST}"


def code(response):
    return response.json()["errors"][0]["code"]


async def test_a_session_begins_empty_and_tells_its_place(registry):
    response = await registry.client.post("/v2/team/app/blobs/uploads/")

    assert response.status_code == 202
    assert response.headers["range"] == "0-0"
    assert response.headers["location"].startswith("/v2/team/app/blobs/uploads/")
    assert response.headers["docker-upload-uuid"] in response.headers["location"]


async def test_a_blob_in_one_put_is_served_whole(registry):
    await registry.push_blob("team/app", DATA)

    response = await registry.client.get(BLOB)

    assert response.content == DATA
    assert response.headers["docker-content-digest"] == DIGEST
    assert response.headers["etag"] == f'"{DIGEST}"'
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["content-length"] == str(len(DATA))


async def test_a_blob_in_one_post_is_created_at_once(registry):
    response = await registry.client.post(
        f"/v2/team/app/blobs/uploads/?digest={DIGEST}", content=DATA
    )

    assert response.status_code == 201
    assert response.headers["location"] == BLOB
    assert (await registry.client.get(BLOB)).content == DATA


async def test_a_post_that_only_names_the_digest_begins_a_session(registry):
    response = await registry.client.send(
        registry.client.build_request(
            "POST", f"/v2/team/app/blobs/uploads/?digest={DIGEST}", headers={}, content=b""
        )
    )

    assert response.status_code in (202, 400)


async def test_one_stream_and_an_empty_put_is_what_docker_sends(registry):
    location = await registry.begin("team/app")

    async def body():
        for start in range(0, len(DATA), 70_000):
            yield DATA[start : start + 70_000]

    patched = await registry.client.patch(location, content=body())
    done = await registry.client.put(f"{patched.headers['location']}?digest={DIGEST}")

    assert patched.status_code == 202
    assert patched.headers["range"] == f"0-{len(DATA) - 1}"
    assert done.status_code == 201
    assert (await registry.client.get(BLOB)).content == DATA


async def test_chunks_arrive_in_order_and_the_last_may_come_with_the_put(registry):
    location = await registry.begin("team/app")
    for start in (0, 100_000):
        chunk = DATA[start : start + 100_000]
        response = await registry.client.patch(
            location, content=chunk, headers={"Content-Range": f"{start}-{start + 99_999}"}
        )
        assert response.status_code == 202
        location = response.headers["location"]

    done = await registry.client.put(
        f"{location}?digest={DIGEST}",
        content=DATA[200_000:],
        headers={"Content-Range": "200000-299999"},
    )

    assert done.status_code == 201
    assert (await registry.client.get(BLOB)).content == DATA


async def test_a_chunk_out_of_order_is_refused_and_told_where_to_continue(registry):
    location = await registry.begin("team/app")
    await registry.client.patch(location, content=DATA[:1000], headers={"Content-Range": "0-999"})

    response = await registry.client.patch(
        location, content=DATA[2000:3000], headers={"Content-Range": "2000-2999"}
    )

    assert response.status_code == 416
    assert code(response) == "RANGE_INVALID"
    assert response.headers["range"] == "0-999"
    assert response.headers["location"] == location


@pytest.mark.parametrize("value", ["x", "5-1", "bytes", "1-", "0-99999999999999999999", ""])
async def test_a_malformed_content_range_is_refused(registry, value):
    location = await registry.begin("team/app")

    response = await registry.client.patch(
        location, content=b"abc", headers={"Content-Range": value}
    )

    assert response.status_code == 416


async def test_a_chunk_whose_length_contradicts_its_range_is_refused(registry):
    location = await registry.begin("team/app")

    response = await registry.client.patch(
        location, content=b"abc", headers={"Content-Range": "0-9"}
    )

    assert response.status_code == 400
    assert code(response) == "SIZE_INVALID"


async def test_the_status_tells_how_far_an_upload_has_come(registry):
    location = await registry.begin("team/app")
    await registry.client.patch(location, content=DATA[:1234])

    response = await registry.client.get(location)

    assert response.status_code == 204
    assert response.headers["range"] == "0-1233"


async def test_bytes_of_another_digest_are_refused_and_nothing_is_stored(registry):
    location = await registry.begin("team/app")

    response = await registry.client.put(f"{location}?digest={DIGEST}", content=b"other")

    assert response.status_code == 400
    assert code(response) == "DIGEST_INVALID"
    assert Digest.of(b"other") in response.json()["errors"][0]["message"]
    assert (await registry.client.get(BLOB)).status_code == 404
    assert (await registry.client.get(location)).status_code == 404


async def test_streamed_bytes_of_another_digest_are_refused(registry):
    location = await registry.begin("team/app")
    await registry.client.patch(location, content=DATA[:-1])

    response = await registry.client.put(f"{location}?digest={DIGEST}")

    assert code(response) == "DIGEST_INVALID"
    assert (await registry.client.get(BLOB)).status_code == 404


@pytest.mark.parametrize("query", ["", "?digest=", "?digest=sha256:abc", "?digest=md5:abc"])
async def test_finishing_without_a_good_digest_is_refused_and_the_session_goes_on(registry, query):
    location = await registry.begin("team/app")
    await registry.client.patch(location, content=DATA)

    refused = await registry.client.put(location + query)
    done = await registry.client.put(f"{location}?digest={DIGEST}")

    assert code(refused) == "DIGEST_INVALID"
    assert done.status_code == 201


async def test_a_cancelled_upload_is_gone(registry):
    location = await registry.begin("team/app")
    await registry.client.patch(location, content=DATA)

    assert (await registry.client.delete(location)).status_code == 204
    assert code(await registry.client.get(location)) == "BLOB_UPLOAD_UNKNOWN"
    assert [staged async for staged in registry.driver.list_staged()] == []


async def test_an_upload_belongs_to_its_repository(registry):
    location = await registry.begin("team/app")

    response = await registry.client.get(location.replace("team/app", "team/other"))

    assert code(response) == "BLOB_UPLOAD_UNKNOWN"


async def test_sha512_is_verified_whether_announced_or_not(registry):
    digest = Digest.of(DATA, "sha512")
    for query in ("", "?digest-algorithm=sha512"):
        location = await registry.begin("team/app", query)
        await registry.client.patch(location, content=DATA)
        response = await registry.client.put(f"{location}?digest={digest}")
        assert response.status_code == 201, response.text

    assert (await registry.client.get(f"/v2/team/app/blobs/{digest}")).content == DATA


async def test_an_unknown_digest_algorithm_is_refused(registry):
    response = await registry.client.post("/v2/team/app/blobs/uploads/?digest-algorithm=md5")

    assert code(response) == "DIGEST_INVALID"


async def test_an_empty_blob_can_be_pushed_in_every_way(registry):
    digest = Digest.of(b"")
    location = await registry.begin("team/app")
    assert (await registry.client.put(f"{location}?digest={digest}")).status_code == 201
    location = await registry.begin("team/app")
    await registry.client.patch(location, content=b"")
    assert (await registry.client.put(f"{location}?digest={digest}")).status_code == 201

    response = await registry.client.get(f"/v2/team/app/blobs/{digest}")

    assert response.status_code == 200
    assert response.content == b""


async def test_any_node_may_take_the_next_chunk_and_the_put(cluster):
    async with cluster.node() as first, cluster.node() as second:
        location = await first.begin("team/app")
        await second.client.patch(location, content=DATA[:100_000])
        await first.client.patch(location, content=DATA[100_000:200_000])
        await second.client.patch(location, content=DATA[200_000:])
        done = await first.client.put(f"{location}?digest={DIGEST}")
        got = await second.client.get(BLOB)

    assert done.status_code == 201
    assert got.content == DATA


async def test_an_upload_survives_a_restart(cluster):
    async with cluster.node() as before:
        location = await before.begin("team/app")
        await before.client.patch(location, content=DATA[:100_000])
    async with cluster.node() as after:
        status = await after.client.get(location)
        await after.client.patch(location, content=DATA[100_000:])
        done = await after.client.put(f"{location}?digest={DIGEST}")

    assert status.headers["range"] == "0-99999"
    assert done.status_code == 201


async def test_pushing_the_same_blob_at_the_same_time_succeeds_for_everybody(cluster):
    async with cluster.node() as first, cluster.node() as second:

        async def push(node):
            await node.push_blob("team/app", DATA)

        async with anyio.create_task_group() as group:
            for node in (first, second) * 4:
                group.start_soon(push, node)
        got = await first.client.get(BLOB)

    assert got.content == DATA


class Door:
    """One ASGI request whose body and end the test decides."""

    def __init__(self, application, method, path, headers=()):
        path, _, query = path.partition("?")
        self.application = application
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(b"host", b"test"), *headers],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        self.status = None
        self._in, self._out = anyio.create_memory_object_stream[dict[str, object]](100)

    async def __aenter__(self):
        await self._in.__aenter__()
        await self._out.__aenter__()
        return self

    async def __aexit__(self, *_):
        await self._in.aclose()
        await self._out.aclose()

    async def feed(self, body, more=True):
        await self._in.send({"type": "http.request", "body": body, "more_body": more})

    async def hang_up(self):
        await self._in.send({"type": "http.disconnect"})

    async def run(self):
        async def send(message):
            if message["type"] == "http.response.start":
                self.status = message["status"]

        await self.application(self.scope, self._out.receive, send)


async def test_what_arrived_before_a_client_vanished_is_kept(registry):
    location = await registry.begin("team/app")
    async with Door(registry.application, "PATCH", location) as door:
        await door.feed(DATA[:150_000])
        await door.hang_up()
        await door.run()

    status = await registry.client.get(location)
    await registry.client.patch(location, content=DATA[150_000:])
    done = await registry.client.put(f"{location}?digest={DIGEST}")

    assert status.headers["range"] == "0-149999"
    assert done.status_code == 201


async def test_a_put_that_breaks_off_publishes_nothing(registry):
    location = await registry.begin("team/app")
    length = [(b"content-length", b"%d" % len(DATA))]
    path = f"{location}?digest={DIGEST}"
    async with Door(registry.application, "PUT", path, length) as door:
        await door.feed(DATA[:150_000])
        await door.hang_up()
        await door.run()

    assert (await registry.client.get(BLOB)).status_code == 404


async def claimed(registry):
    """Wait until some request has claimed the one upload there is."""
    with anyio.fail_after(10):
        while not await registry.database.read(  # noqa: ASYNC110 - nothing signals it
            lambda connection: connection.exec_driver_sql("SELECT attempt FROM uploads").scalar()
        ):
            await anyio.sleep(0.01)


async def test_a_stale_connection_neither_corrupts_nor_overtakes_the_upload(registry):
    location = await registry.begin("team/app")
    async with (
        Door(registry.application, "PATCH", location) as stale,
        anyio.create_task_group() as group,
    ):
        group.start_soon(stale.run)
        await stale.feed(b"x" * 200_000)
        await claimed(registry)
        fresh = await registry.client.patch(location, content=DATA)
        await stale.feed(b"y" * 200_000)
        await stale.feed(b"", more=False)
    done = await registry.client.put(f"{location}?digest={DIGEST}")

    assert fresh.status_code == 202
    assert stale.status == 416
    assert done.status_code == 201
    assert (await registry.client.get(BLOB)).content == DATA
