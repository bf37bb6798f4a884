"""A full disk: a clear refusal, nothing lost, pulls go on, and pushes too when there is room."""

import os
import random
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.clients import wire
from tests.resilience import aftermath
from tests.resilience.disk import SmallDisk
from tests.resilience.storm import children
from tests.services.images import CONFIG, LAYER, MANIFEST, digest_of, json_bytes
from tests.services.registries import Config, Registry, RegistryFactory, server_program

pytestmark = pytest.mark.service

NAME = "team/app"


@pytest.fixture(params=["storage", "storage and database"])
def config(request: pytest.FixtureRequest, small_disk: SmallDisk, tmp_path: Path) -> Config:
    """What lies on the small disk: only the bytes, or the rows too."""
    full = request.param != "storage"
    database = (small_disk.path if full else tmp_path) / "longshore.db"
    return {
        "storage": {"filesystem": {"rootdirectory": str(small_disk.path / "data")}},
        "longshore": {"database": {"url": f"sqlite:///{database}"}},
    }


def push_image(client: httpx.Client, dice: random.Random, tag: str, size: int) -> str:
    """Push an image of two layers; its digest."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": wire.blob_descriptor(client, NAME, json_bytes({"of": tag}), CONFIG),
        "layers": [
            wire.blob_descriptor(client, NAME, dice.randbytes(size), LAYER) for _ in range(2)
        ],
    }
    digest: str = wire.push_manifest(client, NAME, manifest, tag)["digest"]
    return digest


def check_image(client: httpx.Client, digest: str) -> None:
    content = client.get(f"/v2/{NAME}/manifests/{digest}").content
    assert digest_of(content) == digest
    for blob in children(content)[1]:
        assert digest_of(client.get(f"/v2/{NAME}/blobs/{blob}").content) == blob


def monolithic(client: httpx.Client, content: bytes) -> httpx.Response:
    started = client.post(f"/v2/{NAME}/blobs/uploads/")
    if started.status_code != httpx.codes.ACCEPTED:
        return started
    location = started.headers["Location"]
    return client.put(wire.with_query(location, digest=digest_of(content)), content=content)


def single_post(client: httpx.Client, content: bytes) -> httpx.Response:
    query = {"digest": digest_of(content)}
    return client.post(f"/v2/{NAME}/blobs/uploads/", params=query, content=content)


def chunked(client: httpx.Client, content: bytes) -> httpx.Response:
    started = client.post(f"/v2/{NAME}/blobs/uploads/")
    if started.status_code != httpx.codes.ACCEPTED:
        return started
    location = started.headers["Location"]
    step = len(content) // 3 + 1
    for start in range(0, len(content), step):
        patched = client.patch(location, content=content[start : start + step])
        if patched.status_code != httpx.codes.ACCEPTED:
            return patched
    return client.put(wire.with_query(location, digest=digest_of(content)))


WAYS: list[Callable[[httpx.Client, bytes], httpx.Response]] = [monolithic, single_post, chunked]


def push_until_full(registry: Registry, seed: str) -> tuple[set[str], list[httpx.Response]]:
    """Push from four threads until each was refused a few times: what was accepted, the refusals."""

    def push(number: int) -> tuple[set[str], list[httpx.Response]]:
        dice = random.Random(f"{seed} {number}")
        accepted: set[str] = set()
        refusals: list[httpx.Response] = []
        with registry.client() as client:
            while len(refusals) < 4:
                content = dice.randbytes(dice.choice((20_000, 700_000, 1_500_000)))
                answer = dice.choice(WAYS)(client, content)
                if answer.is_success:
                    accepted.add(digest_of(content))
                else:
                    refusals.append(answer)
        return accepted, refusals

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(push, range(4)))
    return set().union(*(each for each, _ in results)), [r for _, each in results for r in each]


def refused_push_of_a_manifest(client: httpx.Client, like: str) -> httpx.Response:
    """Push a manifest that needs nothing new but room for itself."""
    document = client.get(f"/v2/{NAME}/manifests/{like}").json()
    content = json_bytes({**document, "annotations": {"more": "x" * 8192}})
    headers = {"Content-Type": MANIFEST}
    return client.put(f"/v2/{NAME}/manifests/full", content=content, headers=headers)


def test_a_full_disk_refuses_pushes_keeps_what_it_has_and_recovers(
    registry_factory: RegistryFactory,
    small_disk: SmallDisk,
    config: Config,
    dice: random.Random,
    seed: str,
) -> None:
    registry = registry_factory(config)
    with registry.client() as client:
        before = push_image(client, dice, "before", 300_000)
        interrupted, content = wire.start_upload(client, NAME), dice.randbytes(600_000)
        assert client.patch(interrupted, content=content[:300_000]).is_success

        small_disk.fill(leave=6 << 20)
        accepted, refusals = push_until_full(registry, seed)
        small_disk.fill()
        refusals += [way(client, dice.randbytes(50_000)) for way in WAYS]
        refusals.append(refused_push_of_a_manifest(client, before))

        for refusal in refusals:
            error = refusal.json()["errors"][0]
            assert (refusal.status_code, error["code"]) == (507, "STORAGE_FULL"), error
        check_image(client, before)
        for digest in accepted:
            assert digest_of(client.get(f"/v2/{NAME}/blobs/{digest}").content) == digest
        assert client.get(f"/v2/{NAME}/tags/list").json()["tags"] == ["before"]

        small_disk.make_room()
        assert client.get(interrupted).headers["Range"] == "0-299999"
        assert client.patch(interrupted, content=content[300_000:]).is_success
        wire.finish_upload(client, interrupted, digest_of(content))
        check_image(client, push_image(client, dice, "after", 300_000))
    root = small_disk.path / "data"
    stored = aftermath.check_directory(root)
    aftermath.check_rows(config["longshore"]["database"]["url"], stored, root)


def test_a_server_that_starts_on_a_full_disk_serves_pulls(
    registry_factory: RegistryFactory, small_disk: SmallDisk, tmp_path: Path, dice: random.Random
) -> None:
    config = {
        "storage": {"filesystem": {"rootdirectory": str(small_disk.path / "data")}},
        "longshore": {"database": {"url": f"sqlite:///{tmp_path}/longshore.db"}},
    }
    registry = registry_factory(config)
    with registry.client() as client:
        image = push_image(client, dice, "before", 300_000)
    registry_factory.stop(registry)
    small_disk.fill()

    with registry_factory(config).client() as client:
        check_image(client, image)
        refused = single_post(client, b"too much")

    assert refused.status_code == httpx.codes.INSUFFICIENT_STORAGE


def test_a_server_without_room_for_its_database_says_so(small_disk: SmallDisk) -> None:
    root = small_disk.path / "data"
    root.mkdir()
    small_disk.fill()

    started = subprocess.run(
        [server_program(), "serve"],
        env={**os.environ, "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert started.returncode == 1
    assert started.stderr.splitlines()[-1].startswith(
        "longshore: the disk that holds the database is full"
    )
