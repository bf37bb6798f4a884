"""Jobs are done: once, again after a failure, by one worker at a time, until somebody cancels."""

import asyncio
import itertools
from functools import partial

import anyio
import anyio.to_thread
import pytest
from sqlalchemy import text

from longshore.config.recurrence import Cron, Every, Recurrence
from longshore.jobs import schedule, store
from longshore.jobs.model import LOG_LINES, JobFailed, Postponed, Status
from longshore.jobs.schedule import Schedule
from tests.jobs.conftest import FunctionTask
from tests.outbox.listening import until

pytestmark = pytest.mark.anyio


async def test_a_job_is_done_and_says_what_it_did(jobs):
    async def work(context):
        await context.progress(1, 2, "half")
        await context.progress(2, 2, "all")
        await context.log(f"hello {context.job.payload['name']}")

    job = await jobs.add({"name": "world"})
    async with jobs.worker(FunctionTask(work)):
        found = await jobs.until(job, Status.DONE)

    assert (found.progress_done, found.progress_total, found.progress_message) == (2, 2, "all")
    assert found.attempt == 1
    assert await jobs.log(job) == ["hello world"]


async def test_a_job_waits_until_its_time(jobs):
    async def work(context):
        pass

    later = (await jobs.find(await jobs.add(kind="unknown"))).created_at + 0.5
    job = await jobs.add(run_at=later)
    async with jobs.worker(FunctionTask(work)):
        found = await jobs.until(job, Status.DONE)

    assert found.started_at is not None
    assert found.started_at >= later


async def test_a_failed_attempt_is_repeated_from_its_checkpoint(jobs):
    seen = []

    async def work(context):
        seen.append((context.job.attempt, context.state))
        await context.checkpoint({"reached": context.job.attempt})
        if context.job.attempt < 3:
            raise ValueError("not yet")

    job = await jobs.add()
    async with jobs.worker(FunctionTask(work)):
        await jobs.until(job, Status.DONE)

    assert seen == [(1, None), (2, {"reached": 1}), (3, {"reached": 2})]


async def test_a_job_that_always_fails_is_dead_and_runs_again_when_told(jobs):
    attempts = []

    async def work(context):
        attempts.append(context.job.attempt)
        raise ValueError("on purpose")

    job = await jobs.add()
    async with jobs.worker(FunctionTask(work)):
        found = await jobs.until(job, Status.DEAD)
        assert (await jobs.database.read(store.backlog))["test"].dead == 1
        assert attempts == [1, 2, 3]
        assert found.error == "ValueError: on purpose"

        await jobs.database.write(partial(store.retry_job, job=job))
        await jobs.until(job, Status.DEAD)
        assert attempts == [1, 2, 3, 1, 2, 3]


async def test_a_job_that_cannot_succeed_is_not_repeated(jobs):
    async def work(context):
        raise JobFailed("there is no such repository")

    job = await jobs.add()
    async with jobs.worker(FunctionTask(work)):
        found = await jobs.until(job, Status.DEAD)

    assert (found.attempt, found.error) == (1, "there is no such repository")


async def test_a_running_job_is_cancelled_at_its_next_heartbeat(jobs):
    ended = []

    async def work(context):
        try:
            await anyio.sleep(60)
        finally:
            ended.append(context.job.id)

    job = await jobs.add()
    async with jobs.worker(FunctionTask(work)):
        await jobs.until(job, Status.RUNNING)
        assert await jobs.database.write(partial(store.cancel_job, job=job)) is Status.RUNNING
        await jobs.until(job, Status.CANCELLED, seconds=5)

    assert ended == [job]


async def test_a_job_that_fails_after_it_was_cancelled_is_not_repeated(jobs):
    async def work(context):
        await jobs.database.write(partial(store.cancel_job, job=context.job.id))
        raise ValueError("before the next heartbeat")

    job = await jobs.add(key="a")
    async with jobs.worker(FunctionTask(work), lease=60.0):
        found = await jobs.until(job, Status.CANCELLED, Status.DEAD)

    assert (found.status, found.attempt) == (Status.CANCELLED, 1)
    assert found.finished_at is not None
    assert await jobs.add(key="a") != job


