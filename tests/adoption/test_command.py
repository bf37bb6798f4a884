"""`longshore adopt` from the command line, on a directory that distribution wrote."""

import io
import json
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from longshore.cli.main import main
from tests.clients import wire
from tests.services.certificates import Authority
from tests.services.images import CONFIG, LAYER, MANIFEST
from tests.services.programs import program
from tests.services.registries import Registry, RegistryFactory

pytestmark = pytest.mark.service


@pytest.fixture
def distribution(tmp_path: Path, authority: Authority) -> Iterator[RegistryFactory]:
    """Starts Debian's docker-registry."""
    factory = RegistryFactory(tmp_path / "distribution", authority, program("docker-registry"))
    yield factory
    factory.close()


def longshore(*arguments: str | Path, code: int = 0) -> str:
    """What the command prints; it must end with this code. It runs in this process, because that
    takes a tenth of the time of one that has everything to import."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([*map(str, arguments)])
    assert (ended.value.code or 0) == code, out.getvalue() + err.getvalue()
    return out.getvalue() if code == 0 else out.getvalue() + err.getvalue()


def push(registry: Registry, name: str, tag: str) -> str:
    with registry.client() as client:
        config = wire.blob_descriptor(client, name, b"{}", CONFIG)
        layer = wire.blob_descriptor(client, name, f"{name}:{tag}".encode(), LAYER)
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}
        return str(wire.push_manifest(client, name, manifest, tag)["digest"])


def files(directory: Path) -> dict[str, tuple[int, int]]:
    """Every file and directory with its size and time of change."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in directory.rglob("*")
    }


def test_a_check_reports_what_is_there_and_changes_nothing(distribution):
    registry = distribution()
    push(registry, "team/app", "v1")
    push(registry, "team/app", "v2")
    distribution.stop(registry)
    config = registry.directory / "config.yml"
    before = files(registry.directory / "data")

    said = longshore("adopt", config, "--check")
    document = json.loads(longshore("adopt", config, "--check", "--json"))

    assert "1 repositories, 2 tags, 3 links to layers" in said
    assert "no trouble was found" in said
    assert (document["tags"], document["manifests"], document["troubles"]) == (2, 2, [])
    assert files(registry.directory / "data") == before


def test_a_check_that_finds_trouble_names_it_and_fails(distribution):
    registry = distribution()
    digest = push(registry, "team/app", "v1")
    distribution.stop(registry)
    config = registry.directory / "config.yml"
    link = registry.directory / "data/docker/registry/v2/repositories/team/app"
    link = link / "_manifests/revisions" / digest.replace(":", "/") / "link"
    link.write_text("")

    said = longshore("adopt", config, "--check", code=1)
    document = json.loads(longshore("adopt", config, "--check", "--json", code=1))

    assert (
        f"_manifests/revisions/{digest.replace(':', '/')}/link: no digest, but it is empty" in said
    )
    assert document["trouble"] == {"broken link": 1, "broken tag": 1}


def test_a_check_of_an_empty_directory_says_that_there_is_no_registry(distribution, tmp_path):
    config = tmp_path / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/none}}}}\n"
    )

    assert "storage holds no registry" in longshore("adopt", config, "--check", code=1)
    assert not (tmp_path / "none").exists()


def tags_of(registry: Registry, name: str) -> dict[str, str]:
    """What every tag names."""
    with registry.client() as client:
        listed = client.get(f"/v2/{name}/tags/list")
        assert listed.status_code == 200, listed.text
        tags = sorted(listed.json()["tags"])
        heads = [client.head(f"/v2/{name}/manifests/{tag}") for tag in tags]
        return {
            tag: head.headers["docker-content-digest"]
            for tag, head in zip(tags, heads, strict=True)
        }


def test_a_server_serves_what_another_registry_left_while_its_workers_take_it_over(
    distribution, registry_factory
):
    old = distribution()
    pushed = {tag: push(old, "team/app", tag) for tag in ("v1", "v2", "latest")}
    distribution.stop(old)
    config = old.directory / "config.yml"

    said = longshore("adopt", config)
    new = registry_factory(directory=old.directory)

    assert "the adoption of 1 repositories begins" in said
    assert tags_of(new, "team/app") == pushed
    while "adoption finished" not in (said := longshore("adopt", config, "--status")):
        assert "adoption running" in said
    assert "1 of 1 repositories" in said
    # The job says so in its log, and ends, after the state has changed.
    while "status:    done" not in (told := longshore("jobs", "show", "1", "-c", config)):
        assert "running" in told
    assert "taken over; 0 items were left out" in told
    assert tags_of(new, "team/app") == pushed


def test_a_server_that_runs_already_learns_of_the_adoption(distribution, registry_factory):
    old = distribution()
    push(old, "team/app", "v1")
    distribution.stop(old)
    new = registry_factory(directory=old.directory)
    new.service.wait_until(lambda: "with `longshore adopt CONFIG`" in new.service.tail(50))

    said = longshore("adopt", old.directory / "config.yml", "--wait")

    assert said == "1 repositories are taken over\n"
    assert list(tags_of(new, "team/app")) == ["v1"]


def test_an_adoption_leaves_storage_as_it_is_and_is_not_begun_twice(distribution):
    old = distribution()
    push(old, "team/app", "v1")
    distribution.stop(old)
    config, data = old.directory / "config.yml", old.directory / "data/docker"
    before = files(data)

    longshore("adopt", config, "--wait")
    document = json.loads(longshore("adopt", config, "--status", "--json"))
    again = longshore("adopt", config)

    assert document == {
        "state": "finished",
        "repositories": 1,
        "indexed": 1,
        "left_out": 0,
        "troubles": [],
    }
    assert "`longshore reindex` takes that over" in again
    assert files(data) == before


def test_an_adoption_of_nothing_is_refused(distribution, tmp_path):
    config = tmp_path / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/none}}}}\n"
    )

    assert "storage holds no repositories" in longshore("adopt", config, code=1)
    assert "nothing was adopted" not in longshore("adopt", config, "--status")
