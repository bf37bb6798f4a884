"""Adding jobs and finding them."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any, Final

from sqlalchemy import Connection, Insert, func, or_, select, update

from longshore.db.listing import Listing, read_page
from longshore.jobs.model import LIVE, Job, LogLine, Status
from longshore.jobs.store.rows import one, to_job
from longshore.jobs.tables import job_logs, jobs

_IS_LIVE: Final = jobs.c.status.in_(LIVE)


def insert_job(
    connection: Connection,
    kind: str,
    payload: Mapping[str, Any],
    *,
    key: str | None,
    now: float,
    run_at: float,
) -> int:
    """The id of the new job, or of the live one that has the key."""
    values = {
        "kind": kind,
        "key": key,
        "payload": dict(payload),
        "status": Status.QUEUED,
        "attempt": 0,
        "run_at": run_at,
        "token": 0,
        "created_at": now,
    }
    statement = _insert_if_absent(connection.dialect.name)
    while True:
        added: int | None = connection.scalar(statement, values)
        if added is not None:
            return added
        found = live_job(connection, kind, key)
        if found is not None:
            return found.id
        # The one in the way has ended between the two statements.


@cache
def _insert_if_absent(dialect: str) -> Insert:
    # Importing a dialect takes a good part of a start: only the one in use.
    insertion = import_module(f"sqlalchemy.dialects.{dialect}").insert(jobs)
    statement: Insert = insertion.on_conflict_do_nothing().returning(jobs.c.id)
    return statement


def live_job(connection: Connection, kind: str, key: str | None) -> Job | None:
    query = select(jobs).where(jobs.c.kind == kind, jobs.c.key == key, _IS_LIVE)
    return one(connection, query)


def find_job(connection: Connection, job: int) -> Job | None:
    return one(connection, select(jobs).where(jobs.c.id == job))


def list_jobs(
    connection: Connection, status: Status | None, kind: str | None, limit: int
) -> list[Job]:
    """The newest first."""
    query = select(jobs).order_by(jobs.c.id.desc()).limit(limit)
    if status is not None:
        query = query.where(jobs.c.status == status)
    if kind is not None:
        query = query.where(jobs.c.kind == kind)
    return [to_job(row) for row in connection.execute(query)]


def page_of_jobs(
    connection: Connection, listing: Listing, kind: str, now: float
) -> tuple[list[Job], int]:
    """A page of the jobs of a kind that were begun or are due, the newest first unless the listing says
    otherwise, and how many there are. Raises UnusableValue."""
    # One that failed and waits to be tried again was begun, too.
    begun = or_(jobs.c.status != Status.QUEUED, jobs.c.started_at.is_not(None))
    query = select(jobs).where(jobs.c.kind == kind, or_(begun, jobs.c.run_at <= now))
    columns = {
        "id": jobs.c.id,
        "creation_time": jobs.c.created_at,
        "update_time": func.coalesce(jobs.c.finished_at, jobs.c.started_at, jobs.c.created_at),
    }
    rows, total = read_page(connection, query, columns, listing, [jobs.c.id.desc()])
    return [to_job(row) for row in rows], total


def read_log(connection: Connection, job: int) -> list[LogLine]:
    """The oldest line first."""
    query = (
        select(job_logs.c.at, job_logs.c.line)
        .where(job_logs.c.job_id == job)
        .order_by(job_logs.c.id)
    )
    return [LogLine(row.at, row.line) for row in connection.execute(query)]


def reschedule(connection: Connection, kind: str, key: str, *, now: float, run_at: float) -> None:
    """Let the job of this kind and key run at ``run_at``, unless it is due already or was tried."""
    connection.execute(
        update(jobs)
        .where(
            jobs.c.kind == kind,
            jobs.c.key == key,
            jobs.c.status == Status.QUEUED,
            jobs.c.attempt == 0,
            jobs.c.run_at > now,
            jobs.c.run_at != run_at,
        )
        .values(run_at=run_at)
    )
