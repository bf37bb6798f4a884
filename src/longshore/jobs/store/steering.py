"""What a person decides about a job."""

from sqlalchemy import Connection, func, update
from sqlalchemy.exc import IntegrityError

from longshore.db.clock import database_time
from longshore.jobs.model import JobConflict, Status
from longshore.jobs.store.waiting import find_job
from longshore.jobs.tables import jobs


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
