"""The generation: what was read while it stands still is true, whoever commits, whenever, and however many ask at once."""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, select, text

from longshore import migrations
from longshore.db.database import Database
from longshore.db.generation import Generation, Shared
from longshore.db.postgresql import PostgreSQLGeneration
from longshore.identity.tables import users
from longshore.oci.digest import Digest
from longshore.oci.names import RepositoryName, Tag
from longshore.registry.store import find_blob, find_manifest, list_tags
from longshore.registry.tables import repositories
from tests.services.postgres import Cluster

CHANGE = "INSERT INTO users (name, email, real_name, is_admin, disabled, created_at) VALUES (%s, '', '', false, false, 1)"
END = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 't%' "
    "AND pid <> pg_backend_pid()"
)
OTHER = "INSERT INTO repositories (name, namespace, created_at) VALUES (%s, 'x', 1)"


def plain(url: str) -> str:
    return url.replace("postgresql+psycopg", "postgresql")


def opened(url: str) -> Database:
    database = Database(url, pool_size=2)
    database.open()
    migrations.upgrade(database)
    return database


async def asked(ask: Callable[[], Awaitable[Generation | None]]) -> Generation:
    """The first answer after there was a connection."""
    for _ in range(3000):
        if (found := await ask()) is not None:
            return found
        await anyio.sleep(0.01)
    raise AssertionError("there is no generation")


@given(
    st.lists(
        st.one_of(
            st.sampled_from(["ask", "answer", "turn"]), st.integers(0, 1000), st.just("broken")
        ),
        max_size=60,
    )
)
def test_everybody_has_an_answer_to_a_question_that_was_sent_after_they_asked(
    steps: list[str | int],
) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[str | int]) -> None:
    """``broken``: from now on, or no longer, there is no connection, and the answer comes at once. A number: whoever asked
    as that one no longer wants to know."""
    now, broken, sent = 0, False, list[int]()

    def send() -> None:
        sent.append(now)
        if broken:
            shared.answered(len(sent) - 1)

    shared: Shared[int] = Shared(send)
    waiting: list[tuple[int, asyncio.Future[int]]] = []
    for now, step in enumerate(steps, 1):
        if step == "ask":
            waiting.append((now, shared.ask()))
        elif step == "answer" and shared.under_way:
            shared.answered(len(sent) - 1)
        elif step == "broken":
            broken = not broken
        elif isinstance(step, int) and waiting:
            waiting[step % len(waiting)][1].cancel()
        else:
            await asyncio.sleep(0)
    now = len(steps) + 1
    while shared.under_way:
        shared.answered(len(sent) - 1)
    assert all(future.cancelled() or sent[future.result()] >= at for at, future in waiting)
    assert len(sent) <= len(waiting)


@pytest.mark.anyio
async def test_what_was_read_is_true_while_the_number_is_the_same(postgres_url: str) -> None:
    """Some transactions begin, change, commit and roll back in a random order."""
    database = await anyio.to_thread.run_sync(opened, postgres_url)
    chance = random.Random(20)
    writers = [psycopg.connect(plain(postgres_url)) for _ in range(4)]
    data: dict[int, Any] = {}
    rights: dict[int, Any] = {}
    await asked(database.generation)

    def step() -> None:
        writer = chance.choice(writers)
        match chance.randrange(5):
            case 0:
                writer.execute(CHANGE, [f"user{chance.random()}"])
            case 1:
                writer.execute(OTHER, [f"repository{chance.random()}"])
            case 2:
                writer.execute("SELECT pg_current_xact_id()")
            case 3:
                writer.commit()
            case _:
                writer.rollback()

    def look(connection: Any) -> tuple[Any, Any]:
        both = (
            connection.execute(select(column).order_by(column)).scalars().all()
            for column in (users.c.name, repositories.c.name)
        )
        return next(both), next(both)

    for _ in range(400):
        await anyio.to_thread.run_sync(step)
        found = await database.generation()
        assert found is not None
        read = await database.read(look)
        assert data.setdefault(found.data, read) == read
        assert rights.setdefault(found.rights, read[0]) == read[0]
    assert len({str(one) for one in data.values()}) > 20
    # Pushes do not move what says who may do what.
    assert len(rights) == len({str(one) for one in rights.values()})
    for writer in writers:
        writer.close()
    await anyio.to_thread.run_sync(database.close)


