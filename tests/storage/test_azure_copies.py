"""Put Block From URL, which Azurite lacks: done by a stand-in before it, as its documentation says.

https://learn.microsoft.com/rest/api/storageservices/put-block-from-url
"""

import base64
import uuid
from collections.abc import AsyncIterator
from io import BytesIO

import aiohttp
import pytest
from aiohttp import web
from azure.storage.blob.aio import BlobClient
from yarl import URL

from longshore.storage import azure
from longshore.storage.azure import AzureStore
from longshore.storage.azure_client import Transport
from longshore.storage.driver import PathNotFound, StorageDriver
from longshore.storage.objects import ObjectDriver
from longshore.testing.storage_fixtures import MIB, content, stage
from tests.services.azurite import ACCOUNT, KEY, Azurite
from tests.storage.test_azure import settings

pytestmark = [pytest.mark.anyio, pytest.mark.service]

#: What would be in the way of the signature, if it were added.
_SIGNED = ["Content-Type"]
_HOP = {"host", "connection", "transfer-encoding", "expect"}


class StandIn:
    """Hands on requests to Azurite, but copies blocks itself. The source's signature is checked by
    Azurite, which the block is read from."""

    def __init__(self, azurite: Azurite) -> None:
        self._azurite = f"http://127.0.0.1:{azurite.port}"
        #: The ranges that were copied, and how many bytes of blocks came from the client.
        self.copied: list[str] = []
        self.sent = 0

    async def __aenter__(self) -> "StandIn":
        self._session = aiohttp.ClientSession(auto_decompress=False)
        application = web.Application(client_max_size=64 * MIB)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _handle(self, request: web.Request) -> web.Response:
        source = request.headers.get("x-ms-copy-source")
        if source and request.query.get("comp") == "block":
            return await self._copy(request, source)
        body = await request.read()
        if request.query.get("comp") == "block":
            self.sent += len(body)
        url = URL(f"{self._azurite}{request.raw_path}", encoded=True)
        headers = {
            name: value for name, value in request.headers.items() if name.lower() not in _HOP
        }
        sending = self._session.request(
            request.method,
            url,
            headers=headers,
            data=BytesIO(body) if body else None,
            skip_auto_headers=_SIGNED,
        )
        async with sending as reply:
            kept = {
                name: value for name, value in reply.headers.items() if name.lower() not in _HOP
            }
            if request.method != "HEAD":
                kept.pop("Content-Length", None)
            return web.Response(status=reply.status, body=await reply.read(), headers=kept)

    async def _copy(self, request: web.Request, source: str) -> web.Response:
        wanted = request.headers["x-ms-source-range"]
        there = URL(source.replace(self.url, self._azurite), encoded=True)
        async with self._session.get(there, headers={"Range": wanted}) as reply:
            if reply.status != 206:
                headers = {"x-ms-error-code": "CannotVerifyCopySource"}
                return web.Response(status=reply.status, headers=headers)
            block = await reply.read()
        keys = {"account_name": ACCOUNT, "account_key": KEY}
        identity = base64.b64decode(request.query["blockid"]).decode()
        url = f"{self._azurite}{request.path}"
        async with BlobClient.from_blob_url(url, keys, transport=Transport()) as blob:
            await blob.stage_block(identity, block)
        self.copied.append(wanted)
        return web.Response(status=201)


@pytest.fixture
async def stand_in(azurite: Azurite, container: str) -> AsyncIterator[StandIn]:
    async with StandIn(azurite) as stand_in:
        yield stand_in


@pytest.fixture
async def driver(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StorageDriver]:
    monkeypatch.setattr(azure, "_WHOLE", MIB)
    monkeypatch.setattr(azure, "_RANGE", 2 * MIB)
    given = settings(f"{stand_in.url}/{ACCOUNT}")
    driver = ObjectDriver(AzureStore(given), f"/copies/{uuid.uuid4().hex}")
    await driver.open()
    yield driver
    await driver.delete_tree("/contract")
    await driver.close()


async def test_parts_are_joined_inside_the_service(stand_in: StandIn, driver: StorageDriver):
    bodies = [b"x", b"y" * (5 * MIB + 1), b"z" * 100]
    staged = await stage(driver, "joined", *bodies)

    await driver.publish(staged, "/contract/joined")

    assert await content(driver.stream("/contract/joined")) == b"".join(bodies)
    ranges = ["0-0", "0-2097151", "2097152-4194303", "4194304-5242880", "0-99"]
    assert sorted(stand_in.copied) == sorted(f"bytes={part}" for part in ranges)
    assert stand_in.sent == 0


async def test_a_large_part_alone_is_copied_in_ranges(stand_in: StandIn, driver: StorageDriver):
    body = b"x" * (3 * MIB)

    await driver.publish(await stage(driver, "alone", body), "/contract/alone")

    assert await content(driver.stream("/contract/alone")) == body
    assert len(stand_in.copied) == 2


async def test_a_part_that_is_gone_is_not_found_and_nothing_is_made(
    stand_in: StandIn, driver: StorageDriver
):
    staged = await stage(driver, "gone", b"x" * 3 * MIB, b"y")
    await driver.discard("gone")

    with pytest.raises(PathNotFound):
        await driver.publish(staged, "/contract/gone")
    with pytest.raises(PathNotFound):
        await driver.stat("/contract/gone")
    await stage(driver, "gone", b"of another attempt")
    with pytest.raises(PathNotFound):
        await driver.publish(staged, "/contract/gone")
    await driver.discard("gone")
