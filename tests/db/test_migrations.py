"""Migrations: from nothing to the newest schema and back, the same on both databases."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from longshore import migrations
from longshore.db.database import Database
from longshore.db.schema import every_table


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path: Path):
    url = (
        f"sqlite:///{tmp_path}/test.db"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_url")
    )
    found = Database(url)
    found.open()
    yield found
    found.close()


def test_an_empty_database_is_brought_to_the_newest_schema(database):
    assert migrations.current(database) is None
    assert migrations.upgrade(database)
    assert migrations.current(database) == migrations.HEAD
    assert not migrations.upgrade(database)


def test_the_schema_is_what_the_tables_say(database):
    migrations.upgrade(database)

    known = every_table()
    assert {"repositories", "jobs", "given_tags", "users", "labels"} <= set(known.tables)
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), known) == []


def test_every_step_can_be_taken_back(database):
    migrations.upgrade(database)
    migrations.downgrade(database, "base")

    assert migrations.current(database) is None
    assert migrations.upgrade(database)


def test_the_head_that_a_start_looks_for_is_the_newest_script():
    script = ScriptDirectory(str(Path(migrations.__file__).parent))

    assert script.get_current_head() == migrations.HEAD


def test_teams_of_the_former_kind_become_those_of_harbors_without_mixing_people(database):
    migrations.upgrade(database)
    migrations.downgrade(database, "0021")
    with database.engine.connect() as connection:
        writing = connection.execution_options(longshore_writes=True)
        with writing.begin():
            for id, kind, name in ((1, 2, "devs"), (2, 4, "devs"), (3, 4, "ops"), (4, 1, "ops")):
                row = {"id": id, "kind": kind, "name": name, "external_id": name, "created_at": 1}
                writing.execute(
                    text(
                        "INSERT INTO user_groups (id, kind, name, external_id, created_at) "
                        "VALUES (:id, :kind, :name, :external_id, :created_at)"
                    ),
                    row,
                )

    migrations.upgrade(database)

    with database.engine.connect() as connection:
        rows = connection.execute(text("SELECT id, kind, name FROM user_groups ORDER BY id")).all()
    assert [tuple(row) for row in rows] == [
        (1, 2, "devs"),
        (2, 2, "devs 2"),
        (3, 2, "ops"),
        (4, 1, "ops"),
    ]
