"""Images whose bytes go from a directory to a bucket and back, while clients pull them."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.placement.test_command import ended, held, run
from tests.services.ceph import ACCESS_KEY, SECRET_KEY, Ceph
from tests.services.images import digest_of, multi_platform_image, single_image
from tests.services.programs import Shell
from tests.services.registries import Registry, RegistryFactory

pytestmark = pytest.mark.service


@pytest.fixture
def config(ceph: Ceph, bucket: str) -> dict[str, Any]:
    s3 = {
        "region": "us-east-1",
        "regionendpoint": ceph.url,
        "bucket": bucket,
        "accesskey": ACCESS_KEY,
        "secretkey": SECRET_KEY,
        "rootdirectory": f"/{uuid.uuid4().hex}",
    }
    return {
        "longshore": {
            "storage": {
                "backends": {"bucket": {"s3": s3}},
                "rules": [{"repositories": "*/bucket", "backend": "bucket"}],
            },
            "jobs": {"poll": "100ms"},
        }
    }


@contextmanager
def pulling(shell: Shell, references: list[str]) -> Iterator[list[str]]:
    """Clients that pull all the while; what went wrong."""
    stop, wrong = threading.Event(), list[str]()

    def again_and_again(reference: str) -> None:
        while not stop.is_set():
            try:
                shell("crane", "validate", "--remote", reference)
            except AssertionError as error:
                wrong.append(str(error))

    threads = [threading.Thread(target=again_and_again, args=(name,)) for name in references]
    for thread in threads:
        thread.start()
    try:
        yield wrong
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)


def move(registry: Registry, *words: str) -> None:
    printed = run(registry, "storage", "move", *words)
    job = ended(registry, int(printed.split()[1]))
    assert job["status"] == "done", job


def test_images_go_to_a_bucket_and_back_while_they_are_pulled(
    shell: Shell, registry_factory: RegistryFactory, config: dict[str, Any], tmp_path: Path
) -> None:
    registry = registry_factory(config)
    references = {}
    digest, _ = multi_platform_image(tmp_path / "one")
    pushed = {"here/app": (tmp_path / "one", digest)}
    pushed["team/bucket"] = (tmp_path / "two", single_image(tmp_path / "two"))
    for name, (layout, digest) in pushed.items():
        references[f"{registry.host}/{name}:v1"] = digest
        shell("crane", "push", layout, f"{registry.host}/{name}:v1")
    before = held(registry)
    everything = before["default"][0] + before["bucket"][0]

    with registry.client() as client:
        manifest = client.get("/v2/team/bucket/manifests/v1").json()
        layer = manifest["layers"][0]["digest"]
        told = client.get(f"/v2/team/bucket/blobs/{layer}")
    assert told.status_code == httpx.codes.TEMPORARY_REDIRECT
    assert told.headers["Docker-Content-Digest"] == layer
    assert digest_of(httpx.get(told.headers["Location"]).content) == layer

    with pulling(shell, list(references)) as wrong:
        move(registry, "--to", "bucket")
        there = held(registry)
        move(registry, "--to", "default")
        back = held(registry)

    assert wrong == []
    assert before["bucket"][0] > 0
    assert (there["default"][0], there["bucket"][0]) == (0, everything)
    assert (back["default"][0], back["bucket"][0]) == (everything, 0)
    for reference, digest in references.items():
        assert shell("crane", "digest", reference).out.strip() == digest
        shell("crane", "validate", "--remote", reference)
