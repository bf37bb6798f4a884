"""What clients may ask of a list, on both databases."""

from dataclasses import replace
from unittest.mock import patch

import pytest
from sqlalchemy import select

from longshore import migrations
from longshore.db import listing as db_listing
from longshore.db.database import Database
from longshore.db.listing import (
    AllOf,
    Between,
    Containing,
    Exactly,
    Large,
    Listing,
    OneOf,
    Order,
    UnusableValue,
    read_page,
)
from longshore.identity import store
from longshore.identity.tables import users


@pytest.fixture
def connection(database_url):
    database = Database(database_url, pool_size=1)
    database.open()
    migrations.upgrade(database)
    with database.engine.connect() as found:
        for number, name in enumerate(("anna", "bert_1", "Carla", "50%")):
            store.add_user(found, name, None, 1000.0 + number, is_admin=name == "anna")
        yield found
        found.rollback()
    database.close()


COLUMNS = {
    "name": users.c.name,
    "id": users.c.id,
    "at": users.c.created_at,
    "admin": users.c.is_admin,
}


LARGE = Large(select(users.c.name), users.c.id)


def ask(connection, *order, offset=0, limit=None, **conditions):
    listing = Listing(conditions, order, offset, limit)
    several = []
    for large, few in ((None, 0), (LARGE, 2000), (LARGE, 1)):
        with patch.object(db_listing, "_FEW", few):
            rows, total = read_page(
                connection, select(users.c.name), COLUMNS, listing, [users.c.id], large
            )
        several.append(([row.name for row in rows], total))
    found, *same = several
    assert same == [found, found]
    uncounted = replace(listing, counted=False)
    rows, _ = read_page(connection, select(users.c.name), COLUMNS, uncounted, [users.c.id], LARGE)
    assert [row.name for row in rows] == found[0]
    return found


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ({"name": Exactly("anna")}, ["anna"]),
        ({"name": Exactly("ANNA")}, []),
        ({"name": Containing("AR")}, ["Carla"]),
        ({"name": Containing("%")}, ["50%"]),
        ({"name": Containing("_")}, ["bert_1"]),
        ({"name": OneOf(("anna", "Carla", "nobody"))}, ["anna", "Carla"]),
        ({"name": AllOf(("anna",))}, ["anna"]),
        ({"name": AllOf(("anna", "Carla"))}, []),
        ({"at": Between("1001", "")}, ["bert_1", "Carla", "50%"]),
        ({"at": Between("1970-01-01T00:16:41", "1970-01-01T00:16:42")}, ["bert_1", "Carla"]),
        ({"admin": Exactly("true"), "name": Containing("a")}, ["anna"]),
        ({"id": Exactly("99999999999999999999999")}, []),
        ({"unknown": Exactly("x")}, ["anna", "bert_1", "Carla", "50%"]),
    ],
)
def test_all_conditions_hold(connection, conditions, found):
    assert ask(connection, **conditions) == (found, len(found))


def test_a_page_says_how_many_there_are_on_all(connection):
    assert ask(connection, Order("name", descending=True), offset=1, limit=2) == (
        ["anna", "Carla"],
        4,
    )
    assert ask(connection, Order("unknown"), Order("admin", descending=True), limit=2) == (
        ["anna", "bert_1"],
        4,
    )


@pytest.mark.parametrize(
    ("offset", "limit", "found"),
    [(0, 4, 4), (0, 5, 4), (2, 2, 2), (3, 2, 1), (4, 2, 0), (9, 2, 0), (0, 0, 0), (1, None, 3)],
)
def test_whatever_page_is_asked_for_there_are_as_many(connection, offset, limit, found):
    names, total = ask(connection, offset=offset, limit=limit)
    assert (len(names), total) == (found, 4)


def test_where_nothing_fits_there_is_nothing(connection):
    for offset in (0, 2):
        assert ask(connection, offset=offset, limit=2, name=Exactly("nobody")) == ([], 0)


@pytest.mark.parametrize("conditions", [{"id": Exactly("x")}, {"at": Between("soon", "")}])
def test_a_value_that_a_field_cannot_have_is_refused(connection, conditions):
    with pytest.raises(UnusableValue, match="is nothing that"):
        ask(connection, **conditions)
