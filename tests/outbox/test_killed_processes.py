"""Processes are killed between a commit and its delivery, and in the middle of either."""

import random
from collections import defaultdict

import anyio
import anyio.to_thread
import pytest
from sqlalchemy import text

from longshore.outbox import store
from tests.jobs.test_killed_workers import Workers
from tests.outbox.listening import until

pytestmark = pytest.mark.anyio

KILLS = 6


async def test_every_committed_event_arrives_and_no_other(jobs, tmp_path):
    journal, chance = tmp_path / "journal", random.Random(12)
    words = ("tests.outbox.listening", jobs.url, str(journal))
    appending = await anyio.to_thread.run_sync(Workers, 2, *words, "append")
    delivering = await anyio.to_thread.run_sync(Workers, 2, *words, "deliver")
    try:
        for workers in (appending, delivering):
            await anyio.to_thread.run_sync(workers.wait)
        for number in range(KILLS):
            await anyio.sleep(chance.uniform(0.1, 0.4))
            victims = appending if number % 2 else delivering
            await anyio.to_thread.run_sync(victims.kill_one, chance)
        await anyio.to_thread.run_sync(appending.end)

        async def empty():
            return not await jobs.database.read(store.backlog)

        await until(empty, seconds=60)
    finally:
        await anyio.to_thread.run_sync(appending.end)
        await anyio.to_thread.run_sync(delivering.end)

    committed, heard = read(journal)
    assert len(committed) > KILLS
    assert set(committed) <= set(heard)
    assert not [what for what, _ in heard if what == "never"]
    in_order = defaultdict(list)
    for what, number in dict.fromkeys(heard):
        in_order[what].append(number)
    assert all(numbers == sorted(numbers) for numbers in in_order.values())
    # The other listener's rows are written in the transaction that takes the events.
    counts = await jobs.database.read(noted)
    assert len(counts) == len(set(heard))
    assert set(counts) == {1}


def read(journal):
    lines = [line.split() for line in journal.read_text().splitlines()]
    committed = [(what, int(n)) for word, what, n in lines if word == "committed"]
    heard = [(what, int(n)) for word, what, n in lines if word == "heard"]
    return committed, heard


def noted(connection):
    rows = connection.execute(text("SELECT value FROM settings WHERE name LIKE 'heard-%'"))
    return [int(row.value) for row in rows]
