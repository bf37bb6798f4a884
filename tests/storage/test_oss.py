"""The oss driver against a stand-in that checks signatures as the documentation describes them."""

import asyncio
import json
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from longshore.storage import oss as oss_module
from longshore.storage.driver import (
    AbandonedUploads,
    Redirects,
    StorageDriver,
    StorageUnavailable,
)
from longshore.storage.objects import ObjectDriver
from longshore.storage.oss import OSSStore
from longshore.storage.oss_settings import OSSSettings
from longshore.telemetry import clock
from longshore.testing.storage_contract import SharedDriverContract
from longshore.testing.storage_fixtures import MIB, content, stage
from tests.services.oss import BUCKET, KEY_ID, OSS, REGION, SECRET
from tests.services.programs import PROJECT

pytestmark = [pytest.mark.anyio, pytest.mark.service]


def settings(oss: "OSS | Address", **more: Any) -> OSSSettings:
    given = {
        "bucket": BUCKET,
        "region": f"oss-{REGION}",
        "endpoint": oss.endpoint,
        "secure": False,
        "accesskeyid": KEY_ID,
        "accesskeysecret": SecretStr(SECRET),
        "chunksize": 5 * MIB,
    }
    return OSSSettings(**{**given, **more})


@pytest.fixture(scope="module")
def root() -> str:
    return f"/tests/{uuid.uuid4().hex}"


@pytest.fixture(autouse=True)
def copies_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in copies 16 MiB in one request."""
    monkeypatch.setattr(oss_module, "_COPY", 12 * MIB)


async def opened(settings: OSSSettings) -> StorageDriver:
    driver = ObjectDriver(OSSStore(settings), settings.rootdirectory)
    await driver.open()
    return driver


async def opened_elsewhere(argument: str) -> StorageDriver:
    """The driver in a process of its own."""
    endpoint, root = json.loads(argument)
    return await opened(settings(Address(endpoint), rootdirectory=root))


@pytest.fixture
async def driver(oss: OSS, root: str) -> AsyncIterator[StorageDriver]:
    driver = await opened(settings(oss, rootdirectory=root))
    yield driver
    await driver.close()


class TestOSSDriver(SharedDriverContract):
    elsewhere_opener = "tests.storage.test_oss:opened_elsewhere"
    #: With parts of 5 MiB: two on their way, one being collected.
    memory = 32 * MIB

    @pytest.fixture
    async def driver(self, oss: OSS, root: str) -> AsyncIterator[StorageDriver]:
        driver = await opened(settings(oss, rootdirectory=root))
        yield driver
        await driver.close()

    @pytest.fixture
    def elsewhere(self, oss: OSS, root: str) -> str:
        return json.dumps([oss.endpoint, root])

    @pytest.fixture
    async def other(self, oss: OSS, root: str) -> AsyncIterator[StorageDriver]:
        """At the bucket's own domain, where URLs have no bucket."""
        driver = await opened(settings(oss, rootdirectory=root, endpoint=oss.domain))
        yield driver
        await driver.close()

    async def leftovers(self, driver: StorageDriver) -> Iterable[str]:
        """Objects of any kind, and multipart uploads that nobody ended."""
        keys = [entry.path async for entry in driver.list("/contract")]
        assert isinstance(driver, AbandonedUploads)
        ended = await driver.remove_abandoned(clock.timestamp() + 3600)
        return [*keys, *(f"multipart upload {number}" for number in range(ended))]


async def test_what_a_killed_process_was_sending_is_freed_by_maintenance(
    oss: OSS, driver: StorageDriver, root: str
):
    program = (
        "import asyncio, os, signal\n"
        "from longshore.storage.driver import Staged\n"
        "from tests.storage.test_oss import Address, opened, settings\n"
        "async def body():\n"
        "    yield bytes(12 << 20)\n"
        "    await asyncio.sleep(1)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "async def main():\n"
        f"    driver = await opened(settings(Address({oss.endpoint!r}), rootdirectory={root!r}))\n"
        "    await driver.append(Staged('killed'), body())\n"
        "asyncio.run(main())\n"
    )
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=PROJECT)
    assert await killed.wait() == -signal.SIGKILL
    assert isinstance(driver, AbandonedUploads)

    assert await driver.remove_abandoned(clock.timestamp() - 3600) == 0  # too young
    assert await driver.remove_abandoned(clock.timestamp() + 3600) == 1
    assert [upload async for upload, _ in driver.list_staged()] == []


