"""Migrations: from nothing to the newest schema and back, the same on both databases."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from longshore import migrations
from longshore.db.database import Database
from longshore.db.schema import GENERATIONS, every_table


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
        context = MigrationContext.configure(
            connection, opts={"include_name": lambda name, *_: name not in GENERATIONS}
        )
        assert compare_metadata(context, known) == []


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


def write(database, *statements):
    with database.engine.connect() as connection:
        writing = connection.execution_options(longshore_writes=True)
        with writing.begin():
            for statement in statements:
                writing.execute(text(statement))


def test_what_providers_gave_stays_and_is_known_to_be_of_nobody_knows_whom(database):
    migrations.upgrade(database)
    migrations.downgrade(database, "0024")
    write(
        database,
        "INSERT INTO users (id, name, email, real_name, is_admin, disabled, created_at) VALUES "
        "(1, 'admin', '', '', true, false, 1), (2, 'dora', '', '', true, false, 1), "
        "(3, 'emil', '', '', false, false, 1)",
        "INSERT INTO user_identities VALUES ('oidc:one', '4711', 2, 1), ('oidc:one', '12', 3, 1)",
        "INSERT INTO user_groups VALUES (1, 3, 'devs', 'devs', 1)",
        "INSERT INTO user_group_members (group_id, user_id, maintainer) VALUES (1, 2, true)",
    )

    migrations.upgrade(database)

    with database.engine.connect() as connection:
        made = connection.execute(text("SELECT name, admin_by FROM users ORDER BY id")).all()
        members = connection.execute(text("SELECT * FROM user_group_members")).mappings().all()
    assert [tuple(row) for row in made] == [("admin", ""), ("dora", None), ("emil", "")]
    assert [dict(row) for row in members] == [
        {"group_id": 1, "user_id": 2, "maintainer": True, "provider": ""}
    ]
    # Who is in a group by two providers is in it once before that was noted.
    write(
        database,
        "INSERT INTO user_group_members (group_id, user_id, provider) VALUES "
        "(1, 2, 'oidc:one'), (1, 3, 'oidc:one'), (1, 3, 'oidc:two')",
    )
    migrations.downgrade(database, "0024")
    with database.engine.connect() as connection:
        members = connection.execute(
            text("SELECT user_id FROM user_group_members ORDER BY user_id")
        ).all()
    assert [tuple(row) for row in members] == [(2,), (3,)]
