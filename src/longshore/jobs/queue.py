"""The door for everybody who has work to be done later."""

from collections.abc import Mapping
from typing import Any

from longshore.db.database import Connection
from longshore.jobs import store


def enqueue(
    connection: Connection,
    kind: str,
    payload: Mapping[str, Any],
    *,
    now: float,
    key: str | None = None,
    run_at: float | None = None,
) -> int:
    """Add a job in the caller's transaction; its id. If that is rolled back there is no job.

    ``payload`` is JSON. ``run_at`` (POSIX seconds) is when it may start, default ``now``. With a
    ``key`` there is at most one queued or running job of this kind and key; if there is one already
    its id is returned and nothing else happens.
    """
    return store.insert_job(
        connection, kind, payload, key=key, now=now, run_at=now if run_at is None else run_at
    )


def is_live(connection: Connection, kind: str, key: str) -> bool:
    """Whether there is a queued or running job of this kind and key."""
    return store.live_job(connection, kind, key) is not None
