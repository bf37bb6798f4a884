"""The SQL of the queue: plain functions on a connection, values in and out.

Whoever works on a job names its id and the token of the claim; a write with an older token changes
nothing and says so. Leases are told by one clock, the database's (SQLite: the machine's), so the
nodes' clocks need not agree.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Insert,
    Row,
    Select,
    and_,
    case,
    delete,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError

from longshore.jobs.model import (
    LINE_LENGTH,
    LIVE,
    LOG_LINES,
    Job,
    JobConflict,
    LogLine,
    Progress,
    Status,
)
from longshore.jobs.tables import job_logs, jobs
from longshore.telemetry import clock

_CLAIM_LOCK: Final = 0x4C6F6E6A
_IS_LIVE: Final = jobs.c.status.in_(LIVE)


def database_time(connection: Connection) -> float:
    """POSIX seconds, by the clock that leases are told by."""
    if connection.dialect.name == "sqlite":
        return clock.timestamp()
    found: float = connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())::float8"))
    return found


# ── the queue ─────────────────────────────────────────────────────────────────────────────────


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
    return _one(connection, query)


def find_job(connection: Connection, job: int) -> Job | None:
    return _one(connection, select(jobs).where(jobs.c.id == job))


def list_jobs(
    connection: Connection, status: Status | None, kind: str | None, limit: int
) -> list[Job]:
    """The newest first."""
    query = select(jobs).order_by(jobs.c.id.desc()).limit(limit)
    if status is not None:
        query = query.where(jobs.c.status == status)
    if kind is not None:
        query = query.where(jobs.c.kind == kind)
    return [_job(row) for row in connection.execute(query)]


def read_log(connection: Connection, job: int) -> list[LogLine]:
    """The oldest line first."""
    query = (
        select(job_logs.c.at, job_logs.c.line)
        .where(job_logs.c.job_id == job)
        .order_by(job_logs.c.id)
    )
    return [LogLine(row.at, row.line) for row in connection.execute(query)]


def bring_forward(connection: Connection, kind: str, key: str, run_at: float) -> None:
    """Let the queued job of this kind and key run at ``run_at`` if it was to run later."""
    connection.execute(
        update(jobs)
        .where(
            jobs.c.kind == kind,
            jobs.c.key == key,
            jobs.c.status == Status.QUEUED,
            jobs.c.run_at > run_at,
        )
        .values(run_at=run_at)
    )


def count_waiting(connection: Connection) -> int:
    """How many could run now and were not begun."""
    due = (jobs.c.status == Status.QUEUED, jobs.c.run_at <= database_time(connection))
    return connection.scalar(select(func.count()).select_from(jobs).where(*due)) or 0


def count_dead(connection: Connection) -> int:
    dead = jobs.c.status == Status.DEAD
    return connection.scalar(select(func.count()).select_from(jobs).where(dead)) or 0


# ── what a person decides ─────────────────────────────────────────────────────────────────────


def cancel_job(connection: Connection, job: int) -> Status | None:
    """Cancelled at once if it waits; told to its worker if it runs. Its status now, None if there is
    no such job. Raises JobConflict if it has ended."""
    now = database_time(connection)
    waiting = connection.execute(
        update(jobs)
        .where(jobs.c.id == job, jobs.c.status == Status.QUEUED)
        .values(status=Status.CANCELLED, cancel_at=now, finished_at=now)
    )
    if waiting.rowcount:
        return Status.CANCELLED
    running = connection.execute(
        update(jobs)
        .where(jobs.c.id == job, jobs.c.status == Status.RUNNING)
        .values(cancel_at=func.coalesce(jobs.c.cancel_at, now))
    )
    if running.rowcount:
        return Status.RUNNING
    found = find_job(connection, job)
    if found is None:
        return None
    raise JobConflict(f"job {job} is {found.status}: only a queued or running job can be cancelled")


def retry_job(connection: Connection, job: int) -> bool:
    """Queue a dead or cancelled job again, from its last checkpoint and with all attempts ahead;
    False if there is no such job. Raises JobConflict if it is not, or another one has its key."""
    found = find_job(connection, job)
    if found is None:
        return False
    if found.status not in (Status.DEAD, Status.CANCELLED):
        raise JobConflict(
            f"job {job} is {found.status}: only a dead or cancelled job can be retried"
        )
    change = (
        update(jobs)
        .where(jobs.c.id == job, jobs.c.status == found.status)
        .values(
            status=Status.QUEUED,
            attempt=0,
            run_at=database_time(connection),
            cancel_at=None,
            finished_at=None,
            error=None,
        )
    )
    try:
        with connection.begin_nested():
            connection.execute(change)
    except IntegrityError as error:
        raise JobConflict(
            f"another job does the same as job {job} ({found.kind}, key {found.key}) and is queued "
            "or running"
        ) from error
    return True


# ── claiming ──────────────────────────────────────────────────────────────────────────────────


def claimable(connection: Connection, limits: Mapping[str, int]) -> int | None:
    """The job to claim next, if there is one: due, or with a lease that ended; and of a kind of
    which fewer run than ``limits`` says."""
    now = database_time(connection)
    counts = (
        select(jobs.c.kind, func.count())
        .where(jobs.c.status == Status.RUNNING, jobs.c.lease_until > now)
        .group_by(jobs.c.kind)
    )
    running = {row[0]: row[1] for row in connection.execute(counts)}
    kinds = [kind for kind, limit in limits.items() if running.get(kind, 0) < limit]
    queued = and_(jobs.c.status == Status.QUEUED, jobs.c.run_at <= now)
    lost = and_(jobs.c.status == Status.RUNNING, jobs.c.lease_until <= now)
    return connection.scalar(
        select(jobs.c.id)
        .where(jobs.c.kind.in_(kinds), or_(queued, lost))
        .order_by(jobs.c.run_at, jobs.c.id)
        .limit(1)
    )


def next_event(connection: Connection) -> float | None:
    """When something becomes due by itself: in how many seconds, None for never."""
    now = database_time(connection)
    starts = select(func.min(jobs.c.run_at)).where(
        jobs.c.status == Status.QUEUED, jobs.c.run_at > now
    )
    ends = select(func.min(jobs.c.lease_until)).where(
        jobs.c.status == Status.RUNNING, jobs.c.lease_until > now
    )
    times = [time for time in (connection.scalar(starts), connection.scalar(ends)) if time]
    return min(times) - now if times else None


def claim(
    connection: Connection,
    limits: Mapping[str, int],
    *,
    holder: str,
    lease: float,
    attempts: int,
) -> Job | None:
    """Take a job for ``lease`` seconds. One whose worker vanished in its last attempt, or that was
    cancelled meanwhile, ends instead."""
    if connection.dialect.name != "sqlite":
        # Counting and taking must be one step; SQLite has one writer anyway.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CLAIM_LOCK})
    while (job := claimable(connection, limits)) is not None:
        now = database_time(connection)
        query = select(jobs).where(jobs.c.id == job).with_for_update()
        found = _one(connection, query)
        if found is None or found.status not in LIVE:
            continue
        if found.status is Status.RUNNING:
            if (found.lease_until or 0) > now:
                continue  # its worker was just in time
            if found.cancel_at is not None:
                end(connection, job, found.token, Status.CANCELLED, None)
                continue
            if found.attempt >= attempts:
                reason = f"the worker vanished in attempt {found.attempt}, the last one"
                end(connection, job, found.token, Status.DEAD, reason)
                continue
        _take(connection, found, holder=holder, now=now, lease=lease)
        return find_job(connection, job)
    return None


def _take(connection: Connection, job: Job, *, holder: str, now: float, lease: float) -> None:
    connection.execute(
        update(jobs)
        .where(jobs.c.id == job.id)
        .values(
            status=Status.RUNNING,
            attempt=job.attempt + 1,
            token=job.token + 1,
            holder=holder,
            lease_until=now + lease,
            started_at=now,
            progress_done=None,
            progress_total=None,
            progress_message=None,
        )
    )


# ── what the holder of a claim writes ─────────────────────────────────────────────────────────


def _change(connection: Connection, job: int, token: int, **values: Any) -> bool:
    """Whether the claim was still valid, so that something changed."""
    held = (jobs.c.id == job, jobs.c.token == token, jobs.c.status == Status.RUNNING)
    return connection.execute(update(jobs).where(*held).values(**values)).rowcount == 1


def heartbeat(
    connection: Connection, job: int, token: int, lease: float, progress: Progress | None
) -> Job | None:
    """Keep the claim for ``lease`` seconds from now; the job as it is, None if it was lost."""
    values = _progress(progress)
    until = database_time(connection) + lease
    if not _change(connection, job, token, lease_until=until, **values):
        return None
    return find_job(connection, job)


def report(connection: Connection, job: int, token: int, progress: Progress) -> bool:
    return _change(connection, job, token, **_progress(progress))


def save_checkpoint(connection: Connection, job: int, token: int, state: Any) -> bool:
    return _change(connection, job, token, checkpoint=state)


def append_log(connection: Connection, job: int, token: int, line: str) -> bool:
    """Add a line and drop the oldest beyond LOG_LINES."""
    if not _change(connection, job, token, holder=jobs.c.holder):
        return False
    at = database_time(connection)
    connection.execute(
        job_logs.insert().values(job_id=job, at=at, line=line[:LINE_LENGTH].replace("\0", ""))
    )
    of_job = job_logs.c.job_id == job
    oldest = (
        select(job_logs.c.id)
        .where(of_job)
        .order_by(job_logs.c.id.desc())
        .offset(LOG_LINES)
        .limit(1)
        .scalar_subquery()
    )
    connection.execute(delete(job_logs).where(of_job, job_logs.c.id <= oldest))
    return True


def end(
    connection: Connection,
    job: int,
    token: int,
    status: Status,
    error: str | None,
    progress: Progress | None = None,
) -> bool:
    """The job is over."""
    return _change(
        connection,
        job,
        token,
        status=status,
        error=error,
        holder=None,
        lease_until=None,
        finished_at=database_time(connection),
        **_progress(progress),
    )


def requeue(
    connection: Connection, job: int, token: int, delay: float, attempt: int, error: str | None
) -> bool:
    """The job runs again in ``delay`` seconds, ``attempt`` of its attempts being used up; unless
    somebody has cancelled it and the holder had not heard of it yet."""
    now = database_time(connection)
    cancelled = jobs.c.cancel_at.is_not(None)
    return _change(
        connection,
        job,
        token,
        status=case((cancelled, Status.CANCELLED), else_=Status.QUEUED),
        finished_at=case((cancelled, now), else_=None),
        attempt=attempt,
        run_at=now + delay,
        error=error,
        holder=None,
        lease_until=None,
    )


def _progress(progress: Progress | None) -> dict[str, Any]:
    if progress is None:
        return {}
    return {
        "progress_done": progress.done,
        "progress_total": progress.total,
        "progress_message": progress.message[:LINE_LENGTH],
    }


# ── upkeep ────────────────────────────────────────────────────────────────────────────────────


def outdated(
    connection: Connection, retention: float, dead_retention: float, limit: int
) -> list[int]:
    """Jobs that ended so long ago (seconds) that nobody needs to see them."""
    now = database_time(connection)
    ended = (Status.DONE, Status.CANCELLED)
    query = (
        select(jobs.c.id)
        .where(
            or_(
                and_(jobs.c.status.in_(ended), jobs.c.finished_at < now - retention),
                and_(jobs.c.status == Status.DEAD, jobs.c.finished_at < now - dead_retention),
            )
        )
        .limit(limit)
    )
    return list(connection.scalars(query))


def delete_jobs(connection: Connection, ids: Sequence[int]) -> None:
    """With their logs; those that run again stay."""
    connection.execute(delete(jobs).where(jobs.c.id.in_(ids), jobs.c.status.not_in(LIVE)))


def _one(connection: Connection, query: Select[Any]) -> Job | None:
    row = connection.execute(query).one_or_none()
    return None if row is None else _job(row)


def _job(row: Row[Any]) -> Job:
    values = dict(row._mapping)
    return Job(**{**values, "status": Status(values["status"])})
