"""Clients that trickle, stall or vanish: what arrived is kept, and the upload goes on from there."""

import secrets
import time
from collections.abc import Callable
from socket import socket

import httpx
import pytest

from tests.clients import wire
from tests.resilience import raw
from tests.resilience.server import eventually
from tests.services.images import digest_of
from tests.services.registries import Registry

pytestmark = pytest.mark.service

CONTENT = secrets.token_bytes(3_000_000)
HALF = 1_400_000


def finish(registry: Registry, repository: str, location: str, sent: int) -> None:
    """Continue where the server stands, which is no further than what was sent."""
    assert eventually(lambda: raw.offset(registry, location) > 0)
    offset = raw.offset(registry, location)
    assert offset <= sent
    with registry.client() as client:
        span = f"{offset}-{len(CONTENT) - 1}"
        rest = client.patch(location, content=CONTENT[offset:], headers={"Content-Range": span})
        assert rest.status_code == httpx.codes.ACCEPTED, rest.text
        wire.finish_upload(client, location, digest_of(CONTENT))
        assert client.get(f"/v2/{repository}/blobs/{digest_of(CONTENT)}").content == CONTENT


def test_a_body_that_trickles_is_waited_for(impatient_registry: Registry, repository: str) -> None:
    location = raw.start_upload(impatient_registry, repository)
    head = raw.request("PATCH", location, "Content-Length: 30")

    with raw.connect(impatient_registry) as connection:
        connection.sendall(head)
        for piece in (CONTENT[start : start + 3] for start in range(0, 30, 3)):
            connection.sendall(piece)
            time.sleep(0.25)  # together longer than the pause that is allowed
        connection.settimeout(1)
        answer = raw.read(connection)

    assert answer.statuses == [202]
    assert raw.offset(impatient_registry, location) == 30


@pytest.mark.parametrize("framing", ["Content-Length: 3000000", "Transfer-Encoding: chunked"])
def test_a_body_that_stalls_is_ended_and_what_came_is_kept(
    impatient_registry: Registry, repository: str, framing: str
) -> None:
    location = raw.start_upload(impatient_registry, repository)
    chunked = "chunked" in framing
    body = b"%x\r\n" % HALF + CONTENT[:HALF] + b"\r\n" if chunked else CONTENT[:HALF]

    answer = raw.exchange(impatient_registry, raw.request("PATCH", location, framing, body=body))

    assert answer.closed
    assert answer.statuses == [503]
    assert b'"code":"UNAVAILABLE"' in answer.content
    assert raw.offset(impatient_registry, location) == HALF
    finish(impatient_registry, repository, location, HALF)


def test_a_head_that_stalls_is_ended(impatient_registry: Registry) -> None:
    assert raw.exchange(impatient_registry, b"GET /v2/ HTTP/1.1\r\nHost: regi").closed


def test_a_body_that_is_shorter_than_announced_is_told(
    impatient_registry: Registry, repository: str
) -> None:
    location = raw.start_upload(impatient_registry, repository)

    with raw.connect(impatient_registry) as connection:
        connection.sendall(raw.request("PATCH", location, "Content-Length: 3000000"))
        connection.sendall(CONTENT[:HALF])
        connection.shutdown(1)
        answer = raw.read(connection)

    assert answer.statuses == [400]
    assert b'"code":"SIZE_INVALID"' in answer.content
    finish(impatient_registry, repository, location, HALF)


@pytest.mark.parametrize("leave", [socket.close, raw.reset], ids=["FIN", "RST"])
def test_a_client_that_vanishes_can_go_on(
    impatient_registry: Registry, repository: str, leave: Callable[[socket], None]
) -> None:
    location = raw.start_upload(impatient_registry, repository)
    connection = raw.connect(impatient_registry)
    connection.sendall(raw.request("PATCH", location, "Content-Length: 3000000"))
    connection.sendall(CONTENT[:HALF])
    time.sleep(0.2)  # an RST takes along what nobody has read yet

    leave(connection)

    finish(impatient_registry, repository, location, HALF)


@pytest.mark.parametrize("leave", [socket.close, raw.reset], ids=["FIN", "RST"])
def test_a_whole_blob_in_one_request_that_breaks_off_leaves_nothing(
    impatient_registry: Registry, repository: str, leave: Callable[[socket], None]
) -> None:
    path = f"/v2/{repository}/blobs/uploads/?digest={digest_of(CONTENT)}"
    staging = impatient_registry.directory / "data/longshore+staging/uploads"
    before = set(staging.iterdir())
    connection = raw.connect(impatient_registry)
    connection.sendall(raw.request("POST", path, "Content-Length: 3000000", body=CONTENT[:HALF]))
    assert eventually(lambda: set(staging.iterdir()) > before)

    leave(connection)

    assert eventually(lambda: set(staging.iterdir()) <= before)


def test_half_a_manifest_is_no_manifest(impatient_registry: Registry, repository: str) -> None:
    """Cut where the part that came is a whole JSON document."""
    manifest = b'{"schemaVersion":2,"manifests":[]}'
    head = raw.request(
        "PUT",
        f"/v2/{repository}/manifests/latest",
        "Content-Type: application/vnd.oci.image.index.v1+json",
        f"Content-Length: {len(manifest) + 10}",
    )

    with raw.connect(impatient_registry) as connection:
        connection.sendall(head + manifest)
        connection.shutdown(1)
        answer = raw.read(connection)

    assert answer.statuses == [400]
    with impatient_registry.client() as client:
        assert client.get(f"/v2/{repository}/manifests/latest").status_code == 404


def test_a_client_that_does_not_read_its_blob_disturbs_nobody(
    impatient_registry: Registry, repository: str
) -> None:
    with impatient_registry.client() as client:
        digest = wire.push_blob(client, repository, secrets.token_bytes(4_000_000))
        ask = raw.request("GET", f"/v2/{repository}/blobs/{digest}")
        idle = [raw.connect(impatient_registry) for _ in range(100)]
        for connection in idle:
            connection.sendall(ask)

        answer = client.get(f"/v2/{repository}/blobs/{digest}")

        assert digest_of(answer.content) == digest
        for connection in idle:
            connection.close()