async def test_no_more_jobs_of_a_kind_run_than_may_on_all_workers_together(jobs):
    running, most = set(), []

    async def work(context):
        running.add(context.job.id)
        most.append(len(running))
        await anyio.sleep(0.1)
        running.remove(context.job.id)

    task = FunctionTask(work, concurrency=2)
    ids = [await jobs.add() for _ in range(8)]
    async with jobs.worker(task), jobs.worker(task), jobs.worker(task):
        for job in ids:
            await jobs.until(job, Status.DONE)

    assert len(most) == 8
    assert max(most) == 2


async def test_a_lost_job_is_taken_over_after_its_old_holder_has_stopped(jobs):
    """The old holder's database answers no more, which is what a broken network looks like."""
    journal = []

    async def old(context):
        journal.append("old begins")
        try:
            await anyio.sleep(60)
        finally:
            journal.append("old ends")

    async def new(context):
        journal.append(f"new begins {context.state}")

    async with jobs.worker(FunctionTask(old)) as worker:
        job = await jobs.add()
        await jobs.until(job, Status.RUNNING)
        # Nothing of it reaches the database from here on.
        silence(worker)
        async with jobs.worker(FunctionTask(new)):
            found = await jobs.until(job, Status.DONE)

    assert journal == ["old begins", "old ends", "new begins None"]
    assert found.token == 2


def silence(worker):
    async def never(*_args, **_more):
        await anyio.sleep(60)

    for attempt in worker._attempts.values():
        attempt._database.write = never
        attempt._database.read = never


async def test_who_lost_a_job_can_write_nothing_to_it(jobs):
    job = await jobs.add()
    claim = partial(store.claim, limits={"test": 1}, holder="x", lease=0.01, attempts=9)
    first = await jobs.database.write(claim)
    await anyio.sleep(0.05)
    second = await jobs.database.write(claim)

    assert (first.id, second.id) == (job, job)
    assert second.token > first.token
    for work in (
        partial(store.heartbeat, lease=60, progress=None),
        partial(store.save_checkpoint, state=1),
        partial(store.append_log, line="late"),
        partial(store.end, status=Status.DONE, error=None),
        partial(store.requeue, delay=0, attempt=0, error=None),
    ):
        assert not await jobs.database.write(partial(work, job=job, token=first.token))
    found = await jobs.find(job)
    assert found == second
    assert await jobs.log(job) == []


async def test_a_job_whose_workers_vanish_every_time_is_dead(jobs):
    job = await jobs.add()
    claim = partial(store.claim, limits={"test": 1}, holder="x", lease=0.01, attempts=2)
    for _ in range(2):
        assert await jobs.database.write(claim)
        await anyio.sleep(0.05)

    assert await jobs.database.write(claim) is None
    found = await jobs.find(job)
    assert found.status is Status.DEAD
    assert found.error == "the worker vanished in attempt 2, the last one"


async def test_a_server_that_stops_gives_its_job_back_at_no_cost(jobs):
    async def work(context):
        await anyio.sleep(60)

    job = await jobs.add()
    async with jobs.worker(FunctionTask(work)):
        await jobs.until(job, Status.RUNNING)

    found = await jobs.find(job)
    assert (found.status, found.attempt, found.holder) == (Status.QUEUED, 0, None)


async def test_a_long_job_keeps_its_lease(jobs):
    async def work(context):
        await anyio.sleep(3)

    job = await jobs.add()
    async with jobs.worker(FunctionTask(work)), jobs.worker(FunctionTask(work)):
        found = await jobs.until(job, Status.DONE)

    assert found.token == 1