@pytest.mark.anyio
async def test_a_commit_counts_for_whoever_asks_after_it_however_many_ask(
    postgres_url: str,
) -> None:
    database = await anyio.to_thread.run_sync(opened, postgres_url)
    await asked(database.generation)
    committed = highest = least = 0
    writer = psycopg.connect(plain(postgres_url), autocommit=True)

    async def commit() -> None:
        nonlocal committed, least
        for number in range(60):
            before = highest
            await anyio.to_thread.run_sync(writer.execute, CHANGE, [f"u{number}"])
            committed, least = committed + 1, before + 1

    async def ask() -> None:
        nonlocal highest
        while committed < 60:
            expected = least
            found = await database.generation()
            assert found is not None
            assert found.rights >= expected  # than anybody was told before the last commit began
            highest = max(highest, found.rights)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        for _ in range(16):
            group.start_soon(ask)
        group.start_soon(commit)
    assert highest > 1
    writer.close()
    await anyio.to_thread.run_sync(database.close)


@pytest.mark.anyio
async def test_a_connection_that_ends_is_replaced_and_nothing_from_before_counts(
    postgres: Cluster, postgres_url: str
) -> None:
    database = await anyio.to_thread.run_sync(opened, postgres_url)
    before = await asked(database.generation)
    await anyio.to_thread.run_sync(postgres.execute, END)

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(database.generation)  # nobody waits for ever, nothing is raised
    after = await asked(database.generation)

    assert after.data > before.data
    assert after.rights > before.rights
    await anyio.to_thread.run_sync(database.close)
    assert await database.generation() is None


@pytest.mark.anyio
async def test_a_server_that_does_not_answer_is_given_up(postgres_url: str) -> None:
    await anyio.to_thread.run_sync(lambda: opened(postgres_url).close())
    made: list[psycopg.Connection[Any]] = []

    def connect() -> psycopg.Connection[Any]:
        made.append(psycopg.connect(plain(postgres_url), autocommit=True))
        return made[-1]

    generation = PostgreSQLGeneration(connect, patience=0.2, pause=0.0)
    before = await asked(generation.current)
    process = made[0].info.backend_pid
    os.kill(process, signal.SIGSTOP)
    try:
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(generation.current)
        assert (await asked(generation.current)).data > before.data
    finally:
        os.kill(process, signal.SIGCONT)
    generation.close()


