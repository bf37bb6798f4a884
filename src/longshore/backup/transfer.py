"""From a database to a file, and from a file to a database. Everything here blocks."""

import asyncio
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO

import longshore
from longshore import migrations
from longshore.backup import archive, store
from longshore.backup.archive import BackupDamaged, BackupFailed, Header, Row, TableStart
from longshore.db import occupancy
from longshore.db.database import Connection, Database
from longshore.storage.durable import sync_directory
from longshore.telemetry import clock


def back_up(database: Database, file: Path) -> Mapping[str, int]:
    """Write all rows of ``database`` to ``file``; how many rows each table has.

    The file appears, or is replaced, when it is whole and on the disk. Raises BackupFailed, OSError,
    Unavailable.
    """
    with _appearing(file) as sink:
        return asyncio.run(database.read(partial(_export, sink=sink)))


def restore(database: Database, file: Path, *, replace: bool = False) -> Mapping[str, int]:
    """Make ``file`` the content of ``database``; how many rows each table has then.

    The whole file is read and verified first, and the rows are written in one transaction, so a
    failure changes nothing. Raises BackupFailed, also when the database has rows and not
    ``replace``; Occupied when a server accepts pushes; OSError, Unavailable, StorageFull.
    """
    with file.open("rb") as source, _named(file):
        _verify(source)
        with occupancy.alone(database):
            migrations.upgrade(database)
            return asyncio.run(database.write(partial(_import, source=source, may_replace=replace)))


def _export(connection: Connection, *, sink: IO[bytes]) -> Mapping[str, int]:
    connection = store.snapshot(connection)
    revision = store.revision(connection)
    if revision is None:
        raise BackupFailed("there is no registry in this database: nothing was written")
    if revision != migrations.HEAD:
        raise BackupFailed(
            f"the database has schema {revision} and longshore {longshore.__version__} works with "
            f"{migrations.HEAD}: make the backup with the release that serves the database"
        )
    made = clock.now().isoformat(timespec="seconds").replace("+00:00", "Z")
    header = Header(revision, longshore.__version__, made, connection.dialect.name)
    writer = archive.Writer(sink, header)
    store.export(connection, writer)
    writer.finish()
    return writer.rows


def _import(connection: Connection, *, source: IO[bytes], may_replace: bool) -> Mapping[str, int]:
    if not may_replace and (filled := store.filled(connection)):
        raise BackupFailed(
            f"the database is not empty (it has rows in {', '.join(filled)}): restore into a new one, "
            "or give --replace to remove what it has"
        )
    return store.replace(connection, _parts(source))


def _verify(source: IO[bytes]) -> None:
    """Read all of it. Raises BackupFailed unless it is whole and of this schema."""
    found = set()
    for part in _parts(source):
        if isinstance(part, TableStart):
            store.expected(part)
            found.add(part.name)
    if missing := store.names() - found:
        raise BackupDamaged(f"it has no table {', '.join(sorted(missing))}")


def _parts(source: IO[bytes]) -> Iterator[TableStart | Row]:
    source.seek(0)
    for part in archive.read(source):
        if isinstance(part, Header):
            _require_schema(part)
        else:
            yield part


def _require_schema(header: Header) -> None:
    if header.schema != migrations.HEAD:
        raise BackupFailed(
            f"it was made by longshore {header.longshore} with schema {header.schema}, and longshore "
            f"{longshore.__version__} has schema {migrations.HEAD}: restore it with longshore "
            f"{header.longshore}. A newer release brings that database to its schema when it starts"
        )


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Failures say which file they are about."""
    try:
        yield
    except BackupDamaged as error:
        raise BackupDamaged(
            f"{file} is damaged or no backup: {error}; nothing was changed"
        ) from error
    except BackupFailed as error:
        raise BackupFailed(f"{file} was not restored: {error}. Nothing was changed") from error


@contextmanager
def _appearing(file: Path) -> Iterator[IO[bytes]]:
    """A new file beside ``file``, readable by its owner only, that takes its name at the end."""
    if file.exists() and not file.is_file():
        raise BackupFailed(f"{file} is not a regular file: give the name of one, or a new name")
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as sink:
            yield sink
            sink.flush()
            os.fsync(sink.fileno())
        os.replace(name, file)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
    sync_directory(str(file.parent))