async def test_the_log_keeps_the_newest_lines(jobs):
    job = await jobs.add()
    claim = partial(store.claim, limits={"test": 1}, holder="x", lease=60, attempts=9)
    await jobs.database.write(claim)

    def write(connection):
        for n in range(LOG_LINES + 10):
            store.append_log(connection, job, 1, f"line {n}")

    await jobs.database.write(write, durable=False)
    lines = await jobs.log(job)

    assert len(lines) == LOG_LINES
    assert lines[-1] == f"line {LOG_LINES + 9}"


async def test_old_jobs_are_removed_with_their_logs_and_dead_ones_later(jobs):
    async def work(context):
        await context.log("a line")
        if context.job.payload:
            raise JobFailed("on purpose")

    done, dead = await jobs.add(), await jobs.add({"fail": True})
    async with jobs.worker(FunctionTask(work), retention=0.5):
        await jobs.until(dead, Status.DEAD)
        await jobs.until_gone(done)

    assert await jobs.log(done) == []
    assert await jobs.log(dead) == ["a line"]


async def test_a_schedule_runs_once_per_tick_on_all_workers_together(jobs):
    ticks: list[float] = []
    ticked: asyncio.Queue[None] = asyncio.Queue()

    async def work(context):
        ticks.append(context.job.run_at)
        ticked.put_nowait(None)

    task, often = FunctionTask(work), Schedule("test", Every(0.5))
    async with jobs.worker(task, schedules=(often,)), jobs.worker(task, schedules=(often,)):
        while len(ticks) < 3:
            async with asyncio.timeout(20):
                await ticked.get()

    assert all(tick % 0.5 == 0 for tick in ticks)
    assert all(earlier < later for earlier, later in itertools.pairwise(ticks))


async def test_a_changed_schedule_is_obeyed_at_once(jobs):
    async def work(context):
        pass

    task = FunctionTask(work)
    ticks: list[Recurrence] = [Cron("0 3 1 1 *"), Cron("0 0 29 2 *"), Every(1e6)]
    for when in ticks:
        async with jobs.worker(task, schedules=(Schedule("test", when),)):
            await jobs.until_listed(lambda job, when=when: job.run_at == when.after(job.created_at))


async def test_ticks_that_nobody_was_there_for_are_made_up_for_by_one_run(jobs):
    ran = []

    async def work(context):
        ran.append(context.job.run_at)

    task, hourly = FunctionTask(work), Schedule("test", Cron("@hourly"))
    missed = await jobs.add(key=schedule.KEY, run_at=1.7e9)
    async with jobs.worker(task, schedules=(hourly,)), jobs.worker(task, schedules=(hourly,)):
        done = await jobs.until(missed, Status.DONE)
        following = await jobs.until_listed(lambda job: job.id != missed)

    assert ran == [1.7e9]
    assert done.finished_at is not None
    assert following.status is Status.QUEUED
    assert following.run_at == hourly.ticks.after(done.finished_at)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_an_idle_worker_on_sqlite_asks_the_database_nothing(jobs):
    async def work(context):
        pass

    async with jobs.worker(FunctionTask(work), upkeep=60.0) as worker:
        await anyio.sleep(1)
        reads = []
        read = worker._database.read

        async def counted(query):
            reads.append(query)
            return await read(query)

        worker._database.read = counted
        await anyio.sleep(0.5)
        assert reads == []
        await jobs.until(await jobs.add(), Status.DONE)
        assert reads


async def test_a_task_that_is_slow_to_stop_is_still_alone(jobs):
    """It keeps its lease while it cleans up after a cancellation."""

    async def work(context):
        try:
            await anyio.sleep(60)
        except asyncio.CancelledError:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(2.5)
            raise

    job = await jobs.add()
    async with jobs.worker(FunctionTask(work)), jobs.worker(FunctionTask(work)):
        await jobs.until(job, Status.RUNNING)
        await jobs.database.write(partial(store.cancel_job, job=job))
        found = await jobs.until(job, Status.CANCELLED)

    assert found.token == 1


