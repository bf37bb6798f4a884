"""The azure driver against Azurite, which checks signatures as the real service does."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Iterable
from typing import Any

import httpx
import pytest
from azure.core.credentials import AccessToken
from azure.identity.aio import ClientSecretCredential, DefaultAzureCredential
from azure.storage.blob.aio import ContainerClient
from pydantic import SecretStr

from longshore.storage import azure
from longshore.storage.azure import AzureStore
from longshore.storage.azure_client import Transport, credential
from longshore.storage.azure_settings import AzureSettings
from longshore.storage.driver import (
    AbandonedUploads,
    PathNotFound,
    Redirects,
    StorageDriver,
    StorageUnavailable,
)
from longshore.storage.objects import ObjectDriver
from longshore.telemetry import clock
from longshore.testing.storage_contract import SharedDriverContract
from longshore.testing.storage_fixtures import MIB, content, stage
from tests.services.azurite import ACCOUNT, KEY, Azurite, bearer_token

pytestmark = [pytest.mark.anyio, pytest.mark.service]


def settings(url: str, **more: Any) -> AzureSettings:
    given = {
        "accountname": ACCOUNT,
        "accountkey": SecretStr(KEY),
        "container": "longshore",
        "serviceurl": url,
        "retry_delay": 0.01,
    }
    return AzureSettings(**{**given, **more})


@pytest.fixture(scope="module")
def root() -> str:
    return f"/tests/{uuid.uuid4().hex}"


@pytest.fixture
async def driver(azurite: Azurite, container: str, root: str) -> AsyncIterator[StorageDriver]:
    driver = ObjectDriver(AzureStore(settings(azurite.url)), root)
    await driver.open()
    yield driver
    await driver.close()


class TestAzureDriver(SharedDriverContract):
    elsewhere_opener = "tests.storage.test_azure:opened"
    #: The server of the tests takes minutes for ten thousand: `make storage-large` does that.
    many = 1_100
    #: Two blocks of 8 MiB on their way, one being collected, and what the SDK holds of them.
    memory = 48 * MIB

    @pytest.fixture
    async def driver(
        self, azurite: Azurite, container: str, root: str
    ) -> AsyncIterator[StorageDriver]:
        driver = ObjectDriver(AzureStore(settings(azurite.url)), root)
        await driver.open()
        yield driver
        await driver.close()

    @pytest.fixture
    async def other(
        self, azurite: Azurite, container: str, root: str
    ) -> AsyncIterator[StorageDriver]:
        driver = ObjectDriver(AzureStore(settings(azurite.url)), root)
        await driver.open()
        yield driver
        await driver.close()

    @pytest.fixture
    def elsewhere(self, azurite: Azurite, container: str, root: str) -> str:
        return json.dumps([azurite.url, root])

    async def leftovers(self, driver: StorageDriver) -> Iterable[str]:
        """Objects of any kind, and uploads that nobody ended."""
        keys = [entry.path async for entry in driver.list("/contract")]
        assert isinstance(driver, AbandonedUploads)
        ended = await driver.remove_abandoned(clock.timestamp() + 3600)
        return [*keys, *(f"uncommitted blob {number}" for number in range(ended))]


async def test_a_signed_url_gives_the_object_to_anybody_and_nothing_else(driver: StorageDriver):
    await driver.write("/contract/object", b"content")
    assert isinstance(driver, Redirects)
    url = await driver.presigned_url("/contract/object", "GET", 60)
    assert url
    expired = await driver.presigned_url("/contract/object", "GET", -60)
    assert expired

    async with httpx.AsyncClient() as client:
        assert (await client.get(url)).content == b"content"
        assert (await client.head(url)).headers["Content-Length"] == "7"
        ranged = await client.get(url, headers={"Range": "bytes=1-3"})
        assert (ranged.status_code, ranged.content) == (206, b"ont")
        assert (await client.get(url.partition("?")[0])).is_client_error
        assert (await client.get(url.replace("object", "objecu"))).status_code == 403
        assert (await client.get(expired)).status_code == 403
        written = await client.put(url, content=b"x", headers={"x-ms-blob-type": "BlockBlob"})
        assert written.status_code == 403
    assert await driver.presigned_url("/contract/object", "PUT", 60) is None
    await driver.delete("/contract/object")


async def test_an_object_is_joined_from_parts_of_every_size(driver: StorageDriver):
    sizes = (1, 9 * MIB, 100, 17 * MIB, 3 * MIB, 1, 8 * MIB)
    bodies = [bytes([number]) * size for number, size in enumerate(sizes)]
    staged = await stage(driver, "joined", *bodies)
    await driver.publish(staged, "/contract/joined")
    assert await content(driver.stream("/contract/joined")) == b"".join(bodies)
    await driver.delete("/contract/joined")


async def test_blobs_of_the_type_that_distribution_writes_are_read_and_replaced(
    azurite: Azurite, driver: StorageDriver, root: str
):
    paths = [f"/contract/of-distribution/{name}" for name in ("one", "two", "three", "four")]
    keys = {"account_name": ACCOUNT, "account_key": KEY}
    async with ContainerClient(azurite.url, "longshore", keys) as client:
        for path in paths:
            blob = client.get_blob_client(f"{root.strip('/')}{path}")
            await blob.create_append_blob()
            await blob.append_block(b"of distribution")
    written, copied, joined, published = paths

    assert await driver.read(written) == b"of distribution"
    await driver.write(written, b"replaced")
    assert await driver.read(written) == b"replaced"
    await driver.publish(await stage(driver, "copied", b"a copy"), copied)
    assert await driver.read(copied) == b"a copy"
    await driver.publish(await stage(driver, "joined", b"one ", b"two"), joined)
    assert await driver.read(joined) == b"one two"
    # The same content, as the size says: what is there stays.
    await driver.publish(await stage(driver, "published", b"of ", b"distribution"), published)
    assert await driver.read(published) == b"of distribution"
    await driver.delete_tree("/contract/of-distribution")


async def test_more_uploads_than_there_is_memory_for_take_turns(
    azurite: Azurite, container: str, root: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(azure, "_MEMORY", 32 * MIB)  # four blocks
    driver = ObjectDriver(AzureStore(settings(azurite.url)), root)
    await driver.open()

    async with asyncio.timeout(60):
        await asyncio.gather(
            *(stage(driver, f"turn-{number}", bytes(17 * MIB)) for number in range(6))
        )

    assert len([upload async for upload, _ in driver.list_staged()]) == 6
    for number in range(6):
        await driver.discard(f"turn-{number}")
    await driver.close()


async def test_requests_to_the_service_are_few(
    driver: StorageDriver, monkeypatch: pytest.MonkeyPatch
):
    sent: list[str] = []
    send = Transport.send

    async def noted(self: Transport, request: Any, **options: Any) -> Any:
        sent.append(request.method)
        return await send(self, request, **options)

    monkeypatch.setattr(Transport, "send", noted)

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
    large = await requests(stage(driver, "large", bytes(17 * MIB)))
    assert large == ["PUT", "PUT", "PUT", "PUT"]  # three blocks and their list
    await driver.discard("large")
    assert await requests(driver.delete_tree("/contract")) == ["GET", "DELETE", "DELETE"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"container": "absent"}, "the container does not exist: create it"),
        ({"accountkey": SecretStr("d3Jvbmc=")}, "correct storage.azure.accountname"),
        ({"serviceurl": "http://127.0.0.1:9/tests"}, "the service does not answer"),
    ],
)
async def test_a_container_that_cannot_be_used_is_told_with_what_to_do(
    azurite: Azurite, container: str, more: dict[str, Any], said: str
):
    driver = ObjectDriver(AzureStore(settings(azurite.url, **more)))
    with pytest.raises(StorageUnavailable, match=said) as caught:
        await driver.open()
    await driver.close()
    assert "d3Jvbmc=" not in str(caught.value)


async def test_a_container_that_is_gone_is_not_an_object_that_is_missing(azurite: Azurite):
    keys = {"account_name": ACCOUNT, "account_key": KEY}
    driver = ObjectDriver(AzureStore(settings(azurite.url, container="short-lived")))
    async with ContainerClient(azurite.url, "short-lived", keys) as client:
        await client.create_container()
        await driver.open()
        with pytest.raises(PathNotFound):
            await driver.stat("/contract/object")
        await client.delete_container()
    for call in (driver.stat, driver.read, driver.delete):
        with pytest.raises(StorageUnavailable, match="the container does not exist"):
            await call("/contract/object")
    await driver.close()


class Token:
    """What stands for an application of Entra ID."""

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        assert scopes == ("https://storage.azure.com/.default",)
        return AccessToken(bearer_token(), int(time.time()) + 3600)

    async def close(self) -> None:
        pass


async def test_an_identity_without_a_key_reads_writes_copies_and_signs(
    azurite_with_tokens: Azurite, caplog: pytest.LogCaptureFixture
):
    given = settings(
        azurite_with_tokens.url,
        accountkey=SecretStr(""),
        credentials={"type": "default_credentials"},
        skipverify=True,
    )
    store = AzureStore(given, Token())
    driver = ObjectDriver(store)
    await driver.open()
    await driver.publish(await stage(driver, "one", b"copied"), "/contract/copied")
    await driver.publish(await stage(driver, "two", b"jo", b"ined"), "/contract/joined")
    assert await driver.read("/contract/copied") == b"copied"
    assert await driver.read("/contract/joined") == b"joined"
    # Azurite computes such signatures as the versions up to 2025 do, so it cannot check this one.
    url = httpx.URL(await driver.presigned_url("/contract/copied", "GET", 60) or "")
    assert url.path == "/tests/longshore/contract/copied"
    assert url.params["sp"] == "r"
    assert (url.params["skoid"], url.params["sktid"]) == ("object", "tenant")
    assert url.params["se"] < url.params["ske"]
    await driver.close()
    assert bearer_token()[:20] not in caplog.text


async def test_credentials_are_those_that_the_configuration_names():
    secret = settings(
        "https://x",
        accountkey=SecretStr(""),
        credentials={"clientid": "c", "tenantid": "t", "secret": SecretStr("s")},
    )
    found = credential(secret)
    assert isinstance(found, ClientSecretCredential)
    await found.close()
    found = credential(settings("https://x", accountkey=SecretStr("")))
    assert isinstance(found, DefaultAzureCredential)
    await found.close()


async def opened(argument: str) -> StorageDriver:
    """The driver in a process of its own."""
    url, root = json.loads(argument)
    driver = ObjectDriver(AzureStore(settings(url)), root)
    await driver.open()
    return driver
