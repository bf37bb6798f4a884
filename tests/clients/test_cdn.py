"""A registry behind CloudFront: its clients fetch blobs from a CDN that believes only signatures."""

import json
import re
from pathlib import Path

import httpx
import pytest
import yaml

from tests.services.cdn import KEY_ID, serving
from tests.services.images import single_image
from tests.services.programs import Shell
from tests.services.registries import RegistryFactory

pytestmark = pytest.mark.service

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def documented(key: Path, url: str) -> dict[str, object]:
    """The page's example with this key, and this address for the CDN's."""
    blocks = re.findall(r"^```yaml\n(middleware:\n.*?)^```", PAGE.read_text(), re.M | re.S)
    example: dict[str, object] = yaml.safe_load(blocks[0])
    text = json.dumps(example)
    text = text.replace("/etc/longshore/cloudfront.pem", str(key))
    text = text.replace("https://d1234.cloudfront.example", url).replace("K2EXAMPLE", KEY_ID)
    found: dict[str, object] = json.loads(text)
    return found


def test_images_come_from_the_cdn_as_the_page_configures_it(
    shell: Shell,
    registry_factory: RegistryFactory,
    repository: str,
    tmp_path: Path,
) -> None:
    directory = tmp_path / "registry"
    with serving(directory / "data") as cdn:
        key = cdn.private_key(tmp_path / "key.pem")
        registry = registry_factory(documented(key, cdn.url), directory=directory)
        digest = single_image(tmp_path / "image")
        reference = f"{registry.host}/{repository}:v1"
        shell("crane", "push", tmp_path / "image", reference)
        shell("crane", "validate", "--remote", reference)
        shell("crane", "pull", "--format=oci", reference, tmp_path / "back")

        with registry.client() as client:
            manifest = client.get(f"/v2/{repository}/manifests/{digest}").json()
            layer = manifest["layers"][0]["digest"]
            told = client.get(f"/v2/{repository}/blobs/{layer}")
            ready = client.get("/readyz").json()

    hexadecimal = layer.removeprefix("sha256:")
    path = f"/docker/registry/v2/blobs/sha256/{hexadecimal[:2]}/{hexadecimal}/data"
    assert ("GET", path, 200) in cdn.answers
    assert all(status == httpx.codes.OK for _, _, status in cdn.answers)
    assert told.status_code == httpx.codes.TEMPORARY_REDIRECT
    assert told.headers["Docker-Content-Digest"] == layer
    assert ready == {"status": "ok"}


def test_a_cdn_that_refuses_is_noticed_and_passed_by(
    shell: Shell, registry_factory: RegistryFactory, repository: str, tmp_path: Path
) -> None:
    directory = tmp_path / "registry"
    with serving(directory / "data") as cdn:
        key = cdn.private_key(tmp_path / "key.pem")
        config = documented(key, cdn.url)
        other = json.loads(json.dumps(config).replace(KEY_ID, "ANOTHER"))
        registry = registry_factory(
            {**other, "longshore": {"redirect": {"probe": "stream"}}}, directory=directory
        )
        single_image(tmp_path / "image")
        reference = f"{registry.host}/{repository}:v1"
        registry.service.wait_until(lambda: "403 MissingKey" in registry.service.tail(50))
        shell("crane", "push", tmp_path / "image", reference)
        shell("crane", "validate", "--remote", reference)
        with registry.client() as client:
            ready = client.get("/readyz").json()

    assert ready == {"status": "ok", "warnings": ["redirect"]}
