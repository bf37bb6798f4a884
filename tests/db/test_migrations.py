"""Migrations: from nothing to the newest schema and back, the same on both databases."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from longshore import migrations
from longshore.db.database import Database
from longshore.db.schema import metadata
from longshore.jobs import tables as jobs_tables
from longshore.registry import tables


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

    assert tables.repositories.metadata is metadata
    assert jobs_tables.jobs.metadata is metadata
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_every_step_can_be_taken_back(database):
    migrations.upgrade(database)
    migrations.downgrade(database, "base")

    assert migrations.current(database) is None
    assert migrations.upgrade(database)


def test_the_head_that_a_start_looks_for_is_the_newest_script():
    script = ScriptDirectory(str(Path(migrations.__file__).parent))

    assert script.get_current_head() == migrations.HEAD
