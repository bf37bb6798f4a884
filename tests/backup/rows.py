"""Databases full of made-up rows, and what is in them."""

import importlib
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Double,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    cast,
    insert,
    null,
    select,
)

from longshore import migrations
from longshore.db.database import Database
from longshore.db.schema import every_table

importlib.import_module("longshore.app")  # all tables are known once the whole is loaded

_LETTERS = "abc/:-_.\"'\\ \n\t\u2028äß€漢🚢"


@contextmanager
def opened(url: str, *, empty: bool = False) -> Iterator[Database]:
    """A database with the newest schema (or none), closed in the end."""
    database = Database(url, pool_size=4)
    database.open()
    try:
        if not empty:
            migrations.upgrade(database)
        yield database
    finally:
        database.close()


def fill(database: Database, seed: int, rows: int = 40) -> None:
    """Put random rows into every table: keys that fit, any text, numbers at the limits."""
    chance = random.Random(seed)
    made: dict[str, list[dict[str, Any]]] = {}
    with database.engine.connect() as connection:
        writing = connection.execution_options(longshore_writes=True)
        with writing.begin():
            for table in every_table().sorted_tables:
                made[table.name] = _rows(table, made, chance, rows)
                for row in made[table.name]:
                    writing.execute(insert(table).values(row))


def _rows(
    table: Table, made: dict[str, list[dict[str, Any]]], chance: random.Random, rows: int
) -> list[dict[str, Any]]:
    keys = [[column.name for column in table.primary_key]]
    keys += [
        [column.name for column in found.columns]
        for found in table.constraints
        if isinstance(found, UniqueConstraint)
    ]
    keys += [[column.name for column in index.columns] for index in table.indexes if index.unique]
    seen: set[Any] = set()
    found = []
    for _ in range(rows):
        row = {column.name: _value(column, made, chance) for column in table.columns}
        for several in table.foreign_key_constraints:
            parent = chance.choice(made[several.referred_table.name])
            if len(several.elements) > 1:  # these belong to one row
                row |= {key.parent.name: parent[key.column.name] for key in several.elements}
        mine = {(number, *(row[name] for name in key)) for number, key in enumerate(keys)}
        if not mine & seen:
            seen |= mine
            found.append(row)
    return found


def _value(
    column: Column[Any], made: dict[str, list[dict[str, Any]]], chance: random.Random
) -> Any:
    for key in column.foreign_keys:
        parent = made[key.column.table.name]
        return chance.choice(parent)[key.column.name]
    if column.nullable and chance.random() < 0.3:
        return null()
    kind = column.type
    if isinstance(kind, JSON):
        return chance.choice([None, {}, {"b": 1, "a": [_text(chance), 1.5, None, True]}, "text"])
    if isinstance(kind, Boolean):
        return chance.random() < 0.5
    if isinstance(kind, Integer):
        limit = 1 << (62 if kind.__visit_name__ == "big_integer" else 30)
        return chance.choice([chance.randrange(1, 50), chance.randrange(1, limit)])
    if isinstance(kind, Double):
        return chance.choice([0.1 + chance.random(), 1e9 * chance.random(), 0.0])
    assert isinstance(kind, Text), f"say here what a {kind!r} of {column} may hold"
    return _text(chance)


def _text(chance: random.Random) -> str:
    return "".join(chance.choices(_LETTERS, k=chance.randrange(0, 30)))


def contents(database: Database) -> dict[str, list[str]]:
    """Every row of every table, in an order that depends on nothing but the rows."""
    with database.engine.connect() as connection:
        return {
            table.name: sorted(
                json.dumps(list(row))
                for row in connection.execute(
                    select(
                        *(
                            cast(column, Text) if isinstance(column.type, JSON) else column
                            for column in table.columns
                        )
                    )
                )
            )
            for table in every_table().sorted_tables
        }
