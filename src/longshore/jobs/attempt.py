"""One attempt at a job: from its claim to the row that says how it ended."""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import Any, Final

from longshore.db.database import Connection, Database
from longshore.jobs import store
from longshore.jobs.model import (
    Job,
    JobFailed,
    Postponed,
    Progress,
    RetryPolicy,
    Status,
    Task,
    kept_line,
)
from longshore.oci.errors import RegistryError

logger = logging.getLogger(__name__)

#: Parts of a lease: between two heartbeats; after which, unanswered, the holder stops by itself.
#: What is left is the time it has for that before somebody else may begin.
_BEAT: Final = 0.25
_DEADLINE: Final = 0.75
#: Progress is written this often, in seconds.
_REPORT: Final = 1.0


Observer = Callable[[str, str, float], None]
"""Told the kind of a job, how an attempt at it ended, and how many seconds that took."""


def unobserved(_kind: str, _outcome: str, _seconds: float) -> None:
    """Nobody counts attempts."""


class _Why(Enum):
    """Who ended the attempt, if it did not end by itself."""

    CANCELLED = auto()
    LOST = auto()
    STOPPING = auto()


class Attempt:
    """``since`` is the monotonic time before the job was claimed: the lease cannot have begun
    earlier. Also the JobContext of the task."""

    def __init__(
        self,
        database: Database,
        task: Task,
        job: Job,
        *,
        since: float,
        lease: float,
        retry: RetryPolicy,
        observe: Observer = unobserved,
    ) -> None:
        self.job = job
        self.state: Any = job.checkpoint
        self._database = database
        self._task = task
        self._lease = lease
        self._retry = retry
        self._observe = observe
        self._outcome = ""
        self._deadline = since + lease * _DEADLINE
        self._why: _Why | None = None
        self._work: asyncio.Task[None] | None = None
        self._progress: Progress | None = None
        self._reported = -_REPORT
        self._traceless = False

    # ── for the worker ──

    async def run(self) -> None:
        """Until the job has ended or belongs to somebody else. Raises nothing but CancelledError."""
        began = time.monotonic()
        self._work = asyncio.create_task(self._task.run(self))
        if self._why is not None:  # told to stop before it began
            self._work.cancel()
        others = [asyncio.create_task(self._keep()), asyncio.create_task(self._watch())]
        try:
            await asyncio.wait({self._work})
        finally:
            for other in others:
                other.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        seconds = time.monotonic() - began
        await self._settle(self._work)
        self._observe(self.job.kind, self._outcome, seconds)

    def stop(self) -> None:
        """The server ends: let the task stop and give the job back."""
        self._end(_Why.STOPPING)

    # ── for the task (JobContext) ──

    async def progress(self, done: int, total: int | None = None, message: str = "") -> None:
        self._progress = Progress(done, total, message)
        if time.monotonic() - self._reported >= _REPORT:
            self._reported = time.monotonic()
            await self._tell(partial(store.report, progress=self._progress), durable=False)

    async def log(self, line: str) -> None:
        await self._tell(partial(store.append_log, line=line), durable=False)

    async def checkpoint(self, state: Any) -> None:
        await self._tell(partial(store.save_checkpoint, state=state), durable=True)
        self.state = state

    def leave_no_trace(self) -> None:
        self._traceless = True

    # ── inside ──

    async def _tell(self, work: Callable[[Connection, int, int], bool], *, durable: bool) -> None:
        if not await self._write(work, durable=durable):
            self._end(_Why.LOST)
            raise asyncio.CancelledError

    async def _write(
        self, work: Callable[[Connection, int, int], bool], *, durable: bool = True
    ) -> bool:
        job, token = self.job.id, self.job.token
        return await self._database.write(
            lambda connection: work(connection, job, token), durable=durable
        )

    def _end(self, why: _Why) -> None:
        if self._work is not None and self._work.done():
            return
        if self._why is None or why is _Why.LOST:
            self._why = why
            if self._work is not None:
                self._work.cancel()

    async def _watch(self) -> None:
        """Stop the task before the lease ends, by this machine's own clock: the database may be what
        does not answer."""
        while True:
            left = self._deadline - time.monotonic()
            if left <= 0:
                break
            await asyncio.sleep(left)
        logger.warning("job %d (%s): its lease could not be kept", self.job.id, self.job.kind)
        self._end(_Why.LOST)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._lease * _BEAT)
            began = time.monotonic()
            try:
                found = await self._database.write(
                    partial(
                        store.heartbeat,
                        job=self.job.id,
                        token=self.job.token,
                        lease=self._lease,
                        progress=self._progress,
                    )
                )
            except RegistryError as error:
                logger.warning("job %d: no heartbeat: %s", self.job.id, error)
                continue
            if found is None:
                self._end(_Why.LOST)
                return
            self._deadline = began + self._lease * _DEADLINE
            if found.cancel_at is not None:
                self._end(_Why.CANCELLED)

    async def _settle(self, work: asyncio.Task[None]) -> None:
        if self._why is _Why.LOST:
            self._retrieve(work)
            self._outcome = "lost"
            logger.warning("job %d (%s) was left to others", self.job.id, self.job.kind)
            return
        ending = self._ending(work)
        while True:
            try:
                await self._write(ending)
                return
            except RegistryError as error:
                if time.monotonic() > self._deadline:
                    # Done or not, the row still says running: it will be done again.
                    logger.warning("job %d: how it ended is not recorded: %s", self.job.id, error)
                    return
                await asyncio.sleep(self._lease * _BEAT / 4)

    @staticmethod
    def _retrieve(work: asyncio.Task[None]) -> BaseException | None:
        """The task's exception; None if it returned."""
        return asyncio.CancelledError() if work.cancelled() else work.exception()

    def _ending(self, work: asyncio.Task[None]) -> Callable[[Connection, int, int], bool]:
        """What to write, from how the task ended and who wanted it to. Sets the outcome."""
        error = self._retrieve(work)
        finish = partial(store.end, progress=self._progress)
        if error is None:
            self._outcome = "done"
            done = partial(finish, status=Status.DONE, error=None)
            return store.remove if self._traceless else done
        if self._why is _Why.CANCELLED:
            self._outcome = "cancelled"
            return partial(finish, status=Status.CANCELLED, error=None)
        if isinstance(error, asyncio.CancelledError) and self._why is _Why.STOPPING:
            self._outcome = "stopped"  # nobody failed, so it costs no attempt
            return partial(store.requeue, delay=0.0, attempt=self.job.attempt - 1, error=None)
        name, kind, attempt = self.job.id, self.job.kind, self.job.attempt
        if isinstance(error, Postponed):
            self._outcome = "postponed"
            logger.warning("job %d (%s) waits %.0f s: %s", name, kind, error.seconds, error)
            again = partial(store.requeue, delay=error.seconds, error=str(error))
            return partial(again, attempt=attempt - 1)
        if isinstance(error, JobFailed):
            self._outcome = "dead"
            logger.error("job %d (%s) failed for good: %s", name, kind, kept_line(str(error)))
            return partial(finish, status=Status.DEAD, error=str(error))
        reason = f"{type(error).__name__}: {error}"
        if attempt >= self._retry.attempts:
            self._outcome = "dead"
            logger.error("job %d (%s) failed %d times", name, kind, attempt, exc_info=error)
            return partial(finish, status=Status.DEAD, error=reason)
        self._outcome = "failed"
        delay = self._retry.delay(attempt, random.random())  # noqa: S311 - no secret
        logger.warning("job %d (%s) failed, again in %.0f s", name, kind, delay, exc_info=error)
        return partial(store.requeue, delay=delay, attempt=attempt, error=reason)
