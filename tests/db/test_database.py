"""Transactions: grouped, isolated from one another, durable when asked, explained when they fail."""

import logging
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from longshore import migrations
from longshore.db.database import Database
from longshore.oci.errors import StorageFull, Unavailable

pytestmark = pytest.mark.anyio


def create(connection: Connection) -> None:
    connection.execute(text("CREATE TABLE things (name TEXT PRIMARY KEY)"))


def add(connection: Connection, name: str) -> str:
    connection.execute(text("INSERT INTO things VALUES (:name)"), {"name": name})
    return name


def names(connection: Connection) -> list[str]:
    return list(connection.scalars(text("SELECT name FROM things ORDER BY name")))


async def opened(url: str) -> Database:
    def connect() -> Database:
        database = Database(url, pool_size=4)
        database.open()
        return database

    return await anyio.to_thread.run_sync(connect)


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request, tmp_path):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/test.db"
    else:
        url = request.getfixturevalue("postgres_url")
    found = await opened(url)
    await found.write(create)
    yield found
    await anyio.to_thread.run_sync(found.close)


async def test_what_was_written_is_read(database):
    for durable in (True, False):
        await database.write(partial(add, name=f"durable={durable}"), durable=durable)

    assert await database.read(names) == ["durable=False", "durable=True"]


async def test_a_failing_transaction_leaves_nothing_and_disturbs_nobody(database):
    def fail(connection: Connection) -> None:
        add(connection, "lost")
        raise ValueError("on purpose")

    outcomes = []

    async def run(work):
        try:
            outcomes.append(await database.write(work))
        except ValueError as error:
            outcomes.append(str(error))

    async with anyio.create_task_group() as group:
        for n in range(20):
            group.start_soon(run, partial(add, name=f"kept{n:02}"))
            group.start_soon(run, fail)

    assert await database.read(names) == [f"kept{n:02}" for n in range(20)]
    assert outcomes.count("on purpose") == 20


async def test_concurrent_writers_of_one_key_have_one_winner(database):
    winners = []

    async def run():
        try:
            winners.append(await database.write(partial(add, name="key")))
        except IntegrityError as error:
            assert "unique" in str(error).lower()

    async with anyio.create_task_group() as group:
        for _ in range(11):
            group.start_soon(run)

    assert winners == ["key"]


async def test_the_generation_moves_with_every_commit_of_anybody(tmp_path):
    url = f"sqlite:///{tmp_path}/test.db"
    mine, other = await opened(url), await opened(url)
    await anyio.to_thread.run_sync(migrations.upgrade, mine)
    await mine.write(create)

    seen = [await mine.generation()]
    for writer in (mine, other, mine):
        await writer.write(partial(add, name=str(len(seen))))
        seen.append(await mine.generation())
    unchanged = await mine.generation()

    assert None not in seen
    assert len(set(seen)) == 4
    assert unchanged == seen[-1]
    for found in (mine, other):
        await anyio.to_thread.run_sync(found.close)


async def test_a_full_disk_is_told_as_such_and_writing_works_again_when_there_is_room(tmp_path):
    database = await opened(f"sqlite:///{tmp_path}/test.db")
    await database.write(create)
    big = partial(add, name="x" * 5_000_000)

    def limit(connection: Connection, pages: int) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    await database.write(partial(limit, pages=20))
    with pytest.raises(StorageFull, match="free some space"):
        await database.write(big)
    await database.write(partial(limit, pages=1_000_000))
    await database.write(big)

    assert len(await database.read(names)) == 1
    await anyio.to_thread.run_sync(database.close)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path):
    path = tmp_path / "test.db"
    await anyio.Path(path).write_bytes(b"this is not a database, it is a sentence" * 100)

    with pytest.raises(Unavailable, match="is not a database"):
        await opened(f"sqlite:///{path}")


async def test_a_server_that_does_not_answer_is_told_as_such():
    with pytest.raises(Unavailable, match="does not answer"):
        await opened("postgresql://nobody@127.0.0.1:1/none")


async def test_a_server_that_does_not_answer_is_one_line_of_the_log_and_a_trace_only_for_debugging(
    caplog,
):
    caplog.set_level(logging.DEBUG, "longshore.db")
    with pytest.raises(Unavailable):
        await opened("postgresql://nobody@127.0.0.1:1/none")

    records = [record for record in caplog.records if record.name == "longshore.db.database"]
    error, trace = records
    assert error.levelno == logging.ERROR
    assert "refused" in error.getMessage()
    assert "\n" not in error.getMessage()
    assert error.exc_info is None
    assert trace.levelno == logging.DEBUG
    assert trace.exc_info