async def test_a_postponed_job_runs_again_when_it_said_as_often_as_it_takes(jobs):
    attempts = []

    async def work(context):
        attempts.append(context.job.attempt)
        if len(attempts) < 6:
            raise Postponed(0.05, "the other side is not there yet")

    job = await jobs.add()
    async with jobs.worker(FunctionTask(work)):
        waiting = await jobs.until_listed(lambda found: found.error is not None)
        await jobs.until(job, Status.DONE)

    assert attempts == [1] * 6
    assert waiting.error == "the other side is not there yet"


async def test_every_attempt_is_counted_with_its_outcome(jobs):
    counted: list[str] = []

    async def work(context):
        how = context.job.payload["how"]
        if how == "fail":
            raise ValueError("on purpose")
        if how == "never":
            raise JobFailed("on purpose")
        if how == "postpone" and not counted:
            raise Postponed(0.01, "not now")
        if how == "long":
            await anyio.sleep(60)

    def observe(kind, outcome, seconds):
        assert (kind, seconds >= 0) == ("test", True)
        counted.append(outcome)

    async with jobs.worker(FunctionTask(work), observe=observe):
        await jobs.until(await jobs.add({"how": "postpone"}), Status.DONE)
        await jobs.until(await jobs.add({"how": "fail"}), Status.DEAD)
        await jobs.until(await jobs.add({"how": "never"}), Status.DEAD)
        cancelled = await jobs.add({"how": "long"})
        await jobs.until(cancelled, Status.RUNNING)
        await jobs.database.write(partial(store.cancel_job, job=cancelled))
        await jobs.until(cancelled, Status.CANCELLED)
        await jobs.until(await jobs.add({"how": "long"}), Status.RUNNING)

    assert counted == [
        "postponed",
        "done",
        *("failed", "failed", "dead"),
        "dead",
        "cancelled",
        "stopped",
    ]


async def test_what_a_job_says_need_not_be_text_that_the_database_takes(jobs):
    """Names of files may be any bytes."""
    odd = "layer\udcff\0"

    async def saying(context):
        await context.progress(1, 2, odd)
        await context.log(odd)
        raise JobFailed(odd)

    job = await jobs.add()
    async with jobs.worker(FunctionTask(saying)):
        found = await jobs.until(job, Status.DEAD)

    said = "layer?\N{REPLACEMENT CHARACTER}"
    assert (found.attempt, found.error, found.progress_message) == (1, said, said)
    assert await jobs.log(job) == [said]


class FailingOnce:
    """A source with a defect."""

    def __init__(self):
        self.asked = 0

    def wanted(self, connection):
        self.asked += 1
        if self.asked == 1:
            raise ValueError("a defect")
        return []

    def enqueue(self, connection, kind):
        raise AssertionError(kind)


async def nothing(context):
    pass


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_defect_in_looking_for_jobs_is_told_and_does_not_end_the_worker(jobs, caplog):
    job = await jobs.add()
    async with jobs.worker(FunctionTask(nothing), sources=(FailingOnce(),)):
        await jobs.until(job, Status.DONE)

    assert "a defect in reading the job queue" in caplog.text


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_worker_waits_while_the_database_takes_no_changes(jobs, caplog):
    """As a standby after a failover."""

    def set_read_only(value):
        with jobs.database.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            name = connection.scalar(text("SELECT current_database()"))
            connection.execute(text("SET default_transaction_read_only = off"))
            connection.execute(
                text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {value}')
            )
            if value == "off":
                others = "datname = current_database() AND pid <> pg_backend_pid()"
                connection.execute(
                    text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")  # noqa: S608
                )

    job = await jobs.add()
    await anyio.to_thread.run_sync(set_read_only, "on")
    async with jobs.worker(FunctionTask(nothing)):

        async def told():
            return "the database takes no changes: it is a standby" in caplog.text

        await until(told)
        await anyio.to_thread.run_sync(set_read_only, "off")
        await jobs.until(job, Status.DONE)
