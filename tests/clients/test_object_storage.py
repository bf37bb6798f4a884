"""A registry whose bytes are in a bucket, used by real clients."""

import secrets
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import yaml

from tests.clients import wire
from tests.services.ceph import ACCESS_KEY, SECRET_KEY, Ceph
from tests.services.images import digest_of, multi_platform_image
from tests.services.programs import PROJECT, Shell
from tests.services.registries import Registry, RegistryFactory

if TYPE_CHECKING:
    from tests.services.gcs import GCS

pytestmark = pytest.mark.service

StartNode = Callable[..., Registry]
Parameters = dict[str, str]


def s3_parameters(request: pytest.FixtureRequest) -> Parameters:
    ceph: Ceph = request.getfixturevalue("ceph")
    return {
        "region": "us-east-1",
        "regionendpoint": ceph.url,
        "bucket": request.getfixturevalue("bucket"),
        "accesskey": ACCESS_KEY,
        "secretkey": SECRET_KEY,
    }


def azure_parameters(request: pytest.FixtureRequest) -> Parameters:
    """The example's keys; an emulator is at another address, and the container is one of its."""
    example = yaml.safe_load((PROJECT / "examples" / "azure.yml").read_text())["storage"]["azure"]
    return {
        **example,
        "serviceurl": request.getfixturevalue("azurite").account_url(example["accountname"]),
        "container": request.getfixturevalue("container_of_the_example"),
    }


def gcs_parameters(request: pytest.FixtureRequest) -> Parameters:
    """The example's keys; an emulator is at another address, and the bucket is one of its."""
    example = yaml.safe_load((PROJECT / "examples" / "gcs.yml").read_text())["storage"]["gcs"]
    gcs: GCS = request.getfixturevalue("gcs")
    return {
        **example,
        "endpoint": gcs.url,
        "bucket": request.getfixturevalue("gcs_bucket"),
        "keyfile": str(request.getfixturevalue("gcs_keyfile")),
    }


@pytest.fixture(
    params=[("s3", s3_parameters), ("azure", azure_parameters), ("gcs", gcs_parameters)],
    ids=lambda pair: pair[0],
)
def start_node(
    request: pytest.FixtureRequest, registry_factory: RegistryFactory, postgres_url: str
) -> StartNode:
    """Starts one more server of the same registry: distribution's keys, and where metadata lies."""
    driver, parameters_of = request.param
    parameters = {**parameters_of(request), "rootdirectory": f"/{uuid.uuid4().hex}"}

    def start(**storage: object) -> Registry:
        return registry_factory(
            {
                "storage": {"filesystem": None, driver: parameters, **storage},
                "http": {"secret": "the same everywhere"},
                "longshore": {"database": {"url": postgres_url}},
            }
        )

    return start


@pytest.mark.parametrize("redirect", [True, False])
def test_images_are_pushed_and_pulled(
    shell: Shell, start_node: StartNode, repository: str, tmp_path: Path, redirect: bool
) -> None:
    registry = start_node(redirect={"disable": not redirect})
    digest, images = multi_platform_image(tmp_path / "image")
    reference = f"{registry.host}/{repository}:v1"

    shell("crane", "push", tmp_path / "image", reference)

    assert shell("crane", "digest", reference).out.strip() == digest
    shell("crane", "validate", "--remote", reference)
    with registry.client() as client:
        child = client.get(f"/v2/{repository}/manifests/{images['amd64']}").json()
        layer = child["layers"][0]
        reply = client.get(f"/v2/{repository}/blobs/{layer['digest']}")
    if redirect:
        assert reply.status_code == httpx.codes.TEMPORARY_REDIRECT
        assert reply.headers["Docker-Content-Digest"] == layer["digest"]
        assert digest_of(httpx.get(reply.headers["Location"]).content) == layer["digest"]
    else:
        assert digest_of(reply.content) == layer["digest"]


def test_an_upload_moves_between_servers_and_says_how_large_chunks_should_be(
    start_node: StartNode, repository: str
) -> None:
    content = secrets.token_bytes(13 << 20)
    third = len(content) // 3
    with start_node().client() as one, start_node().client() as two:
        started = one.post(f"/v2/{repository}/blobs/uploads/")
        location = started.headers["Location"]
        location = two.patch(location, content=content[:third]).headers["Location"]
        location = one.patch(location, content=content[third : 2 * third]).headers["Location"]
        digest = digest_of(content)
        done = two.put(wire.with_query(location, digest=digest), content=content[2 * third :])
        back = one.get(f"/v2/{repository}/blobs/{digest}", follow_redirects=True)

    assert started.headers["OCI-Chunk-Min-Length"] == str(5 << 20)
    assert done.status_code == httpx.codes.CREATED, done.text
    assert digest_of(back.content) == digest
