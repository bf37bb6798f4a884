"""`longshore worker` processes beside a registry of the tests."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.services.processes import Service
from tests.services.registries import Registry, server_program

StartWorker = Callable[..., Service]


@pytest.fixture
def start_worker() -> Iterator[StartWorker]:
    """Starts workers with the configuration of a registry; they end with the test."""
    started: list[Service] = []

    def start(registry: Registry, **env: str) -> Service:
        log = registry.directory / f"worker-{len(started)}.log"
        argv = (server_program(), "worker", registry.directory / "config.yml")
        environment = {**os.environ, "TMPDIR": str(registry.directory), **env}
        worker = Service("worker", argv, log, env=environment)
        started.append(worker)
        worker.wait_until(lambda: "ready; health: " in Path(log).read_text())
        return worker

    yield start
    codes = [worker.stop() for worker in started if worker.process.poll() is None]
    assert set(codes) <= {0}, [worker.tail(15) for worker in started]
