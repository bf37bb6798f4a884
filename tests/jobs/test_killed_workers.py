"""Worker processes are killed in the middle of their work: no job is lost, none runs twice at once."""

import random
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from longshore.jobs import store
from longshore.jobs.model import Status

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
JOBS, WORKERS, KILLS = 60, 3, 6


class Workers:
    """Processes that can be killed and are then replaced: ``count`` that run a module of the tests."""

    def __init__(self, count: int, module: str, *words: str) -> None:
        self._command = [sys.executable, "-m", module, *words]
        self._running = [self._start() for _ in range(count)]

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, cwd=ROOT, stdout=subprocess.PIPE)

    def wait(self) -> None:
        for process in self._running:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"

    def kill_one(self, chance: random.Random) -> None:
        position = chance.randrange(len(self._running))
        self._end(self._running[position])
        self._running[position] = self._start()

    def end(self) -> None:
        while self._running:
            self._end(self._running.pop())

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.communicate()


async def test_no_job_is_lost_and_none_runs_twice_at_once(jobs, tmp_path):
    journal = tmp_path / "journal"
    ids = [await jobs.add({"n": n}) for n in range(JOBS)]
    chance = random.Random(16)
    words = (jobs.url, str(journal))
    workers = await anyio.to_thread.run_sync(Workers, WORKERS, "tests.jobs.working", *words)
    try:
        await anyio.to_thread.run_sync(workers.wait)
        for _ in range(KILLS):
            await anyio.sleep(chance.uniform(0.1, 0.4))
            await anyio.to_thread.run_sync(workers.kill_one, chance)
        for job in ids:
            await jobs.until(job, Status.DONE, seconds=60)
    finally:
        await anyio.to_thread.run_sync(workers.end)

    events = Counter(line.split()[0] for line in journal.read_text().splitlines())
    ended = {int(line.split()[1]) for line in journal.read_text().splitlines() if "ends" in line}
    assert ended == set(ids)
    assert events["twice"] == 0
    # The kills hit jobs at work, so the test is about something.
    assert events["begins"] > JOBS
    listed = partial(store.list_jobs, status=None, kind=None, limit=JOBS * 2)
    assert {job.status for job in await jobs.database.read(listed)} == {Status.DONE}
