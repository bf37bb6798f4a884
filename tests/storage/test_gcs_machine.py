"""The gcs driver on a machine of Google's: its account, which has no key to give away.

A metadata server and the service that signs are played by a server of ours; google-auth is real.
"""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from google.auth.compute_engine import _metadata

from longshore.storage import gcs_signature
from longshore.storage.driver import StorageUnavailable
from longshore.storage.gcs import GCSStore
from longshore.storage.gcs_settings import GCSSettings
from longshore.telemetry import clock
from tests.services.gcs import ACCOUNT
from tests.storage.test_gcs_signature import verify

pytestmark = pytest.mark.anyio


class Cloud:
    """A metadata server, a bucket that wants the token that it gives, and a signer."""

    def __init__(self, key: RSAPrivateKey) -> None:
        self.key = key
        self.host = ""
        self.may_sign = True
        self.signatures = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Cloud"]:
        application = web.Application()
        account = "/computeMetadata/v1/instance/service-accounts/default"
        application.router.add_get("/", self._ping)
        application.router.add_get("/computeMetadata/v1/project/project-id", self._project)
        application.router.add_get(f"{account}/", self._account)
        application.router.add_get(f"{account}/token", self._token)
        application.router.add_get("/storage/v1/b/longshore/o", self._list)
        application.router.add_post("/v1/projects/-/serviceAccounts/{account}:signBlob", self._sign)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.host = "{}:{}".format(*runner.addresses[0])
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _ping(self, _request: web.Request) -> web.Response:
        return web.Response(headers={"Metadata-Flavor": "Google"})

    async def _project(self, _request: web.Request) -> web.Response:
        return web.Response(text="project")

    async def _account(self, _request: web.Request) -> web.Response:
        return web.json_response({"email": ACCOUNT, "aliases": ["default"], "scopes": []})

    async def _token(self, request: web.Request) -> web.Response:
        assert request.headers["Metadata-Flavor"] == "Google"
        return web.json_response(
            {"access_token": "machine", "expires_in": 3600, "token_type": "Bearer"}
        )

    async def _list(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer machine"
        return web.json_response({})

    async def _sign(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer machine"
        assert request.match_info["account"] == ACCOUNT
        if not self.may_sign:
            text = '{"error": {"code": 403, "message": "Permission denied"}}'
            return web.Response(status=403, text=text, content_type="application/json")
        self.signatures += 1
        payload = base64.b64decode((await request.json())["payload"])
        signature = self.key.sign(payload, padding.PKCS1v15(), SHA256())
        return web.json_response({"signedBlob": base64.b64encode(signature).decode()})


@pytest.fixture
async def cloud(
    service_account: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Cloud]:
    key = load_pem_private_key(service_account["private_key"].encode(), None)
    assert isinstance(key, RSAPrivateKey)
    async with Cloud(key).running() as running:
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
        monkeypatch.setenv("GCE_METADATA_IP", running.host)
        monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", running.host)
        monkeypatch.setattr(gcs_signature, "_IAM", f"http://{running.host}")
        monkeypatch.setattr(GCSSettings, "is_anonymous", False)  # although there is no TLS
        yield running


@pytest.fixture
async def store(cloud: Cloud) -> AsyncIterator[GCSStore]:
    store = GCSStore(GCSSettings(bucket="longshore", endpoint=f"http://{cloud.host}"))
    await store.open()
    yield store
    await store.close()


async def test_google_signs_for_the_machines_account_once_for_a_while(
    cloud: Cloud, store: GCSStore
):
    urls = {await store.presigned_url("key", "GET", 1200) for _ in range(5)}
    assert cloud.signatures == 1
    (url,) = urls
    assert url
    found = verify(url, "GET", cloud.key.public_key(), clock.now())
    assert (found.account, found.resource) == (ACCOUNT, b"/longshore/key")

    head = await store.presigned_url("key", "HEAD", 1200)
    assert head
    verify(head, "HEAD", cloud.key.public_key(), clock.now())
    assert cloud.signatures == 2


async def test_an_account_that_may_not_sign_is_told_what_it_needs(cloud: Cloud, store: GCSStore):
    cloud.may_sign = False
    with pytest.raises(StorageUnavailable, match="serviceAccountTokenCreator on itself"):
        await store.presigned_url("key", "GET", 1200)


async def test_without_any_account_the_start_says_where_one_is_looked_for(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_metadata, "_NO_GCE_CHECK", True)
    store = GCSStore(GCSSettings(bucket="longshore", endpoint=f"http://{cloud.host}"))
    with pytest.raises(StorageUnavailable, match=r"no credentials: .*storage\.gcs\.keyfile"):
        await store.open()
    await store.close()
