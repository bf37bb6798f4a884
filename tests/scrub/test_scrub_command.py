"""`longshore scrub` beside a running server, and over a bucket."""

import asyncio
import json
import re
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from longshore import migrations
from longshore.db.database import Database
from longshore.oci.digest import Digest
from longshore.oci.names import RepositoryName
from longshore.registry import store
from longshore.registry.model import Blob
from longshore.scrub.verification import Scrub
from longshore.storage import layout
from longshore.storage.backends import Backends
from longshore.storage.objects import ObjectDriver
from longshore.storage.s3 import S3Store
from longshore.storage.s3_settings import S3Settings
from tests.clients import wire
from tests.services.ceph import ACCESS_KEY, SECRET_KEY, Ceph
from tests.services.images import CONFIG, LAYER, MANIFEST
from tests.services.registries import Registry, RegistryFactory, server_program

pytestmark = pytest.mark.service

DOCUMENTED = Path(__file__).parents[2] / "docs" / "scrub.md"
NAME = "team/app"


def longshore(registry: Registry, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [server_program(), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=registry.directory,
    )


def push(registry: Registry) -> str:
    """An image with the layer ``foo``; the layer's digest."""
    with registry.client() as client:
        config = wire.blob_descriptor(client, NAME, b"{}", CONFIG)
        layer = wire.blob_descriptor(client, NAME, b"foo", LAYER)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config,
            "layers": [layer],
        }
        wire.push_manifest(client, NAME, manifest, "v1")
    found: str = layer["digest"]
    return found


def spoil(registry: Registry, digest: str) -> None:
    path = layout.blob(Digest(digest))
    (registry.directory / "data" / path.removeprefix("/")).write_bytes(b"fou")


def test_the_page_shows_what_happens(registry_factory: RegistryFactory) -> None:
    registry = registry_factory()
    layer = push(registry)
    spoil(registry, layer)
    shown = re.findall(r"^\$ longshore (.*)\n((?:[^$`].*\n)*)", DOCUMENTED.read_text(), re.M)

    found, why = (longshore(registry, command.split()) for command, _ in shown[:2])
    with registry.client() as client:
        refused = client.get(f"/v2/{NAME}/blobs/{layer}")
    push(registry)
    healed = longshore(registry, shown[2][0].split())

    assert len(shown) == 3
    assert [found.returncode, why.returncode, healed.returncode] == [1, 0, 0]
    assert [printed.stdout for printed in (found, why, healed)] == [text for _, text in shown]
    assert refused.status_code == httpx.codes.NOT_FOUND


def test_programs_get_a_document(registry_factory: RegistryFactory) -> None:
    registry = registry_factory()
    layer = push(registry)
    spoil(registry, layer)

    done = longshore(registry, ["scrub", "--config", "config.yml", "--json", layer])
    refused = longshore(registry, ["scrub", "--config", "config.yml", "sha256:abc"])

    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert (document["bad"], document["quarantined"], document["size"]) == ([layer], 1, 9)
    assert refused.returncode == 1
    assert "sha256:abc" in refused.stderr


def test_the_server_scrubs_by_schedule(registry_factory: RegistryFactory) -> None:
    registry = registry_factory({"longshore": {"scrub": {"schedule": "1s", "interval": "0s"}}})
    layer = push(registry)
    spoil(registry, layer)

    with registry.client() as client:
        for _ in range(100):
            if client.head(f"/v2/{NAME}/blobs/{layer}").status_code == httpx.codes.NOT_FOUND:
                break
            longshore(registry, ["jobs", "list", "--config", "config.yml"])
        gone = client.head(f"/v2/{NAME}/blobs/{layer}")
        push(registry)
        healed = client.get(f"/v2/{NAME}/blobs/{layer}")

    assert gone.status_code == httpx.codes.NOT_FOUND
    assert healed.content == b"foo"


def test_a_bucket_is_scrubbed(ceph: Ceph, bucket: str, tmp_path: Path) -> None:
    settings = S3Settings(
        bucket=bucket,
        regionendpoint=ceph.url,
        region="us-east-1",
        accesskey=SecretStr(ACCESS_KEY),
        secretkey=SecretStr(SECRET_KEY),
    )
    database = Database(f"sqlite:///{tmp_path}/longshore.db", pool_size=2)
    database.open()
    migrations.upgrade(database)
    good, bad, lost = b"good" * 1_000_000, b"bad", b"lost"

    async def run() -> tuple[list[str], list[Blob | None]]:
        driver = ObjectDriver(S3Store(settings), "/tests/scrub")
        await driver.open()
        blobs = [Blob(Digest.of(content), len(content)) for content in (good, bad, lost)]
        name = RepositoryName(NAME)
        for blob, content in zip(blobs, (good, b"bed", b""), strict=True):
            if content:
                await driver.write(layout.blob(blob.digest), content)
            link = partial(store.link_blob, name=name, blob=blob, now=0.0)
            await database.write(link)
        tally = await Scrub(database, Backends.of(driver)).run()
        found = [
            await database.read(partial(store.find_blob, name=name, digest=blob.digest))
            for blob in blobs
        ]
        await driver.close()
        return tally.bad, found

    try:
        named, found = asyncio.run(run())
    finally:
        database.close()

    assert set(named) == {Digest.of(bad), Digest.of(lost)}
    assert found == [Blob(Digest.of(good), len(good)), None, None]
