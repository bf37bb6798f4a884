"""An adoption whose process is killed goes on in the next one, and leaves nothing out."""

import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from benchmarks.adoption import make

from tests.adoption.test_command import longshore
from tests.services.registries import RegistryFactory, server_program

pytestmark = pytest.mark.service

MANIFESTS, REPOSITORIES = 1200, 12


def indexed(database: Path) -> int:
    """How many manifests are rows."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        count: int = connection.execute("SELECT count(*) FROM manifests").fetchone()[0]
        return count


def test_a_killed_adoption_is_finished_by_a_server(
    registry_factory: RegistryFactory, tmp_path: Path
) -> None:
    directory = tmp_path / "old"
    make(directory / "data", MANIFESTS, REPOSITORIES)
    jobs = {"longshore": {"jobs": {"lease": "2s", "poll": "100ms"}}}
    storage = {"filesystem": {"rootdirectory": str(directory / "data")}}
    config = directory / "config.yml"
    config.write_text(yaml.safe_dump({"version": 0.1, "storage": storage, **jobs}))
    database = directory / "data" / "longshore.db"
    longshore("adopt", config)
    with subprocess.Popen([server_program(), "adopt", str(config), "--wait"]) as process:
        while not indexed(database):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    before = indexed(database)

    server = registry_factory(jobs, directory=directory)
    server.service.wait_until(lambda: indexed(database) == MANIFESTS, 60)

    assert 0 < before < MANIFESTS
    assert f"{REPOSITORIES} repositories are taken over" in longshore("adopt", config, "--wait")
    with server.client() as client:
        for number in (0, REPOSITORIES - 1):
            tags = client.get(f"/v2/team{number}/app{number}/tags/list").json()["tags"]
            assert len(tags) == MANIFESTS // REPOSITORIES
