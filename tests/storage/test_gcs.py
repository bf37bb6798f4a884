"""The gcs driver against an emulator, which checks no credentials and no signatures."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import tenacity

from longshore.storage import gcs_requests
from longshore.storage.driver import (
    PathNotFound,
    Redirects,
    StorageDriver,
    StorageUnavailable,
)
from longshore.storage.gcs import GCSStore
from longshore.storage.gcs_settings import GCSSettings
from longshore.storage.object_store import Source
from longshore.storage.objects import ObjectDriver
from longshore.testing.storage_contract import SharedDriverContract
from longshore.testing.storage_fixtures import MIB, stage
from tests.services.gcs import GCS

pytestmark = [pytest.mark.anyio, pytest.mark.service]


def settings(gcs: "GCS | Address", **more: Any) -> GCSSettings:
    given = {"bucket": "longshore", "endpoint": gcs.url, "chunksize": 5 * MIB}
    return GCSSettings(**{**given, **more})


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gcs_requests, "_PAUSE", tenacity.wait_fixed(0.01))


@pytest.fixture(scope="module")
def root() -> str:
    return f"/tests/{uuid.uuid4().hex}"


@dataclass(frozen=True)
class Address:
    """Where an emulator is, as far as :func:`settings` has to know."""

    url: str


async def opened(argument: str) -> StorageDriver:
    """The driver in a process of its own."""
    url, root = json.loads(argument)
    driver = ObjectDriver(GCSStore(settings(Address(url))), root)
    await driver.open()
    return driver


@pytest.fixture
async def driver(gcs: GCS, gcs_bucket: str, root: str) -> AsyncIterator[StorageDriver]:
    driver = ObjectDriver(GCSStore(settings(gcs)), root)
    await driver.open()
    yield driver
    await driver.close()


class TestGCSDriver(SharedDriverContract):
    elsewhere_opener = "tests.storage.test_gcs:opened"
    #: The server of the tests takes minutes for ten thousand: `make storage-large` does that.
    many = 1_100
    #: With parts of 5 MiB: one on its way, one being collected, and copies of them.
    memory = 30 * MIB

    @pytest.fixture
    async def driver(self, gcs: GCS, gcs_bucket: str, root: str) -> AsyncIterator[StorageDriver]:
        driver = ObjectDriver(GCSStore(settings(gcs)), root)
        await driver.open()
        yield driver
        await driver.close()

    @pytest.fixture
    async def other(self, gcs: GCS, gcs_bucket: str, root: str) -> AsyncIterator[StorageDriver]:
        driver = ObjectDriver(GCSStore(settings(gcs)), root)
        await driver.open()
        yield driver
        await driver.close()

    @pytest.fixture
    def elsewhere(self, gcs: GCS, gcs_bucket: str, root: str) -> str:
        return json.dumps([gcs.url, root])

    async def leftovers(self, driver: StorageDriver) -> Iterable[str]:
        """Objects of any kind, below the root or staged."""
        contract = [entry.path async for entry in driver.list("/contract")]
        return [*contract, *[upload async for upload, _ in driver.list_staged()]]


@pytest.fixture
async def store(gcs: GCS, gcs_bucket: str) -> AsyncIterator[GCSStore]:
    store = GCSStore(settings(gcs))
    await store.open()
    yield store
    await store.close()


async def test_a_signed_url_gives_the_object_to_anybody(
    gcs: GCS, gcs_bucket: str, root: str, gcs_keyfile: Path
):
    driver = ObjectDriver(GCSStore(settings(gcs, keyfile=gcs_keyfile)), root)
    await driver.open()
    await driver.write("/contract/object", b"content")
    url = await driver.presigned_url("/contract/object", "GET", 60)
    assert url

    async with httpx.AsyncClient() as client:
        assert (await client.get(url)).content == b"content"
        ranged = await client.get(url, headers={"Range": "bytes=1-3"})
        assert (ranged.status_code, ranged.content) == (206, b"ont")
    await driver.delete("/contract/object")
    await driver.close()


async def test_without_a_key_nothing_is_signed(driver: StorageDriver):
    assert isinstance(driver, Redirects)
    assert await driver.presigned_url("/contract/object", "GET", 60) is None


@pytest.mark.parametrize(("number", "at_once"), [(1, 32), (32, 32), (33, 32), (50, 3)])
async def test_any_number_of_objects_is_joined_and_nothing_is_left_in_between(
    store: GCSStore, root: str, number: int, at_once: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("longshore.storage.gcs._SOURCES", at_once)
    prefix = f"{root[1:]}/{number}/"
    sources = [Source(f"{prefix}s{n:04}", 1 + n % 5) for n in range(number)]
    for start in range(0, number, 50):
        await asyncio.gather(
            *(
                store.put(one.key, one.key[-1:].encode() * one.size)
                for one in sources[start : start + 50]
            )
        )

    await store.join(sources, f"{prefix}whole")

    assert await store.get(f"{prefix}whole") == b"".join(
        one.key[-1:].encode() * one.size for one in sources
    )
    keys = [found.key async for found in store.list(prefix)]
    assert keys == [*(one.key for one in sources), f"{prefix}whole"]
    await store.delete(keys)
    assert [found async for found in store.list(prefix)] == []


async def test_a_source_that_is_gone_is_told_and_nothing_is_joined(store: GCSStore, root: str):
    await store.put(f"{root[1:]}/there", b"content")
    sources = [Source(f"{root[1:]}/there", 7), Source(f"{root[1:]}/gone", 7)]

    with pytest.raises(PathNotFound) as caught:
        await store.join(sources, f"{root[1:]}/whole")

    assert caught.value.path == f"{root[1:]}/gone"
    assert [found.key async for found in store.list(f"{root[1:]}/")] == [f"{root[1:]}/there"]
    await store.delete([f"{root[1:]}/there"])


async def test_many_objects_are_listed_page_by_page_and_removed(driver: StorageDriver):
    for start in range(0, 1_050, 50):
        await asyncio.gather(
            *(driver.write(f"/contract/many/{n:05}", b"x") for n in range(start, start + 50))
        )
    found = [entry.path async for entry in driver.list("/contract/many")]
    assert found == [f"/contract/many/{n:05}" for n in range(1_050)]
    await driver.delete_tree("/contract/many")
    assert [entry async for entry in driver.list("/contract/many")] == []


async def test_more_uploads_than_there_is_memory_for_take_turns(
    gcs: GCS, gcs_bucket: str, root: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("longshore.storage.gcs._MEMORY", 20 * MIB)  # four parts
    driver = ObjectDriver(GCSStore(settings(gcs)), root)
    await driver.open()

    async with asyncio.timeout(60):
        await asyncio.gather(
            *(stage(driver, f"turn-{number}", bytes(11 * MIB)) for number in range(10))
        )

    assert len([upload async for upload, _ in driver.list_staged()]) == 10
    for number in range(10):
        await driver.discard(f"turn-{number}")
    await driver.close()


async def test_requests_to_the_service_are_few(
    gcs: GCS, gcs_bucket: str, root: str, monkeypatch: pytest.MonkeyPatch
):
    sent: list[str] = []
    plain = aiohttp.ClientSession._request

    async def noted(session: aiohttp.ClientSession, method: str, *args: Any, **more: Any) -> Any:
        sent.append(method)
        return await plain(session, method, *args, **more)

    monkeypatch.setattr(aiohttp.ClientSession, "_request", noted)
    driver = ObjectDriver(GCSStore(settings(gcs)), root)
    await driver.open()

    async def requests(work: Awaitable[object]) -> list[str]:
        sent.clear()
        await work
        return list(sent)

    assert await requests(driver.write("/contract/small", b"pushed in one request")) == ["POST"]
    staged = await stage(driver, "docker", b"as docker pushes")
    published = await requests(driver.publish(staged, "/contract/blob"))
    assert published == ["POST", "GET", "DELETE"]  # compose, list, remove
    assert await requests(driver.read("/contract/blob")) == ["GET"]
    assert await requests(driver.presigned_url("/contract/blob", "GET", 60)) == []
    large = await requests(stage(driver, "large", bytes(11 * MIB)))
    assert large == ["POST", "PUT", "PUT", "PUT"]
    await driver.discard("large")
    whole = await requests(stage(driver, "large", bytes(10 * MIB)))
    assert whole == ["POST", "PUT", "PUT", "PUT"]  # the last one says that there is no more
    await driver.discard("large")
    assert await requests(driver.delete_tree("/contract")) == ["GET", "POST"]
    await driver.close()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"bucket": "absent"}, "the bucket does not exist: create it"),
        ({"endpoint": "http://127.0.0.1:9"}, "the service does not answer"),
        ({"keyfile": "/absent.json"}, "/absent.json is no key of a service account"),
    ],
)
async def test_a_bucket_that_cannot_be_used_is_told_with_what_to_do(
    gcs: GCS, gcs_bucket: str, more: dict[str, Any], said: str
):
    driver = ObjectDriver(GCSStore(settings(gcs, **more)))
    with pytest.raises(StorageUnavailable, match=said):
        await driver.open()
    await driver.close()
