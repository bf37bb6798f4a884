"""The form of a backup: gzip-compressed lines of JSON.

The first line says what made it, the last how many rows each table has and the SHA-256 of every
(uncompressed) byte before. Between them each table has a line with its name and columns, followed by
one array for each row. See docs/backup.md.
"""

import gzip
import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final

import orjson

FORMAT: Final = "longshore-backup"
VERSION: Final = 1
#: The longest line that is read, in bytes; a row holds at most a manifest's annotations.
MAX_LINE: Final = 64 << 20
_LEVEL: Final = 6


class BackupFailed(Exception):
    """A backup cannot be made or restored; the message says why and what to do."""


class BackupDamaged(BackupFailed):
    """The file is not what was written."""


@dataclass(frozen=True, slots=True)
class Header:
    """What made the backup: its schema revision, its release, and when (RFC 3339, UTC)."""

    schema: str
    longshore: str
    created: str
    database: str


@dataclass(frozen=True, slots=True)
class TableStart:
    """The rows that follow are of this table, with their values in this order."""

    name: str
    columns: tuple[str, ...]


Row = list[Any]


class Writer:
    """Writes one backup to an open file. :meth:`finish` writes the last line; without it the file
    is a damaged backup."""

    def __init__(self, sink: IO[bytes], header: Header) -> None:
        self.rows: dict[str, int] = {}
        self._digest = hashlib.sha256()
        self._table = ""
        # No name and no time in gzip's own header: the first line has both.
        self._file = gzip.GzipFile("", "wb", _LEVEL, sink, mtime=0)
        self._write(
            {
                "format": FORMAT,
                "version": VERSION,
                "schema": header.schema,
                "longshore": header.longshore,
                "created": header.created,
                "database": header.database,
            }
        )

    def start(self, table: TableStart) -> None:
        """Begin a table."""
        self._table = table.name
        self.rows[table.name] = 0
        self._write({"table": table.name, "columns": table.columns})

    def add(self, rows: Sequence[Row]) -> None:
        """Rows of the table begun last."""
        content = b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
        self.rows[self._table] += len(rows)
        self._digest.update(content)
        self._file.write(content)

    def finish(self) -> None:
        """Write the last line and what the compression still holds. Does not close the file."""
        self._write({"rows": self.rows, "sha256": self._digest.hexdigest()})
        self._file.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        content = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        self._digest.update(content)
        self._file.write(content)


def read(source: IO[bytes]) -> Iterator[Header | TableStart | Row]:
    """The parts of a backup in order: the header, then each table's start and its rows.

    What is yielded is only known to be what was written when the iterator has ended. Raises
    BackupDamaged as soon as it is not, and BackupFailed for a format that is not known here.
    """
    digest = hashlib.sha256()
    rows: dict[str, int] = {}
    table: TableStart | None = None
    lines = _lines(source)
    first = next(lines, b"")
    digest.update(first)
    yield _header(first)
    for line in lines:
        found = _parse(line)
        if isinstance(found, dict) and "sha256" in found:
            if found != {"rows": rows, "sha256": digest.hexdigest()}:
                raise BackupDamaged("its content is not what its last line says")
            if next(lines, None) is not None:
                raise BackupDamaged("something follows its last line")
            return
        digest.update(line)
        if isinstance(found, list) and table is not None and len(found) == len(table.columns):
            rows[table.name] += 1
            yield found
        elif isinstance(found, dict) and found.get("table") not in rows:
            table = _table(found)
            rows[table.name] = 0
            yield table
        else:
            raise BackupDamaged("it has a line that is neither a table nor a row of one")
    raise BackupDamaged("its end is missing")


def _header(line: bytes) -> Header:
    found = _parse(line)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise BackupDamaged("it does not begin as one made by `longshore backup`")
    if found.get("version") != VERSION:
        raise BackupFailed(
            f"it was made by longshore {found.get('longshore')} in format {found.get('version')}, and "
            f"this release reads format {VERSION}: restore it with the release that made it"
        )
    values = [found.get(name) for name in ("schema", "longshore", "created", "database")]
    if not all(isinstance(value, str) for value in values):
        raise BackupDamaged("its first line is incomplete")
    return Header(*map(str, values))


def _table(found: Mapping[str, Any]) -> TableStart:
    name, columns = found.get("table"), found.get("columns")
    if not isinstance(name, str) or not isinstance(columns, list):
        raise BackupDamaged("it has a line that is neither a table nor a row of one")
    return TableStart(name, tuple(map(str, columns)))


def _parse(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BackupDamaged("it has a line that is not JSON") from error


def _lines(source: IO[bytes]) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(fileobj=source, mode="rb") as file:
            while line := file.readline(MAX_LINE):
                if not line.endswith(b"\n"):
                    raise BackupDamaged("it has a line without an end")
                yield line
    except EOFError as error:
        raise BackupDamaged("its end is missing") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise BackupDamaged(f"it cannot be decompressed: {error}") from error
