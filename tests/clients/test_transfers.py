"""Transfers that are interrupted, resumed, huge, or not needed at all: over plain HTTP requests."""

import hashlib
import secrets
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from tests.clients import wire
from tests.services.images import digest_of
from tests.services.registries import ALICE, Registry, RegistryFactory

pytestmark = pytest.mark.service

MIB = 1 << 20
TWO_GIB = 2 << 30


def test_an_interrupted_download_is_resumed_where_it_stopped(
    registry: Registry, repository: str
) -> None:
    content = secrets.token_bytes(3 * MIB)
    with registry.client() as client:
        url = f"/v2/{repository}/blobs/{wire.push_blob(client, repository, content)}"
        with client.stream("GET", url) as answer:
            etag = answer.headers["ETag"]
            first = next(answer.iter_raw(MIB))

        rest = client.get(url, headers={"Range": f"bytes={len(first)}-", "If-Range": etag})

    assert rest.status_code == httpx.codes.PARTIAL_CONTENT
    last = len(content) - 1
    assert rest.headers["Content-Range"] == f"bytes {len(first)}-{last}/{len(content)}"
    assert first + rest.content == content


def test_an_interrupted_upload_is_continued_from_what_arrived(
    registry: Registry, repository: str
) -> None:
    content = secrets.token_bytes(4 * MIB)
    with registry.client() as client:
        location = wire.start_upload(client, repository)
        wire.send_and_break_off(registry, location, announced=len(content), sent=content[:MIB])

        location = _send_the_rest(client, location, content)
        wire.finish_upload(client, location, digest_of(content))
        back = client.get(f"/v2/{repository}/blobs/{digest_of(content)}")

    assert back.content == content


def test_an_upload_is_continued_after_the_registry_was_restarted(
    registry_factory: RegistryFactory, repository: str
) -> None:
    content = secrets.token_bytes(2 * MIB)
    secret = {"http": {"secret": "the same before and after"}}
    before = registry_factory(secret)
    with before.client() as client:
        location = wire.start_upload(client, repository)
        location = client.patch(location, content=content[:MIB]).headers["Location"]
    registry_factory.stop(before)
    after = registry_factory(secret, directory=before.directory)

    path = urlsplit(location)._replace(scheme="", netloc="").geturl()
    with after.client() as client:
        answer = client.patch(path, content=content[MIB:])
        wire.finish_upload(client, answer.headers["Location"], digest_of(content))
        back = client.get(f"/v2/{repository}/blobs/{digest_of(content)}")

    assert back.content == content


def test_what_was_pushed_is_there_after_a_restart(
    registry_factory: RegistryFactory, repository: str
) -> None:
    before = registry_factory(login=ALICE)
    with before.client() as client:
        digest = wire.push_blob(client, repository, b"kept")
    registry_factory.stop(before)
    after = registry_factory(login=ALICE, directory=before.directory)

    with after.client() as client:
        assert client.get(f"/v2/{repository}/blobs/{digest}").content == b"kept"


def test_a_blob_is_mounted_from_another_repository(registry: Registry, repository: str) -> None:
    content = secrets.token_bytes(1000)
    with registry.client() as client:
        digest = wire.push_blob(client, f"{repository}/source", content)

        query = {"mount": digest, "from": f"{repository}/source"}
        answer = client.post(f"/v2/{repository}/target/blobs/uploads/", params=query)

        assert answer.status_code == httpx.codes.CREATED
        assert client.get(answer.headers["Location"]).content == content


def test_a_blob_that_is_not_there_is_asked_for_instead_of_mounted(
    open_registry: Registry, repository: str
) -> None:
    query = {"mount": digest_of(secrets.token_bytes(10)), "from": f"{repository}/source"}
    with open_registry.client() as client:
        location = wire.start_upload(client, f"{repository}/target", **query)

        wire.finish_upload(client, location, digest_of(b""))


@pytest.mark.timeout(300)
def test_a_layer_of_more_than_two_gigabytes_goes_in_and_comes_out(
    registry_factory: RegistryFactory, repository: str
) -> None:
    """It has a registry of its own, whose disk space is given back at once."""
    registry = registry_factory()
    digest = hashlib.sha256()
    size = TWO_GIB + 4097
    with registry.client() as client:
        location = wire.start_upload(client, repository)
        answer = client.patch(location, content=_noise(size, digest))
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        name = f"sha256:{digest.hexdigest()}"
        wire.finish_upload(client, answer.headers["Location"], name)

        url = f"/v2/{repository}/blobs/{name}"
        back = hashlib.sha256()
        with client.stream("GET", url) as answer:
            for piece in answer.iter_raw(MIB):
                back.update(piece)
        across = client.get(url, headers={"Range": f"bytes={TWO_GIB - 2}-{TWO_GIB + 1}"})
        client.delete(url)

    for file in (registry.directory / "data").rglob("data"):
        file.unlink()
    assert back.hexdigest() == digest.hexdigest()
    assert across.headers["Content-Range"] == f"bytes {TWO_GIB - 2}-{TWO_GIB + 1}/{size}"
    assert across.content == _BLOCK[-2:] + _BLOCK[:2]


_BLOCK = secrets.token_bytes(MIB)


def _noise(size: int, digest: "hashlib._Hash") -> Iterator[bytes]:
    """`size` bytes that are cheap to make, and their digest on the way."""
    while size > 0:
        piece = _BLOCK[:size]
        digest.update(piece)
        yield piece
        size -= len(piece)


def _send_the_rest(client: httpx.Client, location: str, content: bytes) -> str:
    """Ask what arrived, send the rest, and ask again if meanwhile more had been saved."""
    for _ in range(50):
        status = client.get(location)
        assert status.status_code == httpx.codes.NO_CONTENT, status.text
        last = int(status.headers["Range"].removeprefix("0-"))
        arrived = last + 1 if last else 0  # 0-0 also stands for nothing at all
        answer = client.patch(
            status.headers["Location"],
            content=content[arrived:],
            headers={"Content-Range": f"{arrived}-{len(content) - 1}"},
        )
        if answer.status_code == httpx.codes.ACCEPTED:
            next_location: str = answer.headers["Location"]
            return next_location
        assert answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE, answer.text
        time.sleep(0.1)
    raise AssertionError("the registry never agreed on what had arrived")
