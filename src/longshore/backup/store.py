"""All rows of all tables, out of a database and into one.

Values travel as the tables' types read and bind them. JSON columns travel as their text: that keeps
the difference between NULL and ``null``, and the bytes of a document as they are.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Table,
    Text,
    bindparam,
    cast,
    func,
    insert,
    inspect,
    select,
    text,
)

from longshore.backup.archive import BackupDamaged, BackupFailed, Row, TableStart, Writer
from longshore.db.schema import GENERATIONS, every_table

#: Rows in memory at a time on the way out, and on the way in, where bytes of the file count too.
FETCHED: Final = 200
BATCH_ROWS: Final = 1000
BATCH_BYTES: Final = 8 << 20

_REVISION: Final = "alembic_version"


def snapshot(connection: Connection) -> Connection:
    """The connection, so that all it reads is of one moment while others go on writing.

    To be called before the first statement. On SQLite every transaction is one such moment.
    """
    if connection.dialect.name == "sqlite":
        return connection
    return connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def revision(connection: Connection) -> str | None:
    """The schema's revision; None for a database that has none."""
    if not inspect(connection).has_table(_REVISION):
        return None
    found: str | None = connection.scalar(text(f"SELECT version_num FROM {_REVISION}"))  # noqa: S608 - a constant
    return found


def export(connection: Connection, writer: Writer) -> None:
    """Write every row of every table. Raises BackupFailed when the tables are not those expected."""
    _require_tables(connection)
    for table in every_table().sorted_tables:
        writer.start(start_of(table))
        columns = [_read(column) for column in table.columns]
        found = connection.execute(
            select(*columns), execution_options={"yield_per": FETCHED, "stream_results": True}
        )
        for rows in found.partitions():
            writer.add([list(row) for row in rows])


def filled(connection: Connection) -> list[str]:
    """The names of the tables that have rows."""
    return [
        table.name
        for table in every_table().sorted_tables
        if connection.execute(select(1).select_from(table).limit(1)).first()
    ]


def replace(connection: Connection, parts: Iterable[TableStart | Row]) -> dict[str, int]:
    """Remove every row, then insert those of a backup; how many rows each table has now."""
    _require_tables(connection)
    for table in reversed(every_table().sorted_tables):
        connection.execute(table.delete())
    counts: dict[str, int] = {}
    for table, rows in _batches(parts):
        counts[table.name] = counts.get(table.name, 0) + len(rows)
        names = [column.name for column in table.columns]
        values = {column.name: _bound(connection, column) for column in table.columns}
        if rows:
            connection.execute(
                insert(table).values(values), [dict(zip(names, row, strict=True)) for row in rows]
            )
    if connection.dialect.name == "postgresql":
        _reset_sequences(connection)
    return counts


def start_of(table: Table) -> TableStart:
    """How a table begins in a backup of this schema."""
    # SQLAlchemy's names are a kind of str that JSON does not take for one.
    return TableStart(str(table.name), tuple(str(column.name) for column in table.columns))


def expected(start: TableStart) -> Table:
    """The table. Raises BackupDamaged when this schema has none with these columns."""
    table = every_table().tables.get(start.name)
    if table is None or start_of(table) != start:
        raise BackupDamaged(
            f"its table {start.name!r} is not that of the schema it says it has been made from"
        )
    return table


def names() -> set[str]:
    """Every table of the schema."""
    return set(every_table().tables)


def _batches(parts: Iterable[TableStart | Row]) -> Iterator[tuple[Table, Sequence[Row]]]:
    table: Table | None = None
    batch: list[Row] = []
    size = 0
    for part in parts:
        if isinstance(part, TableStart):
            if table is not None:
                yield table, batch
            table, batch, size = expected(part), [], 0
            continue
        batch.append(part)
        size += sum(len(value) for value in part if isinstance(value, str))
        if table is not None and (len(batch) >= BATCH_ROWS or size >= BATCH_BYTES):
            yield table, batch
            batch, size = [], 0
    if table is not None:
        yield table, batch


def _read(column: Column[Any]) -> Any:
    return cast(column, Text).label(column.name) if isinstance(column.type, JSON) else column


def _bound(connection: Connection, column: Column[Any]) -> Any:
    if not isinstance(column.type, JSON):
        return bindparam(column.name, type_=column.type)
    value = bindparam(column.name, type_=Text())
    # SQLite keeps documents as text anyway, and would take CAST AS JSON for a number.
    return value if connection.dialect.name == "sqlite" else cast(value, column.type)


def _require_tables(connection: Connection) -> None:
    found = set(inspect(connection).get_table_names()) - {_REVISION, *GENERATIONS}
    missing, unknown = names() - found, found - names()
    if missing:
        raise BackupFailed(
            f"the database lacks tables of its schema: {', '.join(sorted(missing))}. Somebody has "
            "removed them by hand"
        )
    if unknown:
        raise BackupFailed(
            f"the database has tables that are not Longshore's: {', '.join(sorted(unknown))}. Give "
            "the registry a database of its own"
        )


def _reset_sequences(connection: Connection) -> None:
    """The next key of each table is above those that were inserted."""
    for table in every_table().sorted_tables:
        column = table.autoincrement_column
        if column is None:
            continue
        sequence = connection.scalar(select(func.pg_get_serial_sequence(table.name, column.name)))
        if sequence is not None:
            highest = select(func.coalesce(func.max(column), 0) + 1).scalar_subquery()
            connection.execute(select(func.setval(sequence, highest, False)))
