"""Schedules that administrators set."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from sqlalchemy import Connection, Insert, delete, literal, select

from longshore.jobs.model import SetSchedule, Status
from longshore.jobs.tables import job_schedules, jobs


def set_schedules(connection: Connection) -> dict[str, SetSchedule]:
    """All of them, by kind."""
    return {
        row.kind: SetSchedule(**row._mapping) for row in connection.execute(select(job_schedules))
    }


def find_set_schedule(connection: Connection, kind: str) -> SetSchedule | None:
    """That of one kind."""
    row = connection.execute(
        select(job_schedules).where(job_schedules.c.kind == kind)
    ).one_or_none()
    return None if row is None else SetSchedule(**row._mapping)


def set_schedule(
    connection: Connection,
    kind: str,
    cron: str,
    payload: Mapping[str, Any],
    now: float,
    *,
    anew: bool = False,
) -> bool:
    """Set one; an empty ``cron``: never. ``anew``: only where none comes back already, whoever else is about to set
    one. Whether it was set."""
    values = {"cron": cron, "payload": dict(payload), "updated_at": now}
    # Importing a dialect takes a good part of a start: only the one in use.
    dialect = import_module(f"sqlalchemy.dialects.{connection.dialect.name}")
    insertion = dialect.insert(job_schedules).values(kind=kind, created_at=now, **values)
    statement: Insert = insertion.on_conflict_do_update(
        index_elements=[job_schedules.c.kind],
        set_={name: insertion.excluded[name] for name in values},
        where=job_schedules.c.cron == "" if anew else None,
    )
    return connection.execute(statement.returning(literal(1))).first() is not None


def remove_waiting(connection: Connection, kind: str, key: str, now: float) -> None:
    """Take the job of this kind and key back out of the queue, unless it is due or was tried."""
    connection.execute(
        delete(jobs).where(
            jobs.c.kind == kind,
            jobs.c.key == key,
            jobs.c.status == Status.QUEUED,
            jobs.c.attempt == 0,
            jobs.c.run_at > now,
        )
    )
