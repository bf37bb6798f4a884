"""The s3 driver against Ceph's gateway, which checks signatures as Amazon does."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Iterable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from longshore.storage import s3
from longshore.storage.driver import (
    AbandonedUploads,
    Redirects,
    StorageDriver,
    StorageUnavailable,
)
from longshore.storage.objects import ObjectDriver
from longshore.storage.s3 import S3Store
from longshore.storage.s3_settings import S3Settings
from longshore.telemetry import clock
from longshore.testing.storage_contract import SharedDriverContract
from longshore.testing.storage_fixtures import MIB, content, stage
from tests.services.ceph import ACCESS_KEY, SECRET_KEY, Ceph

pytestmark = [pytest.mark.anyio, pytest.mark.service]


def settings(ceph: "Ceph | Address", **more: Any) -> S3Settings:
    given = {
        "bucket": "longshore",
        "regionendpoint": ceph.url,
        "region": "us-east-1",
        "accesskey": SecretStr(ACCESS_KEY),
        "secretkey": SecretStr(SECRET_KEY),
        "chunksize": 5 * MIB,
        "multipartcopychunksize": 10 * MIB,
        "multipartcopythresholdsize": 10 * MIB,
    }
    return S3Settings(**{**given, **more})


@pytest.fixture(scope="module")
def root() -> str:
    return f"/tests/{uuid.uuid4().hex}"


@pytest.fixture
async def driver(ceph: Ceph, bucket: str, root: str) -> AsyncIterator[StorageDriver]:
    driver = ObjectDriver(S3Store(settings(ceph, bucket=bucket)), root)
    await driver.open()
    yield driver
    await driver.close()


class TestS3Driver(SharedDriverContract):
    elsewhere_opener = "tests.storage.test_s3:opened"
    #: With parts of 5 MiB: two on their way, one being collected, and what the SDK holds of them.
    memory = 40 * MIB

    @pytest.fixture
    async def driver(self, ceph: Ceph, bucket: str, root: str) -> AsyncIterator[StorageDriver]:
        driver = ObjectDriver(S3Store(settings(ceph, bucket=bucket)), root)
        await driver.open()
        yield driver
        await driver.close()

    @pytest.fixture
    async def other(self, ceph: Ceph, bucket: str, root: str) -> AsyncIterator[StorageDriver]:
        driver = ObjectDriver(S3Store(settings(ceph, bucket=bucket)), root)
        await driver.open()
        yield driver
        await driver.close()

    @pytest.fixture
    def elsewhere(self, ceph: Ceph, bucket: str, root: str) -> str:
        return json.dumps([ceph.url, root])

    async def leftovers(self, driver: StorageDriver) -> Iterable[str]:
        """Objects of any kind, and multipart uploads that nobody ended."""
        keys = [entry.path async for entry in driver.list("/contract")]
        assert isinstance(driver, AbandonedUploads)
        ended = await driver.remove_abandoned(clock.timestamp() + 3600)
        return [*keys, *(f"multipart upload {number}" for number in range(ended))]


async def test_a_signed_url_gives_the_object_to_anybody_and_nothing_else(driver: StorageDriver):
    await driver.write("/contract/object", b"content")
    assert isinstance(driver, Redirects)
    url = await driver.presigned_url("/contract/object", "GET", 60)
    assert url

    async with httpx.AsyncClient() as client:
        assert (await client.get(url)).content == b"content"
        ranged = await client.get(url, headers={"Range": "bytes=1-3"})
        assert (ranged.status_code, ranged.content) == (206, b"ont")
        assert (await client.get(url.partition("?")[0])).status_code == 403
        assert (await client.get(url.replace("object", "objecu"))).status_code == 403
    assert await driver.presigned_url("/contract/object", "PUT", 60) is None
    await driver.delete("/contract/object")


async def test_an_object_is_joined_from_parts_of_every_size(driver: StorageDriver):
    sizes = (1, 6 * MIB, 100, 11 * MIB, 3 * MIB, 1, 5 * MIB)
    bodies = [bytes([number]) * size for number, size in enumerate(sizes)]
    staged = await stage(driver, "joined", *bodies)
    await driver.publish(staged, "/contract/joined")
    assert await content(driver.stream("/contract/joined")) == b"".join(bodies)
    await driver.delete("/contract/joined")


async def test_more_uploads_than_there_is_memory_for_take_turns(
    ceph: Ceph, bucket: str, root: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(s3, "_MEMORY", 20 * MIB)  # four parts
    driver = ObjectDriver(S3Store(settings(ceph)), root)
    await driver.open()

    async with asyncio.timeout(60):
        await asyncio.gather(
            *(stage(driver, f"turn-{number}", bytes(11 * MIB)) for number in range(10))
        )

    assert len([upload async for upload, _ in driver.list_staged()]) == 10
    for number in range(10):
        await driver.discard(f"turn-{number}")
    await driver.close()


async def test_requests_to_the_service_are_few(ceph: Ceph, bucket: str, root: str):
    store = S3Store(settings(ceph))
    driver = ObjectDriver(store, root)
    await driver.open()
    sent: list[str] = []

    def note(request: Any, **_: Any) -> None:
        sent.append(request.method)

    store._bucket.client.meta.events.register("before-send.s3", note)

    async def requests(work: Awaitable[object]) -> list[str]:
        sent.clear()
        await work
        return list(sent)

    assert await requests(driver.write("/contract/small", b"pushed in one request")) == ["PUT"]
    staged = await stage(driver, "docker", b"as docker pushes")
    published = await requests(driver.publish(staged, "/contract/blob"))
    assert published == ["PUT", "GET", "DELETE"]  # copy, list, remove
    assert await requests(driver.read("/contract/blob")) == ["GET"]
    assert await requests(driver.presigned_url("/contract/blob", "GET", 60)) == []
    large = await requests(stage(driver, "large", bytes(11 * MIB)))
    assert large == ["POST", "PUT", "PUT", "PUT", "POST"]
    await driver.discard("large")
    assert await requests(driver.delete_all(["/contract/gone", "/contract/lost"])) == ["POST"]
    assert await requests(driver.delete_tree("/contract")) == ["GET", "POST"]
    await driver.close()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"bucket": "absent"}, "the bucket does not exist: create it"),
        ({"accesskey": SecretStr("AKIAWRONG")}, "the credentials may not use the bucket"),
        ({"secretkey": SecretStr("wrong")}, "the credentials may not use the bucket"),
        ({"regionendpoint": "http://127.0.0.1:9"}, "the service does not answer"),
    ],
)
async def test_a_bucket_that_cannot_be_used_is_told_with_what_to_do(
    ceph: Ceph, bucket: str, more: dict[str, Any], said: str
):
    driver = ObjectDriver(S3Store(settings(ceph, **more)))
    with pytest.raises(StorageUnavailable, match=said) as caught:
        await driver.open()
    await driver.close()
    assert "wrong" not in str(caught.value)


@dataclass
class Address:
    """Where a gateway is, as far as :func:`settings` has to know."""

    url: str


async def opened(argument: str) -> StorageDriver:
    """The driver in a process of its own."""
    url, root = json.loads(argument)
    driver = ObjectDriver(S3Store(settings(Address(url))), root)
    await driver.open()
    return driver
