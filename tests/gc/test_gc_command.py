"""`longshore gc` and `longshore why gc` beside a running server."""

import json
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.clients import wire
from tests.gc.test_command import NAME, push, stored
from tests.services.registries import Registry, RegistryFactory, server_program

pytestmark = pytest.mark.service

DOCUMENTED = Path(__file__).parents[2] / "docs" / "garbage-collection.md"


def longshore(registry: Registry, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [server_program(), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=registry.directory,
    )


def make_old(registry: Registry) -> None:
    """As if everything had been pushed a day ago."""
    import sqlite3

    path = next(registry.directory.rglob("longshore.db"))
    with sqlite3.connect(path, timeout=30) as connection:
        for table, column in (
            ("blobs", "created_at"),
            ("blobs", "condemned_at"),
            ("repository_blobs", "linked_at"),
            ("repository_blobs", "condemned_at"),
            ("manifests", "pushed_at"),
            ("manifests", "condemned_at"),
        ):
            connection.execute(f"UPDATE {table} SET {column} = {column} - 86400")  # noqa: S608
    connection.close()


def test_it_collects_beside_a_server_that_goes_on(registry_factory: RegistryFactory) -> None:
    registry = registry_factory()
    contents = push(registry)
    make_old(registry)

    told = longshore(registry, "gc", "config.yml", "--dry-run", "--json")
    marked = longshore(registry, "gc", "config.yml", "-m")
    waiting = longshore(registry, "why", "gc", contents.lost, "--config", "config.yml")
    before = stored(registry)
    make_old(registry)
    swept = longshore(registry, "gc", "config.yml", "-m", "--json")
    needed = longshore(registry, "why", "gc", contents.layer, "--config", "config.yml", "--json")

    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["unused"]["links"] == 1
    assert marked.returncode == 0, marked.stderr
    assert "began to wait: 1 manifests, 2 links, " in marked.stdout
    assert "free from " in marked.stdout
    assert waiting.stdout.startswith(f"{NAME}: a blob that no manifest there needs; found unused")
    assert contents.lost in before
    assert swept.returncode == 0, swept.stderr
    assert "removed: 1 manifests, 2 links, 3 blobs" in json.loads(swept.stdout)["log"][0]
    assert stored(registry) == contents.kept
    assert json.loads(needed.stdout)["kept"] is True
    with registry.client() as client:
        assert client.get(f"/v2/{NAME}/manifests/latest").status_code == httpx.codes.OK
        assert wire.push_blob(client, NAME, b"nobody refers to me") == contents.lost


def test_the_server_collects_by_schedule(registry_factory: RegistryFactory) -> None:
    registry = registry_factory({"longshore": {"gc": {"schedule": "1s", "lease": "60s"}}})
    contents = push(registry)

    for _ in range(2):
        make_old(registry)
        done = longshore(registry, "gc", "config.yml")
        assert done.returncode == 0, done.stderr
    jobs = longshore(registry, "jobs", "list", "--config", "config.yml", "--kind", "gc", "--json")

    assert contents.lost not in stored(registry)
    assert "scheduled" in {job["key"] for job in json.loads(jobs.stdout)}


def test_the_page_shows_what_the_commands_print(registry_factory: RegistryFactory) -> None:
    registry = registry_factory()
    push(registry)
    shown = re.findall(
        r"^\$ longshore (gc .*--dry-run)\n(.*)\n(.*)\n", DOCUMENTED.read_text(), re.M
    )

    printed = longshore(registry, *shown[0][0].split())

    numbers = re.compile(r"\d+")
    assert [numbers.sub("N", line) for line in printed.stdout.splitlines()] == [
        numbers.sub("N", line) for line in shown[0][1:]
    ]


def test_a_digest_that_is_none_is_refused(registry_factory: RegistryFactory) -> None:
    registry = registry_factory()

    refused = longshore(registry, "why", "gc", "sha256:abc", "--config", "config.yml")

    assert refused.returncode == 1
    assert "sha256:abc" in refused.stderr
