"""The SQL of the outbox: plain functions on a connection, values in and out.

Nothing remembers a position. On PostgreSQL ids become visible in another order than that in which they
were drawn, and whoever reads past a number never sees what appears behind it; so whatever is there
waits, and is deleted when it was delivered. Of two changes to the same tag or manifest the second
waits for a lock of the first, and events are written last: in their case ids are in order.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, exists, func, insert, select

from longshore.outbox.tables import outbox

_APPEND: Final = insert(outbox)
_OLDEST: Final = (
    select(outbox)
    .where(outbox.c.listener == bindparam("listener"))
    .order_by(outbox.c.id)
    .limit(bindparam("limit"))
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """One row: an event that ``listener`` has not been told of yet."""

    id: int
    listener: str
    kind: str
    event_id: str
    at: float
    body: Any


def append(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Add rows: all columns but ``id``, in this order."""
    connection.execute(_APPEND, rows)


def oldest(connection: Connection, listener: str, limit: int) -> list[Waiting]:
    """What waits for the listener, at most ``limit`` events."""
    rows = connection.execute(_OLDEST, {"listener": listener, "limit": limit})
    return [_waiting(row) for row in rows]


def take(connection: Connection, listener: str, limit: int) -> list[Waiting]:
    """The same, and remove them. Of two who take at once, one waits and gets others."""
    ids = select(outbox.c.id).where(outbox.c.listener == listener).order_by(outbox.c.id)
    taken = delete(outbox).where(outbox.c.id.in_(ids.limit(limit))).returning(*outbox.c)
    return sorted(map(_waiting, connection.execute(taken)), key=lambda waiting: waiting.id)


def remove(connection: Connection, ids: Sequence[int]) -> None:
    connection.execute(delete(outbox).where(outbox.c.id.in_(ids)))


def drop(
    connection: Connection, before: float, limit: int, kept: Collection[str] = ()
) -> dict[str, int]:
    """Remove at most ``limit`` events that are older than ``before``, none of those for the listeners
    ``kept``; how many for each listener."""
    expired = (outbox.c.at < before, outbox.c.listener.not_in(list(kept)))
    old = select(outbox.c.id).where(*expired).limit(limit)
    gone = delete(outbox).where(outbox.c.id.in_(old)).returning(outbox.c.listener)
    return dict(Counter(connection.scalars(gone)))


def listeners_waiting(connection: Connection, names: Sequence[str]) -> list[str]:
    """Those of ``names`` that events wait for. One look into the index for each."""
    columns = [
        exists().where(outbox.c.listener == name).label(f"n{number}")
        for number, name in enumerate(names)
    ]
    found = connection.execute(select(*columns)).one()
    return [name for name, waits in zip(names, found, strict=True) if waits]


def backlog(connection: Connection) -> dict[str, tuple[int, float]]:
    """For each listener that events wait for: how many, and when (POSIX seconds) the oldest was."""
    query = select(outbox.c.listener, func.count(), func.min(outbox.c.at)).group_by(
        outbox.c.listener
    )
    return {listener: (count, at) for listener, count, at in connection.execute(query)}


def _waiting(row: Row[Any]) -> Waiting:
    return Waiting(**row._mapping)
