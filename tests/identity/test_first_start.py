"""The first start makes one administrator and one project, however many nodes start."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from longshore import migrations
from longshore.access.passwords import hash_argon2, verify
from longshore.db.database import Connection, Database
from longshore.identity import install, store
from longshore.identity.errors import IdentityError


def _password(connection: Connection) -> tuple[str | None, str]:
    return store.find_password(connection, "admin")


@pytest.fixture
def nodes(database_url: str) -> Iterator[list[Database]]:
    databases = [Database(database_url, pool_size=1) for _ in range(4)]
    for database in databases:
        database.open()
        migrations.upgrade(database)
    yield databases
    for database in databases:
        database.close()


def test_of_several_nodes_that_start_together_one_makes_the_administrator(
    nodes: list[Database],
) -> None:
    said: list[str] = []

    with ThreadPoolExecutor(len(nodes)) as pool:
        list(pool.map(lambda database: install.prepare(database, "", said.append), nodes))

    (user,) = asyncio.run(nodes[0].read(store.list_users))
    (project,) = asyncio.run(nodes[0].read(store.list_projects))
    (text,) = said
    hashed, _ = asyncio.run(nodes[0].read(_password))
    password = text.partition("password ")[2].split()[0]
    assert (user.name, user.is_admin, user.disabled) == ("admin", True, False)
    assert (project.name, project.public) == ("library", True)
    assert verify(hashed or "", password.encode())


def test_a_later_start_changes_nothing(nodes: list[Database]) -> None:
    database = nodes[0]
    said: list[str] = []
    install.prepare(database, "Harbour12", said.append)
    before = asyncio.run(database.read(_password))
    asyncio.run(database.write(lambda found: store.remove_project(found, "library")))
    asyncio.run(database.write(lambda found: store.add_project(found, "team", 1.0)))

    install.prepare(database, "Another12", said.append)

    assert asyncio.run(database.read(_password)) == before
    assert [found.name for found in asyncio.run(database.read(store.list_projects))] == ["team"]
    assert said == []


def test_a_password_that_is_too_easy_makes_nobody(nodes: list[Database]) -> None:
    with pytest.raises(IdentityError, match=r"longshore\.admin\.password: .* an upper case"):
        install.prepare(nodes[0], "harbour12")

    assert asyncio.run(nodes[0].read(store.list_users)) == []


def test_somebody_else_who_administers_is_enough(nodes: list[Database]) -> None:
    database = nodes[0]
    hashed = hash_argon2(b"Harbour12")

    def hire(connection: Connection) -> None:
        store.add_user(connection, "root", hashed, 1.0, is_admin=True)

    asyncio.run(database.write(hire))
    install.prepare(database, "Harbour12")

    assert [user.name for user in asyncio.run(database.read(store.list_users))] == ["root"]
