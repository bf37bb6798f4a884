"""What several modules of the store share."""

from functools import cache
from importlib import import_module
from typing import Any

from sqlalchemy import Connection, Insert, Select, Table, func, literal, select


def insert_if_absent(connection: Connection, table: Table, row: dict[str, Any]) -> bool:
    """Insert unless a row with the same key exists; whether it was inserted."""
    return connection.execute(_if_absent(connection.dialect.name, table), row).first() is not None


@cache
def _if_absent(dialect: str, table: Table) -> Insert:
    # Importing a dialect takes a good part of a start: only the one in use.
    insertion = import_module(f"sqlalchemy.dialects.{dialect}").insert(table)
    # RETURNING rather than a row count: psycopg's count means nothing beside implicit returning.
    statement: Insert = insertion.on_conflict_do_nothing().returning(literal(1))
    return statement


def joined_names(connection: Connection, query: Select[tuple[str]]) -> list[str]:
    """The names that ``query`` selects, in ASCII order.

    They come as one string: a row for each of ten thousand costs four times as much as finding it.
    The grammars of tags and repositories know no comma.
    """
    found = query.subquery()
    joined = connection.scalar(select(func.aggregate_strings(found.c.name, ",")))
    return sorted(joined.split(",")) if joined else []
