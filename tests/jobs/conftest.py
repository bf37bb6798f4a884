"""A queue on each database, workers with short times, and tasks made of functions."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest

from longshore import migrations
from longshore.db.database import Database
from longshore.jobs import queue, store
from longshore.jobs.attempt import Observer, unobserved
from longshore.jobs.model import Job, JobContext, RetryPolicy, Source, Status, Task
from longshore.jobs.schedule import Schedule
from longshore.jobs.worker import Worker, WorkerOptions
from longshore.telemetry import clock

QUICK = WorkerOptions(
    lease=2.0, poll=0.05, upkeep=0.2, retry=RetryPolicy(attempts=3, first=0.05, longest=0.2)
)


@dataclass
class FunctionTask:
    """A task that does what a function does."""

    function: Callable[[JobContext], Awaitable[None]]
    kind: str = "test"
    concurrency: int = 10

    async def run(self, context: JobContext) -> None:
        await self.function(context)


@dataclass
class Queue:
    """A database with a queue, and the verbs that tests repeat."""

    url: str
    database: Database
    options: WorkerOptions = field(default=QUICK)

    async def add(self, payload: Any = None, kind: str = "test", **more: Any) -> int:
        now = clock.timestamp()
        return await self.database.write(
            partial(queue.enqueue, kind=kind, payload=payload or {}, now=now, **more)
        )

    async def find(self, job: int) -> Job:
        found = await self.database.read(partial(store.find_job, job=job))
        assert found is not None
        return found

    async def log(self, job: int) -> list[str]:
        lines = await self.database.read(partial(store.read_log, job=job))
        return [line.line for line in lines]

    async def until(self, job: int, *wanted: Status, seconds: float = 20) -> Job:
        with anyio.fail_after(seconds):
            while True:
                found = await self.find(job)
                if found.status in wanted:
                    return found
                await anyio.sleep(0.02)

    async def until_listed(self, wanted: Callable[[Job], bool], seconds: float = 20) -> Job:
        """The newest job that is as wanted, once there is one."""
        listed = partial(store.list_jobs, status=None, kind=None, limit=100)
        with anyio.fail_after(seconds):
            while True:
                for found in await self.database.read(listed):
                    if wanted(found):
                        return found
                await anyio.sleep(0.02)

    async def until_gone(self, job: int, seconds: float = 20) -> None:
        with anyio.fail_after(seconds):
            while True:
                if await self.database.read(partial(store.find_job, job=job)) is None:
                    return
                await anyio.sleep(0.05)

    @asynccontextmanager
    async def worker(
        self,
        *tasks: Task,
        schedules: tuple[Schedule, ...] = (),
        sources: tuple[Source, ...] = (),
        observe: Observer = unobserved,
        **changes: Any,
    ) -> AsyncIterator[Worker]:
        """A worker with a database of its own, as if it were another process."""
        database = await anyio.to_thread.run_sync(_opened, self.url)
        options = replace(self.options, **changes)
        worker = Worker(database, tasks, schedules, options, sources=sources, observe=observe)
        try:
            async with worker.running():
                yield worker
        finally:
            await anyio.to_thread.run_sync(database.close)


def _opened(url: str) -> Database:
    database = Database(url, pool_size=3)
    database.open()
    migrations.upgrade(database)
    return database


@pytest.fixture
async def jobs(database_url: str) -> AsyncIterator[Queue]:
    database = await anyio.to_thread.run_sync(_opened, database_url)
    yield Queue(database_url, database)
    await anyio.to_thread.run_sync(database.close)
