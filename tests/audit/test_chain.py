"""The chain: whatever is done to the rows behind the registry's back is found, and where."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text, update
from sqlalchemy.exc import DatabaseError

from longshore import migrations
from longshore.audit import store
from longshore.audit.model import Entry, Search, Tampered
from longshore.audit.retention import remove_older
from longshore.audit.sealing import Sealing
from longshore.audit.tables import audit_state
from longshore.audit.verification import verify
from longshore.db.database import Connection, Database

pytestmark = pytest.mark.anyio

KEYS = Sealing(["outside", "inside"], kept="inside")
ROWS = 12
TEXTS = ("actor", "address", "operation", "resource_type", "resource", "project", "description")


def entry(n: int, **values: object) -> Entry:
    made = {
        "at": 1000.0 + n,
        "actor": f"user-{n % 3}",
        "address": "192.0.2.1",
        "operation": "create",
        "resource_type": "tag",
        "resource": f"app/web:{n}",
        "project": "app",
        "event_id": f"event-{n}",
        **values,
    }
    return Entry(**made)  # type: ignore[arg-type]


def add(connection: Connection, first: int, count: int, keys: Sealing = KEYS) -> None:
    store.append(connection, keys, [entry(n) for n in range(first, first + count)])


@contextmanager
def tampering(database: Database) -> Iterator[Connection]:
    """As somebody with every right in the database."""
    with database.engine.begin() as connection:
        if database.is_sqlite:
            for name in ("audit_log_update", "audit_log_delete"):
                connection.execute(text(f"DROP TRIGGER IF EXISTS {name}"))
        else:
            connection.execute(text("ALTER TABLE audit_log DISABLE TRIGGER ALL"))
        yield connection


def problems(database: Database, keys: Sealing = KEYS) -> tuple[str, ...]:
    with database.engine.connect() as connection:
        return verify(connection, keys).problems


def opened(url: str) -> Database:
    database = Database(url, pool_size=2)
    database.open()
    migrations.upgrade(database)
    return database


@pytest.fixture
def log(database_url: str) -> Iterator[Database]:
    """Twelve rows."""
    database = opened(database_url)
    asyncio.run(database.write(partial(add, first=1, count=ROWS)))
    yield database
    database.close()


def test_an_untouched_log_verifies(log):
    with log.engine.connect() as connection:
        found = verify(connection, KEYS)

    assert found.problems == ()
    assert (found.rows, found.first, found.last, found.guarded) == (ROWS, 1, ROWS, True)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE audit_log SET actor = 'mallory' WHERE id = 5", ["row 5 was changed"]),
        ("UPDATE audit_log SET at = at + 0.001 WHERE id = 12", ["row 12 was changed"]),
        ("UPDATE audit_log SET successful = NOT successful WHERE id = 1", ["row 1 was changed"]),
        ("UPDATE audit_log SET key_id = 'nobodys' WHERE id = 3", ["row 3 is sealed with the key"]),
        ("DELETE FROM audit_log WHERE id = 5", ["row 5 is missing"]),
        ("DELETE FROM audit_log WHERE id < 4", ["rows 1 to 3 are missing"]),
        ("DELETE FROM audit_log WHERE id > 9", ["rows 10 to 12 are missing, at the end"]),
        ("DELETE FROM audit_log", ["rows 1 to 12 are missing, at the end"]),
        ("DELETE FROM audit_state", ["row 12", "audit_state is empty"]),
        ("UPDATE audit_state SET last_id = 11", ["the ends of the log"]),
        ("UPDATE audit_state SET removed_through = 3", ["the ends of the log"]),
    ],
)
def test_what_was_tampered_with_is_named(log, statement, told):
    with tampering(log) as connection:
        connection.execute(text(statement))

    found = " | ".join(problems(log))

    assert told[-1] in found


def test_rows_that_changed_places_are_named(log):
    with tampering(log) as connection:
        for sql in ("= 99 WHERE id = 4", "= 4 WHERE id = 7", "= 7 WHERE id = 99"):
            connection.execute(text(f"UPDATE audit_log SET id {sql}"))  # noqa: S608

    found = problems(log)

    assert any("row 4 " in line for line in found)
    assert any("row 7 " in line for line in found)
    assert not any("row 9 " in line for line in found)


def test_an_added_row_is_named(log):
    copied = ", ".join(("at", *TEXTS, "successful", "user_agent", "request_id", "event_id"))
    with tampering(log) as connection:
        connection.execute(
            text(
                f"INSERT INTO audit_log (id, {copied}, previous, key_id, seal) "  # noqa: S608
                f"SELECT 13, {copied}, previous, key_id, seal FROM audit_log WHERE id = 12"
            )
        )

    assert "row 13 is behind the end: it was added" in problems(log)


def test_whoever_has_no_key_cannot_make_the_log_anew(log):
    forger = Sealing(["inside"], kept="inside")
    with tampering(log) as connection:
        connection.execute(text("DELETE FROM audit_log"))
        connection.execute(text("DELETE FROM audit_state"))
        add(connection, 100, ROWS, forger)

    with log.engine.connect() as connection:
        found = verify(connection, KEYS)

    assert not found.guarded
    assert found.keys == {KEYS.kept_id: ROWS}
    assert problems(log, Sealing(["outside"]))


def test_going_back_to_the_key_in_the_database_is_noticed(log):
    forger = Sealing(["inside", "outside"], kept="inside")
    asyncio.run(log.write(partial(add, first=50, count=1, keys=forger)))

    assert problems(log) == ("row 13 is sealed with the database's own key, rows before not",)


def test_nothing_is_added_behind_an_end_that_was_moved(log):
    with tampering(log) as connection:
        connection.execute(text("DELETE FROM audit_log WHERE id > 9"))
        connection.execute(
            text(
                "UPDATE audit_state SET last_id = 9, "
                "last_seal = (SELECT seal FROM audit_log WHERE id = 9)"
            )
        )

    with pytest.raises(Tampered, match="the end of the audit log was changed"):
        asyncio.run(log.write(partial(add, first=50, count=1)))


@pytest.mark.parametrize("cut", ["id > 9", "id < 4"])
def test_whoever_has_only_the_key_in_the_database_cannot_cut_the_log_off(log, cut):
    forger = Sealing(["inside"], kept="inside")
    with tampering(log) as connection:
        at = {found.id: found.seal for found in store.following(connection, 0, ROWS)}
        at[0] = store.following(connection, 0, 1)[0].previous
        connection.execute(text(f"DELETE FROM audit_log WHERE {cut}"))  # noqa: S608
        left = [row.id for row in store.following(connection, 0, ROWS)]
        first, last = left[0] - 1, left[-1]
        made = forger.state(last, at[last], first, at[first])
        connection.execute(update(audit_state), asdict(made))

    with log.engine.connect() as connection:
        found = verify(connection, KEYS)

    assert any(
        "the ends of the log are sealed with the database's own key" in line
        for line in found.problems
    )
    assert not found.guarded
    with pytest.raises(Tampered, match="may have been cut off"):
        asyncio.run(log.write(partial(add, first=50, count=1)))


def test_a_log_may_get_a_key_after_it_began_without(database_url):
    without = Sealing(["inside"], kept="inside")
    log = opened(database_url)
    asyncio.run(log.write(partial(add, first=1, count=3, keys=without)))
    assert asyncio.run(remove_older(log, without, before=1003.0)) == 2
    asyncio.run(log.write(partial(add, first=4, count=3)))

    found = problems(log)
    log.close()

    assert found == ()


def test_the_key_may_be_replaced(log):
    newer = Sealing(["newest", "outside", "inside"], kept="inside")
    asyncio.run(log.write(partial(add, first=50, count=3, keys=newer)))

    with log.engine.connect() as connection:
        found = verify(connection, newer)

    assert found.problems == ()
    assert sorted(found.keys.values()) == [3, ROWS]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_log SET actor = 'mallory'", "DELETE FROM audit_log WHERE id = 1"],
)
def test_the_database_itself_refuses_changes(log, statement):
    with pytest.raises(DatabaseError, match="append-only"), log.engine.begin() as connection:
        connection.execute(text(statement))


def test_what_is_left_after_removal_by_age_verifies(log):
    assert asyncio.run(remove_older(log, KEYS, before=1005.0)) == 4
    assert problems(log) == ()
    assert asyncio.run(remove_older(log, KEYS, before=1e9)) == ROWS - 4
    asyncio.run(log.write(partial(add, first=50, count=2)))

    with log.engine.connect() as connection:
        found = verify(connection, KEYS)

    assert found.problems == ()
    assert (found.first, found.last) == (ROWS + 1, ROWS + 2)


def test_searching_is_by_any_part_and_page_by_page(log):
    def ids(wanted: Search, limit: int = 100) -> list[int]:
        with log.engine.connect() as connection:
            return [row.id for row in store.search(connection, wanted, limit)]

    assert ids(Search(), 3) == [12, 11, 10]
    assert ids(Search(before=10), 3) == [9, 8, 7]
    assert ids(Search(actor="user-1")) == [10, 7, 4, 1]
    assert ids(Search(since=1003.0, until=1005.0)) == [4, 3]
    assert ids(Search(text="WEB:7")) == [7]
    assert ids(Search(project="app", operation="create", resource_type="tag"), 1) == [12]
    assert ids(Search(successful=False)) == []
    assert ids(Search(text="%")) == []


@settings(max_examples=40)
@given(data=st.data())
def test_any_change_of_any_row_is_found(data):
    with TemporaryDirectory() as directory:
        database = opened(f"sqlite:///{Path(directory)}/log.db")
        try:
            asyncio.run(database.write(partial(add, first=1, count=ROWS)))
            row = data.draw(st.integers(1, ROWS))
            kind = data.draw(st.sampled_from(("change", "remove", "renumber")))
            with tampering(database) as connection:
                if kind == "change":
                    column = data.draw(st.sampled_from((*TEXTS, "event_id", "previous", "seal")))
                    old = connection.scalar(
                        text(f"SELECT {column} FROM audit_log WHERE id = {row}")  # noqa: S608
                    )
                    letters = st.characters(codec="utf-8", exclude_characters="\0")
                    new = data.draw(st.text(letters, max_size=80).filter(lambda text: text != old))
                    change = f"UPDATE audit_log SET {column} = :new WHERE id = {row}"  # noqa: S608
                    connection.execute(text(change), {"new": new})
                elif kind == "remove":
                    connection.execute(text(f"DELETE FROM audit_log WHERE id = {row}"))  # noqa: S608
                else:
                    other = data.draw(st.integers(-5, 40).filter(lambda n: not 1 <= n <= ROWS))
                    connection.execute(text(f"UPDATE audit_log SET id = {other} WHERE id = {row}"))  # noqa: S608
            assert problems(database)
        finally:
            database.close()


def test_many_who_write_at_once_make_one_chain(log):
    others = [Database(str(log.url.render_as_string(hide_password=False))) for _ in range(3)]

    async def write() -> None:
        await asyncio.gather(
            *(
                database.write(partial(add, first=n * 100, count=5))
                for n in range(10)
                for database in others
            )
        )

    for database in others:
        database.open()
    try:
        asyncio.run(write())
    finally:
        for database in others:
            database.close()

    with log.engine.connect() as connection:
        found = verify(connection, KEYS)
    assert found.problems == ()
    assert found.rows == ROWS + 150
