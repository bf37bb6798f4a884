"""Works on a job in the process of a command, until it is done."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from longshore.db.database import Database
from longshore.jobs import store
from longshore.jobs.model import Job, Status, Task
from longshore.jobs.worker import Worker, WorkerOptions

_POLL: Final = 0.1
_TELL: Final = 5.0


class WorkFailed(Exception):
    """The job has ended, but not well; the message is why."""


async def until_done(
    database: Database,
    task: Task,
    job: int,
    say: Callable[[str], None],
    options: WorkerOptions | None = None,
) -> list[str]:
    """Do the job, unless a server does it already; the lines that it has logged. ``say`` is told
    how far it is.

    Raises WorkFailed.
    """
    async with Worker(database, [task], options=options).running():
        told = 0.0
        while True:
            found = await database.read(partial(store.find_job, job=job))
            if found is None or found.status not in (Status.QUEUED, Status.RUNNING):
                break
            await asyncio.sleep(_POLL)
            told += _POLL
            if told >= _TELL and (line := _line(found)):
                told = 0.0
                say(line)
    if found is not None and found.status is not Status.DONE:
        raise WorkFailed(
            f"job {job} is {found.status.value}: {found.error or 'somebody cancelled it'}; "
            f"`longshore jobs show {job}` tells more"
        )
    return [line.line for line in await database.read(partial(store.read_log, job=job))]


def _line(job: Job) -> str | None:
    if job.status is Status.QUEUED and job.error:
        return f"to be tried again: {job.error}"
    if job.progress_message:
        total = "" if job.progress_total is None else f"/{job.progress_total}"
        return f"{job.progress_done}{total} {job.progress_message}"
    return None
