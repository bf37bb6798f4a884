"""Clients that fetch blobs from the storage itself."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from longshore.oci.digest import Digest
from longshore.registry.install import DataPlaneOptions
from longshore.registry.redirects import RedirectRules
from longshore.storage.driver import StorageUnavailable
from longshore.storage.filesystem import FilesystemDriver
from longshore.testing.builders import random_bytes

pytestmark = pytest.mark.anyio

DATA = random_bytes(1000)
DIGEST = Digest.of(DATA)
BLOB = f"/v2/team/app/blobs/{DIGEST}"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


@pytest.fixture
def signing(cluster):
    """A driver whose files a server of their own hands out; what it signs says for how long."""
    cluster.directory.mkdir()
    handler = partial(Quiet, directory=str(cluster.directory))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        origin = f"http://127.0.0.1:{server.server_address[1]}"

        class SigningDriver(FilesystemDriver):
            async def presigned_url(self, path, method, lifetime):
                return f"{origin}{path}?method={method}&lifetime={lifetime:.0f}"

        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield SigningDriver
        server.shutdown()
        thread.join(10)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_redirect_names_the_digest_and_leads_to_the_bytes(cluster, signing, method):
    cluster.driver_type = signing
    options = DataPlaneOptions(redirect=RedirectRules(lifetime=90))
    async with cluster.node(options) as registry, httpx.AsyncClient(trust_env=False) as direct:
        await registry.push_blob("team/app", DATA)
        answer = await registry.client.request(method, BLOB)
        fetched = await direct.request(method, answer.headers["location"])

    assert answer.status_code == 307
    assert answer.headers["docker-content-digest"] == DIGEST
    assert answer.headers["location"].endswith(f"?method={method}&lifetime=90")
    assert fetched.status_code == 200
    assert fetched.content == (DATA if method == "GET" else b"")


@pytest.mark.parametrize(
    "rules",
    [
        None,
        RedirectRules(exempt=("127.0.0.0/8",)),
        RedirectRules(networks=("10.0.0.0/8",)),
        RedirectRules(networks=("127.0.0.0/8",), exempt=("127.0.0.1/32",)),
    ],
)
async def test_a_client_that_is_not_to_be_redirected_gets_the_bytes(cluster, signing, rules):
    cluster.driver_type = signing
    async with cluster.node(DataPlaneOptions(redirect=rules)) as registry:
        await registry.push_blob("team/app", DATA)
        answer = await registry.client.get(BLOB)

    assert answer.status_code == 200
    assert answer.content == DATA


async def test_a_blob_whose_url_cannot_be_signed_is_sent_instead(cluster, caplog):
    class BrokenDriver(FilesystemDriver):
        async def presigned_url(self, path, method, lifetime):
            raise StorageUnavailable("filesystem", path, "nobody signs here")

    cluster.driver_type = BrokenDriver
    async with cluster.node(DataPlaneOptions(redirect=RedirectRules())) as registry:
        await registry.push_blob("team/app", DATA)
        answers = [await registry.client.get(BLOB) for _ in range(2)]

    assert [answer.content for answer in answers] == [DATA, DATA]
    assert caplog.text.count("nobody signs here") == 1


@pytest.mark.parametrize(
    ("client", "redirected"),
    [("10.1.2.3", True), ("10.9.0.1", False), ("192.0.2.1", False), ("::1", False), ("", False)],
)
async def test_networks_choose_and_exempt_wins(client, redirected):
    rules = RedirectRules(networks=("10.0.0.0/8",), exempt=("10.9.0.0/16",))
    assert rules.redirects(client) is redirected
