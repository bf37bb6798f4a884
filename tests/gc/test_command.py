"""`garbage-collect` from the command line, beside real servers: when it runs, what it prints."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.clients import wire
from tests.services.images import CONFIG, INDEX, LAYER, MANIFEST, digest_of
from tests.services.registries import Registry, RegistryFactory, server_program

pytestmark = pytest.mark.service

READ_ONLY = {"storage": {"maintenance": {"readonly": {"enabled": True}}}}
NAME = "team/app"


@dataclass(frozen=True)
class Contents:
    """What was pushed: digests of a tagged image, of an untagged one, and of a lost blob."""

    config: str
    layer: str
    tagged: str
    old_layer: str
    untagged: str
    lost: str

    @property
    def kept(self) -> set[str]:
        return {self.config, self.layer, self.tagged}


def push(registry: Registry) -> Contents:
    with registry.client() as client:
        config = wire.blob_descriptor(client, NAME, b"{}", CONFIG)
        digests, layers = [], []
        for content in (b"old", b"new"):
            layer = wire.blob_descriptor(client, NAME, content, LAYER)
            manifest = {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": config,
                "layers": [layer],
            }
            digests.append(wire.push_manifest(client, NAME, manifest, "latest")["digest"])
            layers.append(layer["digest"])
        lost = wire.push_blob(client, NAME, b"nobody refers to me")
    return Contents(config["digest"], layers[1], digests[1], layers[0], digests[0], lost)


def collect(
    registry: Registry, *flags: str, program: str = "longshore"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            str(Path(server_program()).with_name(program)),
            "garbage-collect",
            *flags,
            str(registry.directory / "config.yml"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def stored(registry: Registry) -> set[str]:
    blobs = registry.directory / "data/docker/registry/v2/blobs/sha256"
    return {f"sha256:{file.parent.name}" for file in blobs.glob("*/*/data")}


@pytest.fixture(params=["sqlite", "postgresql"])
def config(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    if request.param == "sqlite":
        return {}
    url = request.getfixturevalue("postgres_url")
    return {"longshore": {"database": {"url": url}}}


def test_it_refuses_while_a_server_accepts_pushes_and_runs_after(
    registry_factory: RegistryFactory, config: Mapping[str, Any]
) -> None:
    registry = registry_factory(config)
    contents = push(registry)

    refused = collect(registry)
    with registry.client() as client:
        pulled = client.get(f"/v2/{NAME}/blobs/{contents.lost}")
    registry_factory.stop(registry)
    done = collect(registry)

    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.startswith("longshore: a server is accepting pushes to this registry")
    assert "REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED=true" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert pulled.status_code == httpx.codes.OK
    assert done.returncode == 0, done.stderr
    assert contents.lost not in stored(registry)


def test_it_runs_beside_a_server_in_read_only_mode_which_goes_on_serving(
    registry_factory: RegistryFactory, config: Mapping[str, Any]
) -> None:
    writing = registry_factory(config)
    contents = push(writing)
    registry_factory.stop(writing)
    registry = registry_factory({**config, **READ_ONLY}, directory=writing.directory)
    with registry.client() as client:
        for digest in (contents.lost, contents.layer):
            assert client.get(f"/v2/{NAME}/blobs/{digest}").status_code == httpx.codes.OK

        done = collect(registry, "--delete-untagged")

        statuses = {
            path: client.get(f"/v2/{NAME}/{path}").status_code
            for path in (
                "manifests/latest",
                f"blobs/{contents.layer}",
                f"blobs/{contents.lost}",
                f"manifests/{contents.untagged}",
                f"blobs/{contents.old_layer}",
            )
        }
    assert done.returncode == 0, done.stderr
    assert list(statuses.values()) == [200, 200, 404, 404, 404]
    assert stored(registry) == contents.kept


def test_it_prints_what_distribution_prints(registry_factory: RegistryFactory) -> None:
    registry = registry_factory()
    contents = push(registry)
    registry_factory.stop(registry)

    told = collect(registry, "-d")
    told_with_untagged = collect(registry, "--dry-run", "-m")
    quiet = collect(registry, "-q", "-d")
    before = stored(registry)
    done = collect(registry, "-m")
    again = collect(registry, "-m")

    assert {told.returncode, quiet.returncode, done.returncode, again.returncode} == {0}
    lines = told.stdout.splitlines()
    assert lines[0] == NAME
    for digest in (contents.tagged, contents.untagged):
        assert f"{NAME}: marking manifest {digest} " in lines
    for digest in (contents.config, contents.layer, contents.old_layer):
        assert f"{NAME}: marking blob {digest}" in lines
    assert f"{NAME}: layer link eligible for deletion: {contents.lost}" in lines
    assert f"blob eligible for deletion: {contents.lost}" in lines
    summary = "5 blobs marked, 1 blobs and 0 manifests eligible for deletion (19 bytes)"
    assert lines[-1] == summary
    assert quiet.stdout == summary + "\n"

    assert contents.lost in before
    lines = done.stdout.splitlines()
    assert f"manifest eligible for deletion: {contents.untagged}" in lines
    assert f"{NAME}: marking manifest {contents.untagged} " not in lines
    for digest in (contents.lost, contents.old_layer, contents.untagged):
        assert f"blob eligible for deletion: {digest}" in lines
    assert lines[-1].startswith("3 blobs marked, 3 blobs and 1 manifests eligible for deletion; ")
    assert told_with_untagged.stdout.splitlines()[:-1] == lines[:-1]
    assert stored(registry) == contents.kept
    assert again.stdout.splitlines()[-1].endswith(
        "0 blobs and 0 manifests eligible for deletion; 0 bytes freed"
    )


def test_registry_garbage_collect_is_the_same_command(registry_factory: RegistryFactory) -> None:
    registry = registry_factory()
    contents = push(registry)

    refused = collect(registry, program="registry")
    registry_factory.stop(registry)
    told = collect(registry, "--dry-run", "--delete-untagged", "--quiet", program="registry")
    done = collect(registry, "-m", "-q", program="registry")

    assert refused.returncode == 1
    assert refused.stderr.startswith("registry: a server is accepting pushes")
    assert told.stdout.startswith("3 blobs marked, 3 blobs and 1 manifests eligible for deletion")
    assert done.stdout.startswith("3 blobs marked, 3 blobs and 1 manifests eligible for deletion")
    assert stored(registry) == contents.kept


def test_what_an_index_or_a_subject_needs_stays(registry_factory: RegistryFactory) -> None:
    """The lost children of indexes are distribution's best-known defect."""
    registry = registry_factory()
    with registry.client() as client:
        config = wire.blob_descriptor(client, NAME, b"{}", CONFIG)
        image = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}
        child = wire.push_manifest(client, NAME, image)
        signed = wire.push_manifest(client, NAME, {**image, "subject": child})
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [child]}
        top = wire.push_manifest(client, NAME, index, "multi")
    registry_factory.stop(registry)

    done = collect(registry, "-m")

    assert done.returncode == 0, done.stderr
    kept = {child["digest"], signed["digest"], top["digest"], digest_of(b"{}")}
    assert stored(registry) == kept


@pytest.mark.parametrize("program", ["longshore", "registry"])
def test_a_failure_is_explained_and_exits_with_1(program: str, tmp_path: Path) -> None:
    command = str(Path(server_program()).with_name(program))

    failed = subprocess.run(
        [command, "garbage-collect", str(tmp_path / "nothing.yml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert failed.returncode == 1
    assert failed.stdout == ""
    assert failed.stderr.startswith(f"{program}: ")
    assert str(tmp_path / "nothing.yml") in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_database_that_knows_nothing_does_not_cost_the_blobs(
    registry_factory: RegistryFactory, tmp_path: Path
) -> None:
    """As when a configuration names the wrong database, or that of another registry's directory."""
    registry = registry_factory()
    push(registry)
    registry_factory.stop(registry)
    before = stored(registry)
    config = registry.directory / "config.yml"
    wrong = {"longshore": {"database": {"url": f"sqlite:///{tmp_path}/another.db"}}}
    config.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), **wrong}))

    refused = collect(registry, "-m")

    assert refused.returncode == 1
    assert refused.stderr.startswith("longshore: nothing was removed: storage has blobs")
    assert stored(registry) == before
