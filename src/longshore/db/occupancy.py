"""Who works on the database's storage: servers that write share it, an offline command has it alone.

SQLite: a lock on a file beside the database. PostgreSQL: an advisory lock of a session. Both end with
the process that holds them, however it ends.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import text

from longshore.db.database import Database

_KEY: Final = 0x4C6F6E68


class Occupied(Exception):
    """Somebody else is at work on the same data."""


@contextmanager
def sharing(database: Database) -> Iterator[None]:
    """Held by every process that accepts pushes. Raises Occupied while a command is alone."""
    with _hold(database, exclusive=False):
        yield


@contextmanager
def alone(database: Database) -> Iterator[None]:
    """Held by a command that must not meet a push. Raises Occupied while a server accepts pushes."""
    with _hold(database, exclusive=True):
        yield


@contextmanager
def _hold(database: Database, *, exclusive: bool) -> Iterator[None]:
    hold = _hold_file if database.is_sqlite else _hold_advisory
    with hold(database, exclusive):
        yield


@contextmanager
def _hold_file(database: Database, exclusive: bool) -> Iterator[None]:
    path = Path(f"{database.url.database}.lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise Occupied(str(path)) from error
    finally:
        os.close(descriptor)


@contextmanager
def _hold_advisory(database: Database, exclusive: bool) -> Iterator[None]:
    kind = "" if exclusive else "_shared"
    with database.engine.connect() as connection:
        held = connection.scalar(text(f"SELECT pg_try_advisory_lock{kind}(:key)"), {"key": _KEY})
        connection.commit()
        if not held:
            raise Occupied(str(database.url))
        try:
            yield
        finally:
            connection.execute(text(f"SELECT pg_advisory_unlock{kind}(:key)"), {"key": _KEY})
            connection.commit()
