"""Rows on their way to a receiver: a job for each that is there while the receiver lacks rows.

The log itself is the queue: ids have no gaps and become visible in their order, so that a cursor, the id of
the last row that the receiver has taken, misses nothing. It moves when the receiver has them: after a failure, or
a process that was killed in between, rows are sent again. Retention waits for every cursor.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from longshore.audit import store
from longshore.audit.model import Row
from longshore.db.clock import database_time
from longshore.db.database import Connection, Database
from longshore.jobs import queue
from longshore.jobs.model import LINE_LENGTH, JobContext, Postponed, RetryPolicy
from longshore.telemetry import clock

_KEY: Final = "audit"
#: Rows that are sent at a time: a megabyte at most.
BATCH: Final = 200


class Receiver(Protocol):
    """Who is sent rows."""

    async def send(self, rows: Sequence[Row]) -> None:
        """Returns when it has them. Raises OSError (TimeoutError is one) when it has not, or may not have."""

    async def close(self) -> None:
        """Called once, when the process ends."""


@dataclass(frozen=True, slots=True)
class AuditForward:
    """The task that sends rows to the receiver called ``name``, which is at ``place``. A failure is repeated as
    ``retry`` says, for as long as it takes."""

    database: Database
    name: str
    receiver: Receiver
    place: str
    retry: RetryPolicy = field(default_factory=lambda: RetryPolicy(first=1.0, longest=300.0))
    concurrency: int = 1

    @property
    def kind(self) -> str:
        return kind_of(self.name)

    async def run(self, context: JobContext) -> None:
        context.leave_no_trace()
        failures: int = context.state or 0
        while rows := await self.database.read(self._next):
            try:
                await self.receiver.send(rows)
            except OSError as error:
                await context.checkpoint(failures + 1)
                said = str(error) or type(error).__name__
                reason = f"{self.place} did not take rows from {rows[0].id}: {said}"[:LINE_LENGTH]
                chance = random.random()  # noqa: S311 - no secret
                raise Postponed(self.retry.delay(failures + 1, chance), reason) from error
            if failures:
                failures = 0
                await context.checkpoint(failures)
            note = partial(
                store.set_forwarded,
                receiver=self.name,
                last_id=rows[-1].id,
                now=clock.timestamp(),
            )
            # If this is lost in a power failure they are sent once more, which may happen anyway.
            await self.database.write(note, durable=False)

    async def close(self) -> None:
        """Close what connections there are."""
        await self.receiver.close()

    def _next(self, connection: Connection) -> list[Row]:
        after = store.forwarded_through(connection, [self.name])[self.name]
        return store.following(connection, after, BATCH)


@dataclass(frozen=True, slots=True)
class Unforwarded:
    """Where the worker looks for rows to send: who adds one does not know of receivers."""

    receivers: Sequence[str]

    def wanted(self, connection: Connection) -> list[str]:
        """Kinds of jobs that there should be and are not."""
        last = store.last_id(connection)
        had = store.forwarded_through(connection, self.receivers)
        kinds = [kind_of(name) for name, number in had.items() if number < last]
        return [kind for kind in kinds if not queue.is_live(connection, kind, _KEY)]

    def enqueue(self, connection: Connection, kind: str) -> None:
        queue.enqueue(connection, kind, {}, now=database_time(connection), key=_KEY)


def kind_of(receiver: str) -> str:
    """The kind of the job that sends rows to a receiver."""
    return f"audit-forward:{receiver}"


def waiting(connection: Connection, receivers: Sequence[str]) -> dict[str, int]:
    """How many rows each receiver lacks."""
    state = store.read_state(connection)
    first = 0 if state is None else state.removed_through
    last = store.last_id(connection)
    had = store.forwarded_through(connection, receivers)
    return {name: max(0, last - max(number, first)) for name, number in had.items()}
