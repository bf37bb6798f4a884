"""A PostgreSQL cluster of the test session's own, and one database per test."""

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from signal import SIGINT

import psycopg
import pytest

from tests.services.processes import Service, free_port
from tests.services.programs import missing

_ACCOUNT = "postgres"


def _binary(name: str) -> str:
    """PostgreSQL's own programs are not on PATH in Debian: take the newest version there is."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = str(versions[-1]) if versions else shutil.which(name)
    if found is None:
        missing("PostgreSQL's server is not installed: run scripts/install-debian-packages")
    return found


class Cluster:
    """A running server; it refuses to run as root, so root starts it as `postgres`."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        user = _ACCOUNT if os.geteuid() == 0 else None
        if user:
            shutil.chown(directory, user, user)
        data = directory / "data"
        subprocess.run(
            [_binary("initdb"), "-D", data, "-U", _ACCOUNT, "-A", "trust", "-N"],
            check=True,
            capture_output=True,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            cwd=directory,
        )
        settings = ["listen_addresses=127.0.0.1", "fsync=off", "max_connections=200"]
        self.service = Service(
            "PostgreSQL",
            [
                *(_binary("postgres"), "-D", data, "-p", str(self.port), "-k", directory),
                *(part for setting in settings for part in ("-c", setting)),
            ],
            directory / "log",
            user=user,
        )
        self.service.wait_until(self._answers)

    def _answers(self) -> bool:
        try:
            self.execute("select 1")
        except psycopg.OperationalError:
            return False
        return True

    def execute(self, statement: str) -> None:
        """Run one statement in the administrative database."""
        address = f"host=127.0.0.1 port={self.port} user={_ACCOUNT} dbname=postgres"
        with psycopg.connect(address, autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement.encode())

    def url(self, database: str) -> str:
        """The URL under which SQLAlchemy (with psycopg) finds a database of this cluster."""
        return f"postgresql+psycopg://{_ACCOUNT}@127.0.0.1:{self.port}/{database}"

    def stop(self) -> None:
        """End the server, dropping clients that are still connected."""
        assert self.service.stop(SIGINT) == 0, self.service.tail()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL server on loopback, one per session (and per xdist worker)."""
    with tempfile.TemporaryDirectory(prefix="longshore-postgres-") as directory:
        cluster = Cluster(Path(directory))
        try:
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture
def postgres_url(postgres: Cluster) -> Iterator[str]:
    """The URL of an empty PostgreSQL database that is dropped after the test."""
    name = f"t{uuid.uuid4().hex}"
    postgres.execute(f'create database "{name}"')
    yield postgres.url(name)
    postgres.execute(f'drop database "{name}" with (force)')
