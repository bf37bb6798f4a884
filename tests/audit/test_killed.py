"""Servers that are killed while people change things: the log has each change once, verifies, is sent whole, and so
does a backup of it."""

import subprocess
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from sqlalchemy import text

from longshore import app
from longshore.db.database import Database
from longshore.settings import load_configuration
from tests.audit.receiving import SECRET, Receiver, json_lines, listening
from tests.resilience.server import eventually, kill_server
from tests.services.management import PASSWORD
from tests.services.registries import Registry, RegistryFactory, server_program

pytestmark = pytest.mark.service

KILLS = 3
CHANGES = 12  # that are acknowledged before each


class Clients:
    """Three who add projects, one after another; ``made`` are those whose reply arrived."""

    def __init__(self, registry: Registry) -> None:
        self.made: list[str] = []
        self._registry = registry
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=[n]) for n in range(3)]

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        round = self._registry.url.rpartition(":")[2]
        with httpx.Client(
            base_url=self._registry.url, auth=("admin", PASSWORD), timeout=30
        ) as client:
            count = 0
            while not self._end.is_set():
                count += 1
                name = f"p-{round}-{number}-{count}"
                try:
                    reply = client.post("/api/v2.0/projects", json={"project_name": name})
                except httpx.TransportError:
                    return  # it was killed
                assert reply.status_code == 201, reply.text
                self.made.append(name)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [server_program(), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def count(path: Path, query: str) -> int:
    database = Database(app.database_url(load_configuration(path, {})))
    database.open()
    try:
        with database.engine.connect() as connection:
            return int(connection.scalar(text(query)) or 0)
    finally:
        database.close()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_log_whose_servers_are_killed_verifies_and_so_does_its_backup(
    kind, request, registry_factory: RegistryFactory, tmp_path
):
    receiver = Receiver()
    made: list[str] = []
    config: dict[str, Any] = {
        "auth": {"longshore": {}},
        "longshore": {
            "admin": {"password": PASSWORD},
            "jobs": {"poll": "100ms", "lease": "2s"},
        },
    }
    if kind == "postgresql":
        config["longshore"]["database"] = {"url": request.getfixturevalue("postgres_url")}
    with listening(receiver):
        forward = [{"name": "hook", "url": receiver.url, "secret": SECRET}]
        config["longshore"]["audit"] = {"sealkey": "outside", "forward": forward}
        for _ in range(KILLS):
            registry = registry_factory(config, directory=tmp_path / "server", ready=answers)
            with Clients(registry) as clients:
                assert eventually(lambda: len(clients.made) >= CHANGES, 60)
                kill_server(registry)
            made += clients.made
        registry = registry_factory(config, directory=tmp_path / "server", ready=answers)
        path = tmp_path / "server" / "config.yml"
        waits = "SELECT count(*) FROM outbox WHERE listener = 'audit'"
        assert eventually(lambda: count(path, waits) == 0, 60)
        last = count(path, "SELECT last_id FROM audit_state")
        assert eventually(lambda: last in receiver.ids, 60)
        backup = run("backup", tmp_path / "all.backup", path)
        assert backup.returncode == 0, backup.stderr

    verified = run("audit", "verify", "--config", path)
    assert verified.returncode == 0, verified.stdout
    rows = json_lines(run("audit", "export", "--config", path).stdout)
    assert [row["id"] for row in rows] == list(range(1, len(rows) + 1))
    created = [row["resource"] for row in rows if row["resource_type"] == "project"]
    assert len(created) == len(set(created))
    assert set(made) <= set(created)
    assert set(receiver.ids) >= set(range(1, last + 1))

    restored = restored_from(tmp_path / "all.backup", path)
    verified = run("audit", "verify", "--config", restored)
    assert verified.returncode == 0, verified.stdout
    again = json_lines(run("audit", "export", "--config", restored).stdout)
    assert again[:last] == rows[:last]


def answers(registry: Registry) -> bool:
    try:
        return httpx.get(f"{registry.url}/api/v2.0/ping").is_success
    except httpx.TransportError:
        return False


def restored_from(backup: Path, path: Path) -> Path:
    """The configuration of a registry that has what the backup has."""
    document = yaml.safe_load(path.read_text())
    document["longshore"]["database"] = {"url": f"sqlite:///{path.parent}/restored.db"}
    restored = path.with_name("restored.yml")
    restored.write_text(yaml.safe_dump(document))
    done = run("restore", backup, restored)
    assert done.returncode == 0, done.stderr
    return restored
