"""Taking a job: one worker at a time, and no more of a kind than may run."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, and_, func, or_, select, text, update

from longshore.db.clock import database_time
from longshore.jobs.model import LIVE, Job, Status
from longshore.jobs.store.holding import end
from longshore.jobs.store.rows import one
from longshore.jobs.store.waiting import find_job
from longshore.jobs.tables import jobs

_CLAIM_LOCK: Final = 0x4C6F6E6A


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
        found = one(connection, query)
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
