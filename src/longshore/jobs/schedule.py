"""Jobs that come back: one run per tick, however many workers there are.

The job of the next tick waits in the queue under a key of its own, so that all workers together can
add it only once. Ticks that pass while nobody works, or while the one before is still at work, are
made up for by one run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from longshore.config.recurrence import Cron, Recurrence
from longshore.db.clock import database_time
from longshore.db.database import Connection
from longshore.jobs import queue, store
from longshore.jobs.model import JobConflict

#: The key of scheduled jobs.
KEY: Final = "scheduled"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A job of ``kind`` whenever ``ticks`` says."""

    kind: str
    ticks: Recurrence
    payload: Mapping[str, Any] = field(default_factory=dict)


def kept(connection: Connection, configured: Sequence[Schedule]) -> list[Schedule]:
    """The ``configured`` ones, or what administrators have said instead or beside them."""
    found = {schedule.kind: schedule for schedule in configured}
    for kind, said in store.set_schedules(connection).items():
        found.pop(kind, None)
        if said.cron:
            found[kind] = Schedule(kind, Cron(said.cron), said.payload)
    return list(found.values())


def change(
    connection: Connection,
    kind: str,
    cron: str,
    payload: Mapping[str, Any],
    *,
    anew: bool = False,
) -> None:
    """Let jobs of ``kind`` come back when ``cron`` says (empty: never), whatever is configured. The next
    one waits when this is committed. Raises ValueError for what is no cron expression, JobConflict when it is to be
    set ``anew`` and there is one."""
    ticks = Cron(cron) if cron else None
    now = database_time(connection)
    if not store.set_schedule(connection, kind, cron, payload, now, anew=anew):
        raise JobConflict(f"jobs of kind {kind} come back already")
    store.remove_waiting(connection, kind, KEY, now)
    if ticks is not None:
        ensure(connection, Schedule(kind, ticks, payload))


def ensure(connection: Connection, schedule: Schedule) -> None:
    """See to it that the next tick's job waits, also if the schedule has been changed."""
    # By the database's clock: a node whose own is behind would add a tick that has been.
    now = database_time(connection)
    tick = schedule.ticks.after(now)
    queue.enqueue(connection, schedule.kind, schedule.payload, now=now, key=KEY, run_at=tick)
    store.reschedule(connection, schedule.kind, KEY, now=now, run_at=tick)


def is_waiting(connection: Connection, schedule: Schedule) -> bool:
    """Whether there is nothing for :func:`ensure` to do."""
    found = store.live_job(connection, schedule.kind, KEY)
    if found is None:
        return False
    now = database_time(connection)
    return found.attempt > 0 or found.run_at <= now or found.run_at == schedule.ticks.after(now)
