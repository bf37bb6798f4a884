"""Who works on the queue: every process of a server, each on a few jobs at a time.

Looking is cheap: an idle worker asks only whether somebody has committed something, unless a job has become due.
"""

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from longshore.db.database import Connection, Database
from longshore.jobs import schedule, store
from longshore.jobs.attempt import Attempt, Observer, unobserved
from longshore.jobs.model import RetryPolicy, Source, Task
from longshore.jobs.schedule import Schedule
from longshore.oci.errors import RegistryError

if TYPE_CHECKING:
    from longshore.db.generation import Generation

logger = logging.getLogger(__name__)

_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Times in seconds. ``parallel`` is how many jobs one worker does at a time; ``upkeep`` how
    often it looks after schedules and removes old jobs."""

    lease: float = 60.0
    poll: float = 1.0
    retention: float = 168 * 3600.0
    dead_retention: float = 720 * 3600.0
    parallel: int = 4
    upkeep: float = 60.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)


class Worker:
    """Does the jobs that ``tasks`` know, sees to it that ``schedules`` are kept, and looks for work in
    ``sources``."""

    def __init__(
        self,
        database: Database,
        tasks: Sequence[Task],
        schedules: Sequence[Schedule] = (),
        options: WorkerOptions | None = None,
        *,
        sources: Sequence[Source] = (),
        observe: Observer = unobserved,
    ) -> None:
        self._database = database
        self._tasks = {task.kind: task for task in tasks}
        self._limits = {task.kind: task.concurrency for task in tasks}
        self._schedules = schedules
        self._kept: Sequence[Schedule] = ()
        self._sources = sources
        self._observe = observe
        self._options = options or WorkerOptions()
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._attempts: dict[asyncio.Task[None], Attempt] = {}
        self._wake = asyncio.Event()
        self._stopping = False
        self._seen: Generation | None = None
        self._due = 0.0
        self._upkeep = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Works while the context lasts; then jobs at work are stopped and given back."""
        loop = asyncio.create_task(self._run())
        try:
            yield
        finally:
            self._stopping = True
            self._wake.set()
            # Not cancelled: a claim on its way would be nobody's until its lease ended.
            await asyncio.wait({loop}, timeout=self._options.lease)
            if not loop.done():
                loop.cancel()
            with suppress(asyncio.CancelledError):
                await loop
            await self._give_back()

    async def _give_back(self) -> None:
        for attempt in self._attempts.values():
            attempt.stop()
        if self._attempts:
            # A task that does not stop keeps its lease for as long as this process lives.
            _, late = await asyncio.wait(self._attempts, timeout=self._options.lease / 4)
            for task in late:
                task.cancel()

    async def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                await self._round()
            except RegistryError as error:
                self._due = 0.0
                logger.warning("the job queue cannot be read, trying again: %s", error)
            except Exception:
                # Whatever it is: no job would run any more.
                self._due = 0.0
                logger.exception("a defect in reading the job queue, trying again")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._options.poll)

    async def _round(self) -> None:
        if time.monotonic() >= self._upkeep:
            self._upkeep = time.monotonic() + self._options.upkeep
            await self._keep_schedules()
            await self._prune()
        if not await self._worth_looking():
            return
        await self._ask_sources()
        while len(self._attempts) < self._options.parallel and not self._stopping:
            if not await self._claim():
                await self._look_ahead()
                return
        self._due = 0.0  # there may be more: look again when one has ended

    async def _worth_looking(self) -> bool:
        """Whether a job may be there that was not at the last look."""
        if len(self._attempts) >= self._options.parallel:
            return False
        seen, self._seen = self._seen, await self._database.generation()
        return self._seen is None or self._seen != seen or time.monotonic() >= self._due

    async def _look_ahead(self) -> None:
        seconds = await self._database.read(store.next_event)
        # Not later than the next upkeep: somebody may set the clock.
        longest = self._options.upkeep
        self._due = time.monotonic() + (longest if seconds is None else min(seconds, longest))

    async def _claim(self) -> bool:
        options = self._options
        if not await self._database.read(partial(store.claimable, limits=self._limits)):
            return False
        since = time.monotonic()
        job = await self._database.write(
            partial(
                store.claim,
                limits=self._limits,
                holder=self._holder,
                lease=options.lease,
                attempts=options.retry.attempts,
            )
        )
        if job is None:
            return False
        attempt = Attempt(
            self._database,
            self._tasks[job.kind],
            job,
            since=since,
            lease=options.lease,
            retry=options.retry,
            observe=self._observe,
        )
        task = asyncio.create_task(attempt.run())
        self._attempts[task] = attempt
        task.add_done_callback(self._ended)
        return True

    def _ended(self, task: asyncio.Task[None]) -> None:
        attempt = self._attempts.pop(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("job %d: a defect in the worker", attempt.job.id, exc_info=error)
        if attempt.job.key == schedule.KEY:  # also one that was set since the last look
            self._upkeep = 0.0
        self._wake.set()

    async def _keep_schedules(self) -> None:
        kept = await self._database.read(partial(schedule.kept, configured=self._schedules))
        # Another program may set schedules of jobs that this one cannot do.
        self._kept = [wanted for wanted in kept if wanted.kind in self._tasks]
        for wanted in self._kept:
            if not await self._database.read(partial(schedule.is_waiting, schedule=wanted)):
                await self._database.write(partial(schedule.ensure, schedule=wanted))

    async def _ask_sources(self) -> None:
        for source in self._sources:
            for kind in await self._database.read(source.wanted):
                # Were it lost in a power failure, the source would say so again.
                await self._database.write(partial(source.enqueue, kind=kind), durable=False)

    async def _prune(self) -> None:
        options = self._options
        look = partial(
            store.outdated,
            retention=options.retention,
            dead_retention=options.dead_retention,
            limit=_BATCH,
        )
        while ids := await self._database.read(look):
            await self._database.write(partial(_forget, ids=ids), durable=False)
            if len(ids) < _BATCH:
                return


def _forget(connection: Connection, ids: Sequence[int]) -> None:
    store.delete_jobs(connection, ids)
