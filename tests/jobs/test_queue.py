"""Adding jobs, and what a person may do with them."""

from functools import partial

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.jobs import queue, store
from longshore.jobs.model import JobConflict, RetryPolicy, Status
from tests.jobs.conftest import FunctionTask

pytestmark = pytest.mark.anyio


async def test_a_transaction_that_is_rolled_back_leaves_no_job(jobs):
    def fail(connection):
        queue.enqueue(connection, "test", {}, now=1.0)
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        await jobs.database.write(fail)

    listed = partial(store.list_jobs, status=None, kind=None, limit=10)
    assert await jobs.database.read(listed) == []


async def test_a_key_is_given_to_one_waiting_job_only(jobs):
    first = await jobs.add({"n": 1}, key="a")

    assert await jobs.add({"n": 2}, key="a") == first
    assert await jobs.add(key="b") != first
    assert await jobs.add(kind="other", key="a") != first
    assert await jobs.add() != await jobs.add()
    assert (await jobs.find(first)).payload == {"n": 1}


async def test_what_is_due_and_not_begun_is_counted(jobs):
    await jobs.add()
    await jobs.add(run_at=4e9)

    found = (await jobs.database.read(store.backlog))["test"]
    assert (found.waiting, found.running, found.dead) == (1, 0, 0)
    assert found.oldest >= 0


async def test_many_who_add_the_same_at_once_add_it_once(jobs):
    ids = []

    async def add():
        ids.append(await jobs.add(key="a"))

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(add)

    assert len(ids) == 20
    assert len(set(ids)) == 1


async def test_a_key_is_free_again_when_its_job_has_ended(jobs):
    async def nothing(context):
        pass

    first = await jobs.add(key="a")
    async with jobs.worker(FunctionTask(nothing)):
        await jobs.until(first, Status.DONE)

    assert await jobs.add(key="a") != first


async def test_a_waiting_job_is_cancelled_at_once_and_may_be_retried(jobs):
    job = await jobs.add(key="a")

    assert await jobs.database.write(partial(store.cancel_job, job=job)) is Status.CANCELLED
    with pytest.raises(JobConflict, match=f"job {job} is cancelled"):
        await jobs.database.write(partial(store.cancel_job, job=job))
    assert await jobs.database.write(partial(store.retry_job, job=job))
    with pytest.raises(JobConflict, match=f"job {job} is queued"):
        await jobs.database.write(partial(store.retry_job, job=job))


async def test_a_job_is_not_retried_beside_another_that_does_the_same(jobs):
    job = await jobs.add(key="a")
    await jobs.database.write(partial(store.cancel_job, job=job))
    await jobs.add(key="a")

    with pytest.raises(JobConflict, match=f"does the same as job {job} .test, key a."):
        await jobs.database.write(partial(store.retry_job, job=job))


async def test_who_asks_for_a_job_that_is_not_there_is_told(jobs):
    assert await jobs.database.write(partial(store.cancel_job, job=77)) is None
    assert not await jobs.database.write(partial(store.retry_job, job=77))


@given(st.integers(1, 100_000), st.floats(0, 1))
def test_pauses_grow_and_are_bounded(attempt, chance):
    policy = RetryPolicy()

    assert 5 <= policy.delay(attempt, chance) <= policy.longest
    assert policy.delay(attempt, 0) <= policy.delay(attempt + 1, 0)
    assert policy.delay(attempt, chance) >= policy.delay(attempt, 0) / 2
