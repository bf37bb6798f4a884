"""Listeners are told of every committed change and of no other, each at its own pace."""

from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest
from sqlalchemy import text

from longshore.background import gauges
from longshore.jobs import store as job_store
from longshore.jobs.model import Status
from longshore.outbox import store
from longshore.outbox.delivery import Arrivals, kind_of
from longshore.outbox.expiry import EventExpiry
from longshore.outbox.model import Origin, Recorded
from longshore.outbox.recording import Outbox
from longshore.telemetry import clock
from tests.outbox.listening import Happened, Hearing, Noting, delivery, until

pytestmark = pytest.mark.anyio


def happened(n, what="app", **more):
    return Happened(at=clock.timestamp(), what=what, n=n, **more)


class Ready:
    """An outbox whose listeners are those given, and a worker that delivers to them."""

    def __init__(self, jobs, *listeners):
        self.jobs = jobs
        self.listeners = listeners
        self.outbox = Outbox(listeners)

    async def append(self, *events, fail=False):
        def write(connection):
            self.outbox.append(connection, events)
            if fail:
                raise ValueError("on purpose")

        await self.jobs.database.write(write)

    async def waiting(self):
        return await self.jobs.database.read(store.backlog)

    async def until_empty(self):
        async def empty():
            return not await self.waiting()

        await until(empty)

    @asynccontextmanager
    async def delivering(self, **more):
        tasks = [delivery(self.jobs.database, listener, **more) for listener in self.listeners]
        arrivals = Arrivals([listener.name for listener in self.listeners])
        async with self.jobs.worker(*tasks, sources=(arrivals,)) as worker:
            yield worker


async def test_a_listener_is_told_what_was_committed_in_order_and_nothing_else(jobs):
    ready = Ready(jobs, hearing := Hearing())
    origin = Origin(actor="alice", address="192.0.2.7", host="registry.example")
    async with ready.delivering():
        await ready.append(first := happened(0, parts=("a", "b"), origin=origin))
        with pytest.raises(ValueError, match="on purpose"):
            await ready.append(happened(1), fail=True)
        await ready.append(happened(2), happened(3))
        await ready.until_empty()

    assert hearing.numbers == [0, 2, 3]
    assert hearing.heard[0].event == first
    assert len({found.id for found in hearing.heard}) == 3


async def test_more_events_than_one_call_takes_arrive_in_order(jobs):
    ready = Ready(jobs, hearing := Hearing())
    await ready.append(*(happened(n) for n in range(350)))
    async with ready.delivering():
        await ready.until_empty()

    assert hearing.numbers == list(range(350))


async def test_a_listener_that_fails_gets_the_same_events_again_and_keeps_nobody_waiting(jobs):
    fails, good = [], Hearing("good")

    async def fail(events):
        fails.append([found.id for found in events])
        if len(fails) < 4:
            raise ConnectionError("nobody answers")

    ready = Ready(jobs, bad := Hearing("bad", before=fail), good)
    async with ready.delivering():
        await ready.append(happened(1))
        await ready.until_empty()

    assert good.numbers == [1]
    assert bad.numbers == [1]
    assert fails == [[bad.heard[0].id]] * 4
    assert good.heard[0].id == bad.heard[0].id


async def test_a_listener_that_always_fails_is_never_given_up_and_says_why(jobs):
    tried = []

    async def fail(events):
        tried.append(events)
        raise ConnectionError("nobody answers")

    ready = Ready(jobs, Hearing(before=fail))
    async with ready.delivering():
        await ready.append(happened(1))

        # More often than a job that fails may be repeated.
        async def often():
            return len(tried) > 4

        await until(often)
        job = await jobs.until_listed(lambda job: job.status is Status.QUEUED)

    assert job.kind == kind_of("hearing")
    assert job.error == "ConnectionError: nobody answers"
    assert (await ready.waiting())["hearing"][0] == 1


async def test_a_delivery_that_worked_leaves_no_job_behind(jobs):
    ready = Ready(jobs, Hearing())
    async with ready.delivering():
        await ready.append(happened(1))
        await ready.until_empty()
        listed = partial(job_store.list_jobs, status=None, kind=None, limit=10)

        async def none():
            return not await jobs.database.read(listed)

        await until(none)


async def test_what_nobody_wants_is_not_written(jobs):
    class Picky(Hearing):
        def wants(self, event):
            return event.n > 1

    ready = Ready(jobs, Picky())
    await ready.append(happened(1), happened(2))
    await Ready(jobs).append(happened(3))

    assert (await ready.waiting())["hearing"][0] == 1


