"""Writes many rows at once into the tables of a registry: what one that has grown for years holds."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import psycopg
import sqlalchemy
from sqlalchemy import create_engine

Row = tuple[Any, ...]


class Rows(Protocol):
    """What a database is filled with."""

    def rows(self) -> Iterator[tuple[str, str, Iterable[Row]]]:
        """Table, columns, rows."""


def fill(url: str, contents: Rows) -> None:
    """Write the rows, as fast as the database takes them."""
    engine = create_engine(url)
    with engine.begin() as connection:
        driver = connection.connection.driver_connection
        for table, columns, rows in contents.rows():
            if isinstance(driver, psycopg.Connection):
                with driver.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)
            elif driver is not None:
                marks = ", ".join("?" * len(columns.split(",")))
                driver.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)  # noqa: S608 - names of ours
    engine.dispose()
    analyze(url)


def analyze(url: str) -> None:
    """Tell planners what there is."""
    engine = create_engine(url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sqlalchemy.text("ANALYZE" if "sqlite" in url else "VACUUM ANALYZE"))
    engine.dispose()