@pytest.mark.anyio
async def test_a_server_that_does_not_understand_is_left_alone(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    tries = 0

    def connect() -> psycopg.Connection[Any]:
        nonlocal tries
        tries += 1
        return psycopg.connect(plain(postgres_url), autocommit=True)

    generation = PostgreSQLGeneration(connect, pause=0.0)  # there is no table to ask
    for _ in range(20):
        assert await generation.current() is None
        await anyio.sleep(0.02)
    assert tries == 1
    assert "nothing is remembered" in caplog.text
    generation.close()


@pytest.mark.anyio
async def test_poolers_without_prepared_statements_are_asked_in_full(postgres_url: str) -> None:
    await anyio.to_thread.run_sync(lambda: opened(postgres_url).close())
    generation = PostgreSQLGeneration(
        lambda: psycopg.connect(plain(postgres_url), autocommit=True, prepare_threshold=None)
    )
    before = await asked(generation.current)
    assert await generation.current() == before
    with psycopg.connect(plain(postgres_url), autocommit=True) as writer:
        await anyio.to_thread.run_sync(writer.execute, CHANGE, ["somebody"])
    after = await generation.current()
    assert after is not None
    assert after.rights == before.rights + 1
    generation.close()


#: What pushes, collection, scrub and moves do to the tables that pulls are answered from, and others.
STEPS = (
    "INSERT OR IGNORE INTO tags SELECT id, 'v', 'sha256:' || :m, 1 FROM repositories WHERE id = :n",
    "UPDATE tags SET digest = 'sha256:' || :m WHERE repository_id = :n",
    "DELETE FROM tags WHERE repository_id = :n",
    (
        "INSERT OR IGNORE INTO manifests (repository_id, digest, media_type, size, pushed_at) "
        "SELECT id, 'sha256:' || :m, 'x', 1, 1 FROM repositories WHERE id = :n"
    ),
    "UPDATE manifests SET condemned_at = 1 WHERE repository_id = :n",
    "UPDATE manifests SET condemned_at = NULL WHERE repository_id = :n",
    "DELETE FROM manifests WHERE repository_id = :n",
    "INSERT OR IGNORE INTO blobs (digest, size, created_at) VALUES ('sha256:' || :n, 1, 1)",
    "UPDATE blobs SET state = 'quarantined' WHERE digest = 'sha256:' || :n",
    "UPDATE blobs SET state = 'stored' WHERE digest = 'sha256:' || :n",
    "UPDATE blobs SET backend = 'cold' WHERE digest = 'sha256:' || :n",
    (
        "INSERT OR IGNORE INTO repository_blobs (repository_id, digest, linked_at) "
        "SELECT id, blobs.digest, 1 FROM repositories, blobs WHERE id = :m AND digest = 'sha256:' || :n"
    ),
    "UPDATE repository_blobs SET condemned_at = 1 WHERE repository_id = :n",
    "DELETE FROM repository_blobs WHERE repository_id = :n",
    "DELETE FROM blobs WHERE digest NOT IN (SELECT digest FROM repository_blobs)",
    (
        "INSERT OR IGNORE INTO blobs (digest, size, created_at, state) "
        "VALUES ('sha256:' || :n, 1, 1, 'quarantined')"
    ),
    "UPDATE OR IGNORE repositories SET name = 'r' || :m WHERE id = :n",
    "DELETE FROM repositories WHERE id = :n",
    "INSERT OR IGNORE INTO repositories (id, name, namespace, created_at) VALUES (:n, 'r' || :n, 'x', 1)",
)
NOTHING = (
    "UPDATE blobs SET condemned_at = 1",
    "UPDATE blobs SET condemned_at = NULL",
    "INSERT INTO settings (name, value) VALUES (hex(randomblob(8)), '1')",
)
_SOME = range(1, 4)


@pytest.mark.anyio
async def test_on_sqlite_what_pulls_are_answered_from_does_not_change_while_its_number_is_the_same(
    tmp_path: Path,
) -> None:
    database = await anyio.to_thread.run_sync(opened, f"sqlite:///{tmp_path}/longshore.db")
    chance = random.Random(29)
    manifests: dict[int, Any] = {}
    blobs: dict[int, Any] = {}
    digests = [Digest(f"sha256:{'0' * 63}{n}") for n in _SOME]
    names = [RepositoryName(f"r{n}") for n in _SOME]

    def change(connection: Connection, statement: str) -> None:
        statement = statement.replace("'sha256:'", f"'sha256:{'0' * 63}'")
        words = {"n": chance.choice(_SOME), "m": chance.choice(_SOME)}
        used = {word: value for word, value in words.items() if f":{word}" in statement}
        connection.execute(text(statement), used)

    def pulls(connection: Connection) -> tuple[Any, Any]:
        references: list[Tag | Digest] = [Tag("v"), *digests]
        return (
            [find_manifest(connection, name, one) for name in names for one in references]
            + [list_tags(connection, name, "", None) for name in names],
            [find_blob(connection, name, digest) for name in names for digest in digests],
        )

    often = [statement for statement in STEPS if statement.startswith("INSERT")]
    for _ in range(1000):
        await database.write(partial(change, statement=chance.choice([*STEPS, *often * 2])))
        found = await database.generation()
        assert found is not None
        now = await database.read(pulls)
        before = (manifests.setdefault(found.manifests, []), blobs.setdefault(found.blobs, []))
        for known, answers in zip(before, now, strict=True):
            # What was not there is never remembered.
            kept = {n: one for n, one in enumerate(answers) if one is not None}
            assert all(kept[n] == one for former in known for n, one in former.items() if n in kept)
            assert all(n in kept for former in known for n in former)
            known.append(kept)
    assert len(manifests) > 100
    assert len(blobs) > 50
    before_nothing = await database.generation()
    for statement in NOTHING:
        await database.write(partial(change, statement=statement))
        after = await database.generation()
        assert before_nothing is not None
        assert after is not None
        assert after.data > before_nothing.data
        assert (after.manifests, after.blobs) == (before_nothing.manifests, before_nothing.blobs)
    await anyio.to_thread.run_sync(database.close)
