"""kill -9 in a storm of pushes: what was acknowledged is there, and nothing half-written is seen."""

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep

import pytest

from tests.resilience import aftermath
from tests.resilience.ledger import Ledger
from tests.resilience.server import eventually, kill_server, kill_worker, workers
from tests.resilience.storm import Storm, resume
from tests.services.registries import Config, Registry, RegistryFactory

pytestmark = pytest.mark.service


@dataclass
class Installation:
    """A registry of one or several servers that crash and come back to the same data."""

    factory: RegistryFactory
    directory: Path
    dice: random.Random
    database: str = ""
    servers: Sequence[Registry] = ()
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def root(self) -> Path:
        return self.directory / "data"

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.root}/longshore.db"

    def start(self, count: int = 1, maintenance: Config | None = None) -> None:
        config: Config = {
            "storage": {
                "filesystem": {"rootdirectory": str(self.root)},
                "maintenance": maintenance or {},
            },
        }
        if self.database:
            config["longshore"] = {"database": {"url": self.database}}
        self.servers = [
            self.factory(config, directory=self.directory / f"server-{number}")
            for number in range(count)
        ]

    def crash_in_a_storm(self, seed: str) -> None:
        """Kill workers while clients push, then all processes of all servers at once."""
        with Storm([server.host for server in self.servers], self.ledger, seed):
            for _ in range(self.dice.randint(1, 3)):
                self._wait_a_little()
                kill_worker(self.dice.choice(workers(self.dice.choice(self.servers))))
            self._wait_a_little()
            for server in self.servers:
                kill_server(server)

    def _wait_a_little(self) -> None:
        self.ledger.wait_for_blobs(self.dice.randint(5, 15))
        sleep(self.dice.uniform(0, 0.1))

    def check(self) -> None:
        """What was acknowledged is there, by the API, in the directory and in the rows."""
        assert not self.ledger.faults
        stored = aftermath.check_directory(self.root)
        aftermath.check_rows(self.database_url, stored, self.root)
        for server in self.servers:
            with server.client() as client:
                aftermath.check_api(client, self.ledger)

    def finish_uploads(self) -> None:
        """Clients come back and go on with what the crash interrupted."""
        with self.dice.choice(self.servers).client() as client:
            for upload in list(self.ledger.uploads.values()):
                resume(client, upload)
                self.ledger.finished(upload)

    def is_clean(self) -> bool:
        """Neither sessions nor staged bytes are left."""
        sessions = aftermath.count_uploads(self.database_url)
        return sessions == 0 and not aftermath.staged_files(self.root)


@pytest.mark.parametrize(
    ("servers", "rounds"),
    [(1, 3), (2, 1)],
    ids=["sqlite", "postgresql"],
)
def test_nothing_acknowledged_is_lost_and_nothing_half_written_is_seen(
    registry_factory: RegistryFactory,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    dice: random.Random,
    seed: str,
    servers: int,
    rounds: int,
) -> None:
    database = "" if servers == 1 else request.getfixturevalue("postgres_url")
    registry = Installation(registry_factory, tmp_path, dice, database)
    registry.start(servers)

    for number in range(rounds):
        registry.crash_in_a_storm(f"{seed} round {number}")
        registry.start(servers)
        registry.check()
        registry.finish_uploads()
    registry.check()

    # What nobody went on with, and what a crash left behind a day ago, is removed by itself.
    with registry.servers[0].client() as client:
        location = client.post("/v2/storm/one/blobs/uploads/").headers["Location"]
        assert client.patch(location, content=b"x" * 3_000_000).is_success
    for server in registry.servers:
        registry_factory.stop(server)
    for file in aftermath.staged_files(registry.root, "writes"):
        os.utime(file, (0, 0))
    registry.start(servers, {"uploadpurging": {"age": "1s", "interval": "500ms"}})
    assert eventually(registry.is_clean), aftermath.staged_files(registry.root)
    registry.check()
