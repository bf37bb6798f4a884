"""A process that works on jobs until it is killed: python -m tests.jobs.working URL JOURNAL

Each job takes an exclusive lock on a file of its own while it runs and writes to the journal in one
system call, so the journal holds also when the process is killed in the middle.
"""

import asyncio
import fcntl
import os
import sys
from pathlib import Path

from longshore.db.database import Database
from longshore.jobs.model import JobContext, RetryPolicy
from longshore.jobs.worker import Worker, WorkerOptions

OPTIONS = WorkerOptions(
    lease=2.0, poll=0.05, upkeep=1.0, retry=RetryPolicy(attempts=50, first=0.05, longest=0.2)
)


class Journalled:
    """Writes down that it begins and ends, and whether somebody else was at the same job."""

    kind = "test"
    concurrency = 6

    def __init__(self, journal: Path) -> None:
        self._locks = journal.parent
        self._journal = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    async def run(self, context: JobContext) -> None:
        job = context.job.id
        lock = os.open(self._locks / f"job-{job}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._write("twice", job)
                raise
            self._write("begins", job)
            await asyncio.sleep(0.15)
            await context.checkpoint({"attempt": context.job.attempt})
            self._write("ends", job)
        finally:
            os.close(lock)

    def _write(self, event: str, job: int) -> None:
        os.write(self._journal, f"{event} {job}\n".encode())


async def main(url: str, journal: Path) -> None:
    database = Database(url, pool_size=3)
    database.open()
    async with Worker(database, [Journalled(journal)], options=OPTIONS).running():
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
