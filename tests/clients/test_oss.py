"""The example for OSS as the page has it, used by real clients."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml

from tests.services.images import digest_of, multi_platform_image
from tests.services.oss import BUCKET, KEY_ID, OSS, SECRET
from tests.services.programs import PROJECT, Shell
from tests.services.registries import Registry, RegistryFactory

pytestmark = pytest.mark.service

EXAMPLE = PROJECT / "examples" / "oss.yml"
PAGE = PROJECT / "docs" / "storage.md"


@pytest.fixture
def start_node(
    registry_factory: RegistryFactory, oss: OSS, postgres_url: str
) -> Callable[..., Registry]:
    """Starts a server with the example, to which only addresses, a key and names are given."""
    example: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    parameters = {
        **example["storage"]["oss"],
        "bucket": BUCKET,
        "accesskeyid": KEY_ID,
        "accesskeysecret": SECRET,
        "internal": False,
        "endpoint": oss.endpoint,
        "redirectendpoint": oss.domain,
        "secure": False,
        "rootdirectory": f"/{uuid4().hex}",
    }

    def start(**storage: object) -> Registry:
        return registry_factory(
            {
                "storage": {"filesystem": None, "oss": parameters, **storage},
                "longshore": {"database": {"url": postgres_url}},
            }
        )

    return start


def test_the_page_has_the_example() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    example = yaml.safe_load(EXAMPLE.read_text())
    del example["http"]
    assert example in [yaml.safe_load(block) for block in blocks]


@pytest.mark.parametrize("redirect", [True, False])
def test_images_are_pushed_and_pulled(
    shell: Shell,
    start_node: Callable[..., Registry],
    repository: str,
    tmp_path: Path,
    redirect: bool,
) -> None:
    registry = start_node(redirect={"disable": not redirect})
    digest, images = multi_platform_image(tmp_path / "image")
    reference = f"{registry.host}/{repository}:v1"

    shell("crane", "push", tmp_path / "image", reference)

    assert shell("crane", "digest", reference).out.strip() == digest
    shell("crane", "validate", "--remote", reference)
    shell("crane", "pull", "--format=oci", reference, tmp_path / "back")
    with registry.client() as client:
        child = client.get(f"/v2/{repository}/manifests/{images['amd64']}").json()
        layer = child["layers"][0]
        reply = client.get(f"/v2/{repository}/blobs/{layer['digest']}")
    if redirect:
        assert reply.status_code == httpx.codes.TEMPORARY_REDIRECT
        assert "x-oss-signature=" in reply.headers["Location"]
        assert digest_of(httpx.get(reply.headers["Location"]).content) == layer["digest"]
    else:
        assert digest_of(reply.content) == layer["digest"]
