"""What a configuration switches off is refused by name, and the rest goes on: read-only, no deletes."""

from collections.abc import Iterator

import httpx
import pytest

from tests.clients import wire
from tests.services.certificates import Authority
from tests.services.images import CONFIG, MANIFEST, descriptor, digest_of, json_bytes
from tests.services.registries import Registry, RegistryFactory

pytestmark = pytest.mark.service

NAME = "team/app"
CONFIG_BLOB = b"{}"
IMAGE = {
    "schemaVersion": 2,
    "mediaType": MANIFEST,
    "config": descriptor(CONFIG_BLOB, CONFIG),
    "layers": [],
}
DIGEST = digest_of(json_bytes(IMAGE))
BLOB = digest_of(CONFIG_BLOB)


@pytest.fixture(scope="module")
def kept(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[tuple[RegistryFactory, Registry, str]]:
    """A stopped registry with one image and one upload that was begun; and what starts it again."""
    factory = RegistryFactory(tmp_path_factory.mktemp("switched-off"), authority)
    registry = factory()
    with registry.client() as client:
        wire.push_blob(client, NAME, CONFIG_BLOB)
        wire.push_manifest(client, NAME, IMAGE, "latest")
        location = wire.start_upload(client, NAME)
    factory.stop(registry)
    yield factory, registry, location
    factory.close()


def check_refusal(answer: httpx.Response, reason: str) -> None:
    assert answer.status_code == httpx.codes.METHOD_NOT_ALLOWED
    error = answer.json()["errors"][0]
    assert error["code"] == "UNSUPPORTED"
    assert reason in error["message"]


def check_pulls(client: httpx.Client) -> None:
    assert client.get("/v2/").status_code == httpx.codes.OK
    for reference in ("latest", DIGEST):
        assert client.get(f"/v2/{NAME}/manifests/{reference}").json() == IMAGE
    assert client.head(f"/v2/{NAME}/manifests/latest").status_code == httpx.codes.OK
    assert client.get(f"/v2/{NAME}/blobs/{BLOB}").content == CONFIG_BLOB
    assert client.get(f"/v2/{NAME}/tags/list").json()["tags"] == ["latest"]
    assert client.get("/v2/_catalog").json()["repositories"] == [NAME]
    assert client.get(f"/v2/{NAME}/referrers/{DIGEST}").json()["manifests"] == []


def test_read_only_refuses_every_write_and_serves_every_read(
    kept: tuple[RegistryFactory, Registry, str],
) -> None:
    factory, before, location = kept
    config = {"storage": {"maintenance": {"readonly": {"enabled": True}}}}
    registry = factory(config, directory=before.directory)
    manifests, uploads = f"/v2/{NAME}/manifests", f"/v2/{NAME}/blobs/uploads/"
    with registry.client() as client:
        for method, path in [
            ("POST", uploads),
            ("POST", f"{uploads}?mount={BLOB}&from={NAME}"),
            ("POST", f"{uploads}?digest={BLOB}"),
            ("PATCH", location),
            ("PUT", f"{location}?digest={BLOB}"),
            ("DELETE", location),
            ("PUT", f"{manifests}/latest"),
            ("DELETE", f"{manifests}/latest"),
            ("DELETE", f"{manifests}/{DIGEST}"),
            ("DELETE", f"/v2/{NAME}/blobs/{BLOB}"),
        ]:
            answer = client.request(method, path, content=json_bytes(IMAGE))
            check_refusal(answer, "read-only")
        check_pulls(client)
        assert client.get(location).headers["Range"] == "0-0"
    factory.stop(registry)


def test_without_deletes_nothing_is_deleted_but_uploads_are_cancelled(
    kept: tuple[RegistryFactory, Registry, str],
) -> None:
    factory, before, _ = kept
    registry = factory({"storage": {"delete": {"enabled": False}}}, directory=before.directory)
    with registry.client() as client:
        for path in ("manifests/latest", f"manifests/{DIGEST}", f"blobs/{BLOB}"):
            check_refusal(client.delete(f"/v2/{NAME}/{path}"), "storage.delete.enabled")
        check_pulls(client)
        location = wire.start_upload(client, NAME)
        assert client.delete(location).status_code == httpx.codes.NO_CONTENT
        assert client.get(location).status_code == httpx.codes.NOT_FOUND
    factory.stop(registry)