async def test_a_signed_url_gives_the_object_to_anybody_and_nothing_else(
    oss: OSS, driver: StorageDriver, root: str
):
    await driver.write("/contract/object", b"content")
    elsewhere = await opened(
        settings(oss, rootdirectory=root, redirectendpoint=f"http://{oss.domain}")
    )
    for one in (driver, elsewhere):
        assert isinstance(one, Redirects)
        url = await one.presigned_url("/contract/object", "GET", 60)
        head = await one.presigned_url("/contract/object", "HEAD", 60)
        assert url
        assert head
        assert (oss.domain in url) == (one is elsewhere)
        async with httpx.AsyncClient() as client:
            assert (await client.get(url)).content == b"content"
            ranged = await client.get(url, headers={"Range": "bytes=1-3"})
            assert (ranged.status_code, ranged.content) == (206, b"ont")
            assert (await client.head(head)).headers["Content-Length"] == "7"
            assert (await client.get(url.partition("?")[0])).status_code == 403
            assert (await client.get(url.replace("object", "objecu"))).status_code == 403
            assert (
                await client.get(url.replace("x-oss-expires=", "x-oss-expires=9"))
            ).status_code == 403
            assert (await client.put(url, content=b"x")).status_code == 403
        assert await one.presigned_url("/contract/object", "PUT", 60) is None
    await elsewhere.close()
    await driver.delete("/contract/object")


async def test_a_signed_url_ends(driver: StorageDriver):
    await driver.write("/contract/object", b"content")
    assert isinstance(driver, Redirects)
    url = await driver.presigned_url("/contract/object", "GET", 1)
    assert url
    async with httpx.AsyncClient() as client, asyncio.timeout(30):
        while (await client.get(url)).status_code != 403:  # noqa: ASYNC110 -- of another process
            await asyncio.sleep(0.2)
    await driver.delete("/contract/object")


async def test_an_object_is_joined_from_parts_of_every_size(driver: StorageDriver):
    sizes = (1, 6 * MIB, 100, 29 * MIB, 3 * MIB, 1, 5 * MIB)
    bodies = [bytes([number]) * size for number, size in enumerate(sizes)]
    staged = await stage(driver, "joined", *bodies)
    await driver.publish(staged, "/contract/joined")
    assert await content(driver.stream("/contract/joined")) == b"".join(bodies)
    await driver.delete("/contract/joined")


async def test_many_objects_are_listed_page_by_page_and_removed(
    driver: StorageDriver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(oss_module, "_PAGE", 40)
    for start in range(0, 200, 50):
        await asyncio.gather(
            *(driver.write(f"/contract/many/{n:05}", b"x") for n in range(start, start + 50))
        )
    found = [entry.path async for entry in driver.list("/contract/many")]
    assert found == [f"/contract/many/{n:05}" for n in range(200)]
    await driver.delete_tree("/contract/many")
    assert [entry async for entry in driver.list("/contract/many")] == []


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        ({"encrypt": True}, {"x-oss-server-side-encryption": "AES256"}),
        (
            {"encrypt": True, "encryptionkeyid": "k1"},
            {
                "x-oss-server-side-encryption": "KMS",
                "x-oss-server-side-encryption-key-id": "k1",
            },
        ),
    ],
)
async def test_encryption_is_asked_for_with_every_new_object(
    oss: OSS, root: str, more: dict[str, Any], kept: dict[str, str]
):
    driver = await opened(settings(oss, rootdirectory=root, **more))
    await driver.write("/contract/small", b"content")
    await driver.publish(await stage(driver, "copied", b"content"), "/contract/copied")
    await driver.publish(await stage(driver, "parts", bytes(13 * MIB)), "/contract/parts")
    assert isinstance(driver, Redirects)
    async with httpx.AsyncClient() as client:
        for name in ("small", "copied", "parts"):
            url = await driver.presigned_url(f"/contract/{name}", "HEAD", 60)
            assert url
            headers = (await client.head(url)).headers
            assert {key: headers.get(key) for key in kept} == kept
    await driver.delete_tree("/contract")
    await driver.close()


