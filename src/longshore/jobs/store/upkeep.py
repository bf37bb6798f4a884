"""Old jobs, and how the queue is doing."""

from collections.abc import Sequence

from sqlalchemy import Connection, and_, delete, func, or_, select

from longshore.db.clock import database_time
from longshore.jobs.model import LIVE, Backlog, Status
from longshore.jobs.tables import jobs


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


def backlog(connection: Connection) -> dict[str, Backlog]:
    """How the queue is doing, by kind; kinds of which there is nothing to say are left out."""
    now = database_time(connection)
    due = (jobs.c.status == Status.QUEUED) & (jobs.c.run_at <= now)
    query = (
        select(jobs.c.kind, jobs.c.status, func.count(), func.min(jobs.c.run_at))
        .where(or_(due, jobs.c.status.in_((Status.RUNNING, Status.DEAD))))
        .group_by(jobs.c.kind, jobs.c.status)
    )
    found: dict[str, dict[str, float]] = {}
    for kind, status, count, earliest in connection.execute(query):
        of_kind = found.setdefault(kind, {})
        if status == Status.QUEUED:
            of_kind.update(waiting=count, oldest=max(0.0, now - earliest))
        else:
            of_kind[status] = count
    return {
        kind: Backlog(
            waiting=int(counts.get("waiting", 0)),
            oldest=counts.get("oldest", 0.0),
            running=int(counts.get(Status.RUNNING, 0)),
            dead=int(counts.get(Status.DEAD, 0)),
        )
        for kind, counts in found.items()
    }
