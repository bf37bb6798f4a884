"""A registry of three backends, and a worker that moves bytes between them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

import anyio
import pytest

from longshore.jobs import queue, store
from longshore.jobs.model import Job, RetryPolicy, Status, Task
from longshore.jobs.worker import Worker, WorkerOptions
from longshore.oci.digest import Digest
from longshore.placement.model import MOVE, REMOVAL, Move
from longshore.placement.move import StorageMove
from longshore.placement.removal import SpareCopyRemoval
from longshore.storage import layout
from longshore.storage.backends import Placement
from longshore.storage.driver import PathNotFound
from longshore.telemetry import clock
from tests.services.in_process import Cluster, Registry

QUICK = WorkerOptions(
    lease=2.0, poll=0.05, upkeep=0.2, retry=RetryPolicy(attempts=2, first=0.05, longest=0.1)
)


@dataclass
class Movers:
    """The worker of a node, and the verbs that tests repeat."""

    registry: Registry
    grace: float = 0.0

    @property
    def tasks(self) -> list[Task]:
        database, backends = self.registry.database, self.registry.backends
        return [
            StorageMove(database, backends, self.grace),
            SpareCopyRemoval(database, backends, self.grace),
        ]

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        worker = Worker(self.registry.database, self.tasks, (), replace(QUICK))
        async with worker.running():
            yield

    async def queue(self, move: Move | None) -> int:
        kind, payload = (MOVE, move.to_json()) if move else (REMOVAL, {})
        add = partial(queue.enqueue, kind=kind, payload=payload, key="test", now=clock.timestamp())
        return await self.registry.database.write(add)

    async def ended(self, job: int) -> Job:
        with anyio.fail_after(60):
            while True:
                found = await self.registry.database.read(partial(store.find_job, job=job))
                assert found is not None
                if found.status not in (Status.QUEUED, Status.RUNNING):
                    return found
                await anyio.sleep(0.02)

    async def move(self, to: str, **more: object) -> Job:
        """Move, and remove what is spare afterwards."""
        async with self.working():
            moved = await self.ended(await self.queue(Move(to, **more)))  # type: ignore[arg-type]
            await self.remove()
        return moved

    async def remove(self) -> None:
        """Let what is spare be removed."""
        job = await self.queue(None)
        with anyio.fail_after(60):
            while True:
                found = await self.registry.database.read(partial(store.find_job, job=job))
                if found is None or found.status not in (Status.QUEUED, Status.RUNNING):
                    return
                await anyio.sleep(0.02)

    async def log(self, job: Job) -> str:
        lines = await self.registry.database.read(partial(store.read_log, job=job.id))
        return "\n".join(line.line for line in lines)

    async def places(self, digest: Digest) -> list[str]:
        """The backends that have the bytes."""
        found = []
        for name, backend in self.registry.backends.all.items():
            try:
                await backend.driver.stat(layout.blob(digest))
            except PathNotFound:
                continue
            found.append(name)
        return found


@pytest.fixture
def cluster(cluster: Cluster) -> Cluster:
    cluster.named = ("cold", "fast")
    cluster.rules = (Placement("archive/**", "cold"),)
    return cluster


@pytest.fixture
def movers(registry: Registry) -> Movers:
    return Movers(registry)
