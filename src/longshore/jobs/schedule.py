"""Jobs that come back: one run per tick, however many workers there are.

A tick is a multiple of the interval since 1970. The job of the next tick waits in the queue under a
key of its own, so that all workers together can add it only once.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from longshore.db.database import Connection
from longshore.jobs import queue, store

#: The key of scheduled jobs.
KEY: Final = "scheduled"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A job of ``kind`` every ``every`` seconds."""

    kind: str
    every: float
    payload: Mapping[str, Any] = field(default_factory=dict)

    def next_tick(self, now: float) -> float:
        """The first tick after ``now``, in POSIX seconds."""
        return (math.floor(now / self.every) + 1) * self.every


def ensure(connection: Connection, schedule: Schedule) -> None:
    """See to it that the next tick's job waits, also if the interval has become shorter."""
    # By the database's clock: a node whose own is behind would add a tick that has been.
    now = store.database_time(connection)
    tick = schedule.next_tick(now)
    queue.enqueue(connection, schedule.kind, schedule.payload, now=now, key=KEY, run_at=tick)
    store.bring_forward(connection, schedule.kind, KEY, tick)


def is_waiting(connection: Connection, schedule: Schedule) -> bool:
    """Whether there is nothing for :func:`ensure` to do."""
    found = store.live_job(connection, schedule.kind, KEY)
    tick = schedule.next_tick(store.database_time(connection))
    return found is not None and (found.holder is not None or found.run_at <= tick)