async def test_requests_to_the_service_are_few(driver: StorageDriver):
    store = cast("OSSStore", cast("ObjectDriver", driver)._store)
    sent: list[str] = []
    assert store._session
    request = store._session._request

    async def note(method: str, *given: Any, **more: Any) -> Any:
        sent.append(method)
        return await request(method, *given, **more)

    store._session._request = note  # type: ignore[method-assign]

    async def requests(work: Awaitable[object]) -> list[str]:
        sent.clear()
        await work
        return list(sent)

    assert await requests(driver.write("/contract/small", b"pushed in one request")) == ["PUT"]
    staged = await stage(driver, "docker", b"as docker pushes")
    published = await requests(driver.publish(staged, "/contract/blob"))
    assert published == ["PUT", "GET", "DELETE"]  # copy, list, remove
    assert await requests(driver.read("/contract/blob")) == ["GET"]
    assert isinstance(driver, Redirects)
    assert await requests(driver.presigned_url("/contract/blob", "GET", 60)) == []
    large = await requests(stage(driver, "large", bytes(11 * MIB)))
    assert large == ["POST", "PUT", "PUT", "PUT", "POST"]
    await driver.discard("large")
    assert await requests(driver.delete_tree("/contract")) == ["GET", "POST"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"bucket": "absent"}, "the bucket does not exist: create it"),
        ({"accesskeyid": "LTAIother"}, "the access key is not known: correct storage.oss.access"),
        ({"accesskeysecret": SecretStr("wrong")}, "the secret is not right"),
        ({"region": "cn-beijing"}, "the scope .*/cn-beijing/.* is another one's"),
        ({"endpoint": "127.0.0.1:9"}, "the service does not answer"),
    ],
)
async def test_a_bucket_that_cannot_be_used_is_told_with_what_to_do(
    oss: OSS, more: dict[str, Any], said: str
):
    driver = ObjectDriver(OSSStore(settings(oss, **more)))
    with pytest.raises(StorageUnavailable, match=said) as caught:
        await driver.open()
    await driver.close()
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "start"),
    [
        ({}, "https://longshore.oss-cn-hangzhou.aliyuncs.com/k?"),
        ({"internal": True}, "https://longshore.oss-cn-hangzhou-internal.aliyuncs.com/k?"),
        ({"secure": False}, "http://longshore.oss-cn-hangzhou.aliyuncs.com/k?"),
        (
            {"endpoint": "oss-cn-hangzhou.aliyuncs.com"},
            "https://longshore.oss-cn-hangzhou.aliyuncs.com/k?",
        ),
        (
            {"endpoint": "longshore.oss-cn-hangzhou.aliyuncs.com"},
            "https://longshore.oss-cn-hangzhou.aliyuncs.com/k?",
        ),
        ({"endpoint": "longshore.oss.example.com"}, "https://longshore.oss.example.com/k?"),
        ({"endpoint": "images.example.com"}, "https://images.example.com/k?"),
        ({"endpoint": "http://images.example.com/"}, "http://images.example.com/k?"),
        ({"endpoint": "10.0.0.1:8080"}, "https://10.0.0.1:8080/longshore/k?"),
        (
            {"internal": True, "redirectendpoint": "images.example.com"},
            "https://images.example.com/k?",
        ),
    ],
)
async def test_where_a_bucket_is(monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], start: str):
    given = {"endpoint": "", "secure": True, **more}
    store = OSSStore(settings(Address(""), **given))
    monkeypatch.setattr("alibabacloud_oss_v2.aio.AsyncClient.list_objects_v2", _nothing)
    await store.open()
    url = await store.presigned_url("k", "GET", 60)
    await store.close()
    assert url
    assert url.startswith(start)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"bucket": ""}, "bucket is empty"),
        ({"region": ""}, "region is empty"),
        ({"accesskeyid": ""}, "accesskeyid and accesskeysecret go together"),
        ({"encryptionkeyid": "k"}, "encryptionkeyid has no effect without encrypt"),
        ({"internal": True}, "internal has no effect with endpoint"),
    ],
)
def test_settings_that_cannot_work_are_told(more: dict[str, Any], said: str):
    with pytest.raises(ValidationError, match=said):
        settings(Address("10.0.0.1"), **more)


async def _nothing(*_: object, **__: object) -> None:
    """In place of the one request that opening sends."""


@dataclass
class Address:
    """Where the service is, as far as :func:`settings` has to know."""

    endpoint: str
