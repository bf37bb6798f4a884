"""`longshore du` beside a running server."""

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.clients import wire
from tests.services.images import CONFIG, LAYER, MANIFEST
from tests.services.registries import Registry, RegistryFactory, server_program

pytestmark = pytest.mark.service

DOCUMENTED = Path(__file__).parents[2] / "docs" / "accounting.md"
BASE = b"base" * 300_000


def du(registry: Registry, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [server_program(), "du", "--config", "config.yml", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=registry.directory,
    )


def push(registry: Registry, name: str, tag: str, *layers: bytes) -> None:
    with registry.client() as client:
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": wire.blob_descriptor(client, name, b"{}", CONFIG),
            "layers": [wire.blob_descriptor(client, name, layer, LAYER) for layer in layers],
        }
        wire.push_manifest(client, name, manifest, tag)


@pytest.fixture
def registry(registry_factory: RegistryFactory) -> Registry:
    registry = registry_factory()
    push(registry, "base/debian", "12", BASE)
    push(registry, "team/app", "v1", BASE, b"one" * 100_000)
    push(registry, "team/app", "v2", BASE, b"two" * 200_000)
    return registry


def test_the_page_shows_what_it_prints(registry: Registry) -> None:
    shown = re.findall(r"^\$ longshore du ?(.*)\n((?:[^$`].*\n)*)", DOCUMENTED.read_text(), re.M)

    printed = [du(registry, arguments.split()) for arguments, _ in shown]

    assert len(shown) == 4
    assert [found.returncode for found in printed] == [0, 0, 0, 0]
    assert [found.stdout for found in printed] == [text for _, text in shown]


def test_programs_get_documents(registry: Registry) -> None:
    whole, projects, repository, tag = (
        json.loads(du(registry, [*arguments, "--json"]).stdout)
        for arguments in ([], ["--depth", "projects"], ["team/app"], ["team/app:v1"])
    )

    assert [found["name"] for found in whole["repositories"]] == ["team/app", "base/debian"]
    assert [found["name"] for found in projects["projects"]] == ["team", "base"]
    assert [found["name"] for found in repository["tags"]] == ["v2", "v1"]
    assert tag["elsewhere"] == {"base/debian": len(BASE) + 2}
    assert tag["stored"] - tag["shared"] == tag["exclusive"] > 300_000
    by_digest = json.loads(du(registry, [f"team/app@{tag['digest']}", "--json"]).stdout)
    assert by_digest == tag


def test_tables_are_sorted_and_cut(registry: Registry) -> None:
    found = du(registry, ["team/app", "--sort", "name", "--limit", "1"])
    within = du(registry, ["team"])

    lines = found.stdout.splitlines()
    assert lines[1].endswith("v1")
    assert lines[2] == "... and 1 more (--limit 0 shows all)"
    assert [line.split()[-1] for line in within.stdout.splitlines()] == ["name", "team/app"]


def test_what_is_not_there_is_refused(registry: Registry) -> None:
    for name, reason in (
        ("nobody", "neither a repository nor a project 'nobody'"),
        ("nobody:v1", "no repository 'nobody'"),
        ("team/app:v3", "repository 'team/app' has no 'v3'"),
        ("team/app@sha256:abc", "sha256:abc"),
    ):
        refused = du(registry, [name])

        assert refused.returncode == 1
        assert reason in refused.stderr
