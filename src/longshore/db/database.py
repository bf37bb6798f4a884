"""Reading and writing transactions, away from the event loop.

On SQLite one thread writes. It takes whatever transactions wait, runs them in one and commits once:
under a push storm one fsync serves many pushes. If one of them fails, all run again, each in a
savepoint of its own. Readers run beside it on connections of their own (WAL). On PostgreSQL every
transaction has its own connection.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import Connection as Connection
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DatabaseError, OperationalError

from longshore.db.generation import Generation
from longshore.oci.errors import StorageFull, Unavailable

if TYPE_CHECKING:
    from longshore.db.postgresql import PostgreSQLGeneration

logger = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[Connection], T]

#: How long a writer waits for another process' transaction, in seconds.
BUSY_TIMEOUT: Final = 30.0
#: Transactions that one commit may serve.
GROUP: Final = 64
_ATTEMPTS: Final = 5
#: Seconds.
_CONNECT_TIMEOUT: Final = 10
_RETRYABLE: Final = frozenset({"40001", "40P01"})  # serialization failure, deadlock
_READ_ONLY: Final = "25006"  # read_only_sql_transaction, as on a standby


class Database:
    """One per process. ``url`` is ``sqlite:///path`` or ``postgresql://user@host/name``."""

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        self.url = _normalise(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._pool_size = pool_size
        self._threads = ThreadPoolExecutor(pool_size, "database")
        self._engine = self._create_engine()
        self._writer = _SQLiteWriter(self._engine) if self.is_sqlite else None
        self._watch: sqlite3.Connection | None = None
        self._watching: sqlite3.Cursor | None = None
        self._version = -1
        self._pulls: tuple[str, str] | None = None
        self._generation = Generation()
        self._asking = None if self.is_sqlite else self._create_generation()

    def _create_engine(self) -> Engine:
        if not self.is_sqlite:
            return create_engine(
                self.url,
                # One more than there are threads: longshore.db.occupancy holds one all the time.
                pool_size=self._pool_size + 1,
                max_overflow=0,
                pool_timeout=BUSY_TIMEOUT,
                pool_recycle=1800,
                connect_args={"connect_timeout": _CONNECT_TIMEOUT},
            )
        engine = create_engine(
            self.url,
            connect_args={"timeout": BUSY_TIMEOUT, "check_same_thread": False},
            pool_size=self._pool_size + 1,
            max_overflow=0,
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _create_generation(self) -> "PostgreSQLGeneration":
        from longshore.db.postgresql import PostgreSQLGeneration  # the driver is an extra

        dialect = self._engine.dialect
        arguments, named = dialect.create_connect_args(self.url)
        named = {**named, "connect_timeout": _CONNECT_TIMEOUT, "autocommit": True}

        def connect() -> Any:
            return dialect.connect(*arguments, **named)

        return PostgreSQLGeneration(connect)

    @property
    def engine(self) -> Engine:
        """For migrations and offline commands; requests go through :meth:`read` and :meth:`write`."""
        return self._engine

    def open(self) -> None:
        """Connect. Raises Unavailable when the database does not answer, StorageFull when its disk has
        no room to open it, and closes then. Blocks: call in a thread."""
        try:
            if self.is_sqlite:
                Path(self.url.database or "").parent.mkdir(parents=True, exist_ok=True)
            with _translated(), self._engine.connect() as connection:
                _ask_nothing(connection)
        except (Unavailable, StorageFull):
            self.close()
            raise
        if self.is_sqlite:
            self._watch = sqlite3.connect(
                self.url.database or "", timeout=0, isolation_level=None, check_same_thread=False
            )
            self._watching = self._watch.cursor()

    def close(self) -> None:
        """Finish what waits, then disconnect. Blocks: call in a thread."""
        if self._asking:
            self._asking.close()
        if self._writer:
            self._writer.stop()
        self._threads.shutdown()
        if self._watch:
            self._watch.close()
        self._engine.dispose()

    async def generation(self) -> Generation | None:
        """What was current at a moment since this was called, or None when that cannot be had right now.
        What was read since a number last changed is still true.

        On SQLite this runs on the event loop on purpose: ``PRAGMA data_version`` looks at shared memory and takes
        about three microseconds, and after a commit one row is read that was just written; it never
        waits (time-out 0). On PostgreSQL it is a question to the server, shared by all who wait for one.
        """
        if self._asking is not None:
            return await self._asking.current()
        if self._watching is None:
            return None
        try:
            ((version,),) = self._watching.execute("PRAGMA data_version")
            if version != self._version:
                (pulls,) = self._watching.execute("SELECT manifests, blobs FROM pull_generation")
                self._moved(pulls)
                self._version = version
        except (sqlite3.OperationalError, ValueError):
            return None  # locked, or there is no such row
        return self._generation

    def _moved(self, pulls: tuple[str, str]) -> None:
        """Something was committed, after which this stands in ``pull_generation``."""
        former, self._pulls = self._pulls or (None, None), pulls
        known = self._generation
        self._generation = Generation(
            known.data + 1,
            known.data + 1,
            manifests=known.manifests + (former[0] != pulls[0]),
            blobs=known.blobs + (former[1] != pulls[1]),
        )

    async def read(self, work: Work[T]) -> T:
        """Run ``work`` in a read-only view of the database."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, work)

    async def write(self, work: Work[T], *, durable: bool = True) -> T:
        """Run ``work`` in a transaction; when this returns it is committed, and on disk if ``durable``.

        An exception rolls ``work`` back, alone. ``work`` may run more than once, so it must have no
        effect outside the database.
        """
        if self._writer:
            return await asyncio.wrap_future(self._writer.submit(work, durable))
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, self._write, work, durable
        )

    async def ping(self) -> None:
        """Ask for nothing. Raises Unavailable when the database does not answer."""
        await self.read(_ask_nothing)

    def _read(self, work: Work[T]) -> T:
        with _translated(), self._engine.connect() as connection:
            return work(connection)

    def _write(self, work: Work[T], durable: bool) -> T:
        for attempt in range(_ATTEMPTS):
            try:
                with _translated(), self._engine.begin() as connection:
                    if not durable:
                        connection.execute(text("SET LOCAL synchronous_commit = off"))
                    return work(connection)
            except OperationalError as error:
                if getattr(error.orig, "sqlstate", None) not in _RETRYABLE:
                    raise
                if attempt == _ATTEMPTS - 1:
                    raise Unavailable("the database is too busy: try again") from error
        raise AssertionError("unreachable")


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A transaction that somebody waits for."""

    work: Work[Any]
    durable: bool
    future: "Future[Any]"


class _SQLiteWriter:
    """The one thread of this process that writes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="database-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work[T], durable: bool) -> "Future[T]":
        future: Future[T] = Future()
        self._queue.put(_Waiting(work, durable, future))
        return future

    def stop(self) -> None:
        self._queue.put(None)
        self._thread.join(BUSY_TIMEOUT)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group = [first]
            last = False
            while len(group) < GROUP:
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
                if item is None:
                    last = True
                    break
                group.append(item)
            wanted = [item for item in group if item.future.set_running_or_notify_cancel()]
            if wanted:
                self._commit(wanted)
            if last:
                return

    def _commit(self, group: Sequence[_Waiting]) -> None:
        try:
            with _translated(), self._engine.connect() as connection:
                self._set_durability(connection, any(item.durable for item in group))
                done = self._transact(connection.execution_options(longshore_writes=True), group)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must be told
            for item in group:
                if not item.future.done():
                    item.future.set_exception(error)
            return
        for item, result in done:
            item.future.set_result(result)

    def _transact(
        self, connection: Connection, group: Sequence[_Waiting]
    ) -> Sequence[tuple[_Waiting, Any]]:
        """Run the group and commit; what succeeded. Failures are told to those who wait for them."""
        try:
            # Failures are rare, and savepoints cost as much as the work between them.
            with connection.begin():
                return [(item, item.work(connection)) for item in group]
        except OperationalError:
            raise  # the connection or the disk is at fault: the whole group ends here
        except Exception:
            if len(group) == 1:
                raise
        return self._transact_apart(connection, group)

    @staticmethod
    def _transact_apart(
        connection: Connection, group: Sequence[_Waiting]
    ) -> Sequence[tuple[_Waiting, Any]]:
        """The same, so that one failure leaves the rest of the group alone."""
        done = []
        with connection.begin():
            for item in group:
                try:
                    with connection.begin_nested():
                        done.append((item, item.work(connection)))
                except OperationalError:
                    raise
                except Exception as error:  # noqa: BLE001 - handed back to whoever waits for it
                    item.future.set_exception(error)
        return done

    @staticmethod
    def _set_durability(connection: Connection, durable: bool) -> None:
        # In WAL mode FULL syncs at every commit; NORMAL leaves it to the next FULL one. Outside a
        # transaction, so on the driver's own connection: SQLAlchemy would begin one.
        driver = connection.connection.driver_connection
        if driver is not None:
            driver.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")


def _ask_nothing(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))


def _normalise(url: str) -> URL:
    parsed = make_url(url)
    if parsed.drivername in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where _begin_sqlite says
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "cache_size = -16000",
        "temp_store = MEMORY",
        "mmap_size = 268435456",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that turns into a writing one may meet a lock it cannot wait for, so
    # writers say so at once.
    writes = connection.get_execution_options().get("longshore_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of the medium become what a client can be told; programming errors stay what they are."""
    try:
        yield
    except OperationalError as error:
        if _is_full(error):
            raise StorageFull(
                "the disk that holds the database is full: nothing was changed; "
                "free some space and try again"
            ) from error
        if getattr(error.orig, "sqlstate", None) in _RETRYABLE:
            raise
        _report(error)
        raise Unavailable(
            "the database does not answer: try again in a moment", headers={"Retry-After": "5"}
        ) from error
    except DatabaseError as error:
        if getattr(error.orig, "sqlstate", None) == _READ_ONLY:
            logger.warning("the database takes no changes: %s", " ".join(str(error.orig).split()))
            raise Unavailable(
                "the database takes no changes: it is a standby, or was made read-only; connect to the primary, "
                "or end that, and try again",
                headers={"Retry-After": "5"},
            ) from error
        if "not a database" in str(error.orig) or "malformed" in str(error.orig):
            raise Unavailable(
                f"the database cannot be read: {error.orig} (it is damaged, or is not a database)"
            ) from error
        raise


def _report(error: OperationalError) -> None:
    """One line: while the database is away every request comes by here."""
    logger.error("the database does not answer: %s", " ".join(str(error.orig).split()))
    logger.debug("where the database did not answer", exc_info=error)


def _is_full(error: BaseException | None) -> bool:
    """Whether a full disk is behind ``error``. SQLite ends the transaction by itself then, so what
    arrives here may be the savepoint that is no longer there."""
    while error is not None:
        if "disk is full" in str(error) or getattr(error, "sqlstate", None) == "53100":
            return True
        if getattr(error, "sqlite_errorname", None) == "SQLITE_IOERR_SHMSIZE":
            return True  # no room for the index of the log, which every process that opens it needs
        error = error.__cause__ or error.__context__
    return False
