"""Misses at logins, under hashes of whom and where."""

from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from longshore.identity.model import Misses
from longshore.identity.tables import login_misses
from longshore.registry.store.statements import insert_if_absent


def find_misses(connection: Connection, keys: Collection[str]) -> dict[str, Misses]:
    """Those that there are."""
    rows = connection.execute(select(login_misses).where(login_misses.c.key.in_(keys)))
    return {row.key: Misses(row.misses, row.until, row.updated_at) for row in rows}


def add_miss(
    connection: Connection, key: str, now: float, forget: float, wait: Callable[[int], float]
) -> None:
    """One more; ``wait`` tells for how many seconds nothing is admitted after so many. Those from ``forget``
    seconds ago do not count."""
    found = _locked_or_first(connection, key, now, wait)
    if found is not None:
        _count(connection, found, now, forget, wait)


def admit_one(
    connection: Connection, key: str, now: float, forget: float, wait: Callable[[int], float]
) -> float:
    """The same, unless those before hold this one up: until when (POSIX seconds), 0 when it was counted. Of those
    that come at the same time each sees the ones before it."""
    found = _locked_or_first(connection, key, now, wait)
    if found is None:
        return 0.0
    if found.until > now:
        return float(found.until)
    _count(connection, found, now, forget, wait)
    return 0.0


def _locked_or_first(
    connection: Connection, key: str, now: float, wait: Callable[[int], float]
) -> Row[Any] | None:
    """The row, which is this transaction's until it ends; None when there was none, and there is the first now."""
    first = {"key": key, "misses": 1, "until": now + wait(1), "updated_at": now}
    if insert_if_absent(connection, login_misses, first):
        return None
    query = select(login_misses).where(login_misses.c.key == key)
    return connection.execute(query.with_for_update()).one()


def _count(
    connection: Connection, found: Row[Any], now: float, forget: float, wait: Callable[[int], float]
) -> None:
    count = 1 if found.updated_at < now - forget else found.misses + 1
    changed = {"misses": count, "until": now + wait(count), "updated_at": now}
    connection.execute(update(login_misses).where(login_misses.c.key == found.key).values(changed))


def forget_misses(connection: Connection, login: str, known: str, now: float) -> None:
    """Somebody logged in: ``login`` has no misses any more, ``known`` was seen now."""
    connection.execute(delete(login_misses).where(login_misses.c.key == login))
    row = {"key": known, "misses": 0, "until": 0.0, "updated_at": now}
    if not insert_if_absent(connection, login_misses, row):
        mine = login_misses.c.key == known
        connection.execute(update(login_misses).where(mine).values(updated_at=now))


def remove_old_misses(connection: Connection, misses: float, known: float) -> int:
    """Forget misses from before the time ``misses``, and logins from before ``known``; how many."""
    old = (login_misses.c.updated_at < known) | (
        (login_misses.c.updated_at < misses) & (login_misses.c.misses > 0)
    )
    return connection.execute(delete(login_misses).where(old)).rowcount
