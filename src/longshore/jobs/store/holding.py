"""What the holder of a claim writes: nothing, once another holds the job."""

from typing import Any

from sqlalchemy import Connection, case, delete, select, update

from longshore.db.clock import database_time
from longshore.jobs.model import LOG_LINES, Job, Progress, Status, kept_line
from longshore.jobs.store.waiting import find_job
from longshore.jobs.tables import job_logs, jobs


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
    connection.execute(job_logs.insert().values(job_id=job, at=at, line=kept_line(line)))
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
        error=None if error is None else kept_line(error),
        holder=None,
        lease_until=None,
        finished_at=database_time(connection),
        **_progress(progress),
    )


def remove(connection: Connection, job: int, token: int) -> bool:
    """The job is over, and nobody needs to know that there was one."""
    held = (jobs.c.id == job, jobs.c.token == token, jobs.c.status == Status.RUNNING)
    return connection.execute(delete(jobs).where(*held)).rowcount == 1


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
        error=None if error is None else kept_line(error),
        holder=None,
        lease_until=None,
    )


def _progress(progress: Progress | None) -> dict[str, Any]:
    if progress is None:
        return {}
    return {
        "progress_done": progress.done,
        "progress_total": progress.total,
        "progress_message": kept_line(progress.message),
    }
