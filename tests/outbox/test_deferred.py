"""Events that nobody waits for are written in batches, and bounded while the database is away."""

import logging
from functools import partial
from typing import Any

import pytest

from longshore.outbox import store
from longshore.outbox.deferred import DeferredOutbox
from longshore.outbox.recording import Outbox
from longshore.telemetry import clock
from tests.outbox.listening import Happened, Hearing, until

pytestmark = pytest.mark.anyio


def happened(n):
    return Happened(at=clock.timestamp(), what="app", n=n)


async def written(jobs):
    oldest = partial(store.oldest, listener="hearing", limit=10_000)
    return [found.body["n"] for found in await jobs.database.read(oldest)]


async def test_events_are_written_within_about_a_second_and_at_the_end(jobs):
    deferred = DeferredOutbox(jobs.database, Outbox([Hearing()]))
    async with deferred.running():
        for n in range(1200):
            deferred.tell(happened(n))

        async def all_there():
            return len(await written(jobs)) == 1200

        await until(all_there)
        deferred.tell(happened(1200))

    assert await written(jobs) == list(range(1201))


async def test_no_more_than_some_wait_and_what_is_dropped_is_said(jobs, caplog):
    deferred = DeferredOutbox(jobs.database, Outbox([Hearing()]), most=3)
    for n in range(5):
        deferred.tell(happened(n))
    with caplog.at_level(logging.ERROR):
        async with deferred.running():
            pass

    assert await written(jobs) == [0, 1, 2]
    assert "2 events were dropped: too many wait for the database" in caplog.text


async def test_where_nobody_listens_nothing_is_kept(jobs):
    deferred = DeferredOutbox(jobs.database, Outbox())
    async with deferred.running():
        assert not deferred.listened
        deferred.tell(happened(1))

    assert await written(jobs) == []


class Failing(Hearing):
    """Cannot say whether it wants one of them."""

    def wants(self, event):
        if event.n == 0 and self.strict:
            raise ValueError("a defect")
        return True

    strict = False


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_events_that_cannot_be_written_are_told_and_hold_up_none_that_follow(jobs, caplog):
    listener = Failing()
    deferred = DeferredOutbox(jobs.database, Outbox([listener]))
    async with deferred.running():
        deferred.tell(happened(0))
        listener.strict = True

        async def told():
            return "1 events cannot be written and are dropped" in caplog.text

        await until(told)
        deferred.tell(happened(1))

        async def there():
            return await written(jobs) == [1]

        await until(there)


async def test_what_is_told_during_a_write_waits_for_the_next_one(jobs):
    class Busy:
        def __init__(self):
            self.writes = 0

        async def write(self, work, *, durable=True):
            self.writes += 1
            assert self.writes < 10, "it writes without end"
            deferred.tell(happened(self.writes))
            await jobs.database.write(work, durable=durable)

    database: Any = Busy()
    deferred = DeferredOutbox(database, Outbox([Hearing()]))
    deferred.tell(happened(0))
    async with deferred.running():
        pass

    assert database.writes == 1
    assert await written(jobs) == [0]