async def test_what_a_transactional_listener_writes_happens_once_per_event(jobs):
    """Two take at once, one fails in between: no event is written down twice."""
    failures = iter([False, True, False, True])

    class Unsteady(Noting):
        def record(self, connection, events):
            super().record(connection, events)
            if next(failures, False):
                raise ValueError("on purpose")

    ready = Ready(jobs, listener := Unsteady())
    await ready.append(*(happened(n) for n in range(250)))
    tasks = [delivery(jobs.database, listener) for _ in range(2)]

    async def deliver(task):
        with anyio.fail_after(20):
            while True:
                try:
                    if not await task._deliver_some():
                        return
                except ValueError:
                    continue

    async with anyio.create_task_group() as group:
        for task in tasks:
            group.start_soon(deliver, task)

    assert await ready.waiting() == {}
    assert await jobs.database.read(noted) == [1] * 250


def noted(connection):
    rows = connection.execute(text("SELECT value FROM settings WHERE name LIKE 'heard-%'"))
    return [int(row.value) for row in rows]


async def test_events_that_waited_too_long_are_dropped_and_counted(jobs):
    """Also those of a listener that nobody knows any more."""
    counted = []
    ready = Ready(jobs, hearing := Hearing(), Hearing("forgotten"))
    old = [Happened(at=1.0, what="app", n=n) for n in range(3)]
    await ready.append(*old, happened(4))
    expiry = EventExpiry(jobs.database, 3600.0, lambda *said: counted.append(said))
    job = await jobs.add(kind=expiry.kind)
    async with jobs.worker(expiry):
        await jobs.until_gone(job)
    ready.listeners = (hearing,)
    async with ready.delivering():

        async def delivered():
            return "hearing" not in await ready.waiting()

        await until(delivered)

    assert hearing.numbers == [4]
    assert sorted(counted) == [("forgotten", "dropped", 3), ("hearing", "dropped", 3)]
    assert (await ready.waiting())["forgotten"][0] == 1


async def test_events_for_a_listener_that_must_miss_none_wait_for_as_long_as_it_takes(jobs):
    ready = Ready(jobs, hearing := Hearing(), Hearing("forgotten"))
    await ready.append(*(Happened(at=1.0, what="app", n=n) for n in range(3)))
    expiry = EventExpiry(jobs.database, 3600.0, kept=["hearing"])
    job = await jobs.add(kind=expiry.kind)
    async with jobs.worker(expiry):
        await jobs.until_gone(job)
    assert set(await ready.waiting()) == {"hearing"}
    async with ready.delivering():
        await ready.until_empty()

    assert hearing.numbers == [0, 1, 2]


async def test_what_became_of_events_is_counted(jobs):
    counted: list[tuple[str, str, int]] = []
    failed: list[object] = []

    async def fail(events):
        if not failed:
            failed.append(events)
            raise ValueError("on purpose")

    ready = Ready(jobs, Hearing(before=fail))
    await ready.append(*(happened(n) for n in range(3)))
    async with ready.delivering(observe=lambda *said: counted.append(said)):
        await ready.until_empty()

    assert counted == [("hearing", "failed", 1), ("hearing", "delivered", 3)]


async def test_an_event_of_a_newer_version_waits_for_one_that_knows_it(jobs):
    ready = Ready(jobs, hearing := Hearing())
    await ready.append(happened(1))
    async with ready.delivering(kinds={}):
        job = await jobs.until_listed(lambda job: job.error is not None)
        assert job.error.startswith("UnknownEvent: event ")
        assert "'test.happened', which this version does not know" in job.error
    assert hearing.heard == []
    async with ready.delivering():
        await ready.until_empty()

    assert hearing.numbers == [1]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_an_event_that_is_committed_late_is_not_passed_by(jobs):
    """On PostgreSQL a transaction may draw its id first and commit last."""
    ready = Ready(jobs, hearing := Hearing())
    with jobs.database.engine.connect() as slow:
        transaction = slow.begin()
        ready.outbox.append(slow, [happened(1)])
        async with ready.delivering():
            await ready.append(happened(2))

            async def second():
                return hearing.numbers == [2]

            await until(second)
            transaction.commit()
            await ready.until_empty()

    assert hearing.numbers == [2, 1]
    assert isinstance(hearing.heard[0], Recorded)


async def test_gauges_say_what_waits_for_whom_and_for_how_long(jobs):
    await Ready(jobs, Hearing()).append(Happened(at=clock.timestamp() - 60, what="app", n=1))
    await jobs.add(run_at=1.0)

    found = await gauges(jobs.database)

    assert found["longshore_events_waiting"] == {"hearing": 1}
    assert 60 <= found["longshore_events_oldest_waiting_seconds"]["hearing"] < 3600
    assert found["longshore_jobs_waiting"] == {"test": 1}
    assert found["longshore_jobs_oldest_waiting_seconds"]["test"] > 1e9
    assert found["longshore_jobs_running"] == found["longshore_jobs_dead"] == {"test": 0}
