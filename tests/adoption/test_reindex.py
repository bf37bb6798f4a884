"""`longshore reindex`: what a lost database, or one that knows less than storage, gets back."""

from pathlib import Path

import pytest

from tests.adoption.test_command import longshore, push, tags_of
from tests.adoption.test_there_and_back import everything
from tests.clients import wire
from tests.services.images import CONFIG, INDEX, MANIFEST, descriptor
from tests.services.programs import program
from tests.services.registries import Registry, RegistryFactory

pytestmark = pytest.mark.service


def lose_database(registry: Registry) -> None:
    found = list((registry.directory / "data").glob("longshore.db*"))
    assert found
    for path in found:
        path.unlink()


def push_referrer(registry: Registry, name: str, subject: str) -> str:
    with registry.client() as client:
        config = wire.blob_descriptor(client, name, b"{}", CONFIG)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": "application/vnd.test.sbom",
            "config": config,
            "layers": [],
            "subject": {"mediaType": MANIFEST, "digest": subject, "size": 1},
        }
        return str(wire.push_manifest(client, name, manifest)["digest"])


def test_a_lost_database_is_rebuilt_from_the_links(registry_factory: RegistryFactory):
    first = registry_factory()
    digest = push(first, "team/app", "v1")
    push(first, "team/app", "v2")
    push(first, "other", "v1")
    referrer = push_referrer(first, "team/app", digest)
    before = everything(first)
    registry_factory.stop(first)
    config = first.directory / "config.yml"
    longshore("export-links", config)
    lose_database(first)

    said = longshore("reindex", config)

    assert said == "2 repositories were taken over; 0 items were left out\n"
    again = registry_factory(directory=first.directory)
    assert everything(again) == before
    with again.client() as client:
        found = client.get(f"/v2/team/app/referrers/{digest}").json()["manifests"]
    assert [one["digest"] for one in found] == [referrer]


def test_what_another_registry_wrote_since_is_taken_over(
    registry_factory: RegistryFactory, tmp_path: Path, authority
):
    distribution = RegistryFactory(tmp_path, authority, program("docker-registry"))
    first = registry_factory()
    push(first, "team/app", "v1")
    registry_factory.stop(first)
    config = first.directory / "config.yml"
    longshore("export-links", config)
    other = distribution(directory=first.directory)
    push(other, "team/app", "v2")
    push(other, "team/app", "v1")
    push(other, "new/app", "v1")
    between = everything(other)
    distribution.stop(other)

    refused = longshore("reindex", config, code=1)
    longshore("reindex", config, "--replace")

    assert "the database knows 1 repositories" in refused
    again = registry_factory(directory=first.directory)
    assert everything(again) == between


def test_what_storage_does_not_know_is_not_thrown_away(registry_factory: RegistryFactory):
    first = registry_factory()
    push(first, "team/app", "v1")
    registry_factory.stop(first)
    config = first.directory / "config.yml"

    assert "storage has no links" in longshore("reindex", config, "--replace", code=1)
    longshore("export-links", config)
    again = registry_factory(directory=first.directory)
    push(again, "team/app", "v2")
    registry_factory.stop(again)
    refused = longshore("reindex", config, "--replace", code=1)
    longshore("reindex", config, "--replace", "--discard")

    assert "1 repositories have changed since" in refused
    last = registry_factory(directory=first.directory)
    assert list(tags_of(last, "team/app")) == ["v1"]


def test_without_links_manifests_are_found_by_their_content(registry_factory: RegistryFactory):
    first = registry_factory()
    digest = push(first, "team/app", "v1")
    with first.client() as client:
        child = descriptor(client.get("/v2/team/app/manifests/v1").content, MANIFEST)
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [child]}
        parent = wire.push_manifest(client, "team/app", index, "all")["digest"]
        layer = client.get("/v2/team/app/manifests/v1").json()["layers"][0]["digest"]
        wire.push_blob(client, "team/app", b'{"schemaVersion": 2, "mediaType": "text/plain"}')
    registry_factory.stop(first)
    config = first.directory / "config.yml"
    lose_database(first)

    refused = longshore("reindex", config, code=1)
    said = longshore("reindex", config, "--orphans", "lost/found")

    assert "storage has no links" in refused
    assert said.endswith("2 manifests that no link names are in repository lost/found\n")
    again = registry_factory(directory=first.directory)
    with again.client() as client:
        for reference in (digest, parent):
            assert client.get(f"/v2/lost/found/manifests/{reference}").status_code == 200
        assert client.get(f"/v2/lost/found/blobs/{layer}").status_code == 200


def test_a_server_that_takes_pushes_is_not_reindexed(registry_factory: RegistryFactory):
    registry = registry_factory()

    assert "stop it" in longshore("reindex", registry.directory / "config.yml", code=1)
