"""The generation of a PostgreSQL database: one question, shared by whoever wants to know at the same moment, as
transactions share an fsync."""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from psycopg import Connection, Error, ProgrammingError
from psycopg.pq import ExecStatus

from longshore.db.generation import Generation, Shared

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

logger = logging.getLogger(__name__)

#: How long a question may take, in seconds; then whoever waits reads the tables, as without a generation.
PATIENCE: Final = 5.0
#: How long nobody connects again after a connection was lost, in seconds.
PAUSE: Final = 1.0

#: The same when the server does not understand the question, in seconds.
REFUSED: Final = 60.0

_NAME: Final = b"longshore_generation"
#: Two statements with the same snapshot see the same: transactions that were running then are running still, and none
#: has been added (PostgreSQL, "System Information Functions", pg_snapshot). The server's start is there for
#: another one that takes over behind the same address and counts its transactions anew. A standby's snapshots
#: do not name what still runs on the primary, so there they prove nothing.
_QUESTION: Final = b"""
SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_current_snapshot()::text END,
       pg_postmaster_start_time()::text,
       (SELECT value FROM rights_generation)
"""

#: A snapshot and a server, and what stands in rights_generation there.
_Answer = tuple[bytes | None, bytes | None, bytes | None]


class PostgreSQLGeneration:
    """One per process, with a connection of its own that the event loop itself reads from: a thread would have to wait
    for its turn on the way there and on the way back. Nothing here raises or waits for a connection:
    without one there is no generation, and whoever asked reads the tables."""

    def __init__(
        self,
        connect: Callable[[], Connection[Any]],
        *,
        patience: float = PATIENCE,
        pause: float = PAUSE,
    ) -> None:
        """``connect`` makes a connection; it is called in a thread, and may raise whatever psycopg does."""
        self._connect = connect
        self._patience = patience
        self._pause = pause
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: Connection[Any] | None = None
        self._descriptor = -1
        self._connecting = False
        self._closed = False
        self._not_before = 0.0
        self._shared: Shared[Generation | None] = Shared(self._send)
        self._sent_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._result: PGresult | None = None
        self._answer: _Answer | None = None
        self._generation = Generation()

    async def current(self) -> Generation | None:
        """A generation that was current at a moment since this was called; None when none can be had."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop and not self._moved_to(loop):
            return None
        if self._connection is None:
            self._reconnect(loop)
            return None
        return await self._shared.ask()

    def close(self) -> None:
        """Disconnect; who waits has no answer. From any thread."""
        self._closed = True
        loop = self._loop
        if loop is not None and loop.is_running() and not _runs_here(loop):
            loop.call_soon_threadsafe(self._lose)
        else:
            self._lose()

    def _moved_to(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether questions are asked from ``loop``: the first one that did, or another after its end."""
        if self._loop is not None and not self._loop.is_closed():
            return False
        self._lose()
        self._loop, self._not_before, self._connecting = loop, 0.0, False
        self._shared = Shared(self._send)
        return True

    # The connection

    def _reconnect(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._connecting or self._closed or time.monotonic() < self._not_before:
            return
        self._connecting = True
        loop.run_in_executor(None, self._prepared).add_done_callback(self._take)

    def _prepared(self) -> Connection[Any]:
        """A connection that knows the question. Blocks."""
        connection = self._connect()
        pgconn = connection.pgconn
        try:
            if connection.prepare_threshold is not None:
                result = pgconn.prepare(_NAME, _QUESTION)
            else:  # for the sake of poolers that know no prepared statements
                result = pgconn.exec_(_QUESTION)
            if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
                raise ProgrammingError(result.get_error_message())
            pgconn.nonblocking = 1
        except Error:
            connection.close()
            raise
        return connection

    def _take(self, connecting: "asyncio.Future[Connection[Any]]") -> None:
        self._connecting = False
        self._not_before = time.monotonic() + self._pause
        if connecting.cancelled():
            return
        error = connecting.exception()
        if isinstance(error, ProgrammingError):
            self._not_before = time.monotonic() + REFUSED
            logger.warning("nothing is remembered, the database cannot say what is new: %s", error)
        if error is not None:
            return  # whoever reads tables meanwhile finds the same, and tells
        if self._closed or self._loop is not connecting.get_loop():
            connecting.result().close()
            return
        self._connection = connecting.result()
        # One of our own: the driver closes its descriptor by itself when the connection is lost, while the loop still
        # knows it, and somebody else may have the number by then.
        self._descriptor = os.dup(self._connection.pgconn.socket)
        self._loop.add_reader(self._descriptor, self._read)

    def _lose(self, reason: str = "") -> None:
        """Disconnect; who waits has no answer."""
        connection, self._connection = self._connection, None
        self._answer = self._result = None
        self._not_before = time.monotonic() + self._pause
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if connection is None:
            return
        if reason:
            logger.warning("what is new in the database is asked again in a moment: %s", reason)
        alive = self._loop is not None and not self._loop.is_closed()
        if alive and self._loop is not None:
            self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        connection.close()
        if alive and self._shared.under_way:
            self._shared.answered(None)

    # The question

    def _send(self) -> None:
        if self._connection is None or self._loop is None:
            self._shared.answered(None)
            return
        pgconn = self._connection.pgconn
        self._sent_at = time.monotonic()
        if self._timer is None:
            self._timer = self._loop.call_later(self._patience, self._look)
        try:
            if self._connection.prepare_threshold is not None:
                pgconn.send_query_prepared(_NAME, None)
            else:
                pgconn.send_query(_QUESTION)
            pgconn.flush()  # one question at a time is always room for
        except Error as error:
            self._lose(str(error))

    def _look(self) -> None:
        """Give up a question that nobody answers."""
        self._timer = None
        if not self._shared.under_way or self._loop is None:
            return
        left = self._sent_at + self._patience - time.monotonic()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self._lose(f"there was no answer for {self._patience:g} seconds")

    def _read(self) -> None:
        if self._connection is None:
            return
        pgconn = self._connection.pgconn
        try:
            pgconn.consume_input()
            while not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None:
                    break
                self._result = result
            else:
                return
        except Error as error:
            self._lose(str(error))
            return
        result, self._result = self._result, None
        if result is None:
            return  # a notice, while nobody asks
        if result.status != ExecStatus.TUPLES_OK:
            self._lose(result.get_error_message())
            return
        snapshot, server, rights = (result.get_value(0, column) for column in range(3))
        self._shared.answered(self._told((snapshot, server, rights)))

    def _told(self, answer: _Answer) -> Generation | None:
        """The generation of an answer."""
        former, self._answer = self._answer, answer
        if answer[0] is None:
            return None
        if answer != former:
            known = former is not None and former[1:] == answer[1:]
            data = self._generation.data + 1
            rights = self._generation.rights + (0 if known else 1)
            self._generation = Generation(data, rights, manifests=data, blobs=data)
        return self._generation


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
