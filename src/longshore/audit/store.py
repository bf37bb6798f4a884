"""The SQL of the audit log: plain functions on a connection, values in and out."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, or_, select, update
from sqlalchemy import Row as Found

from longshore.audit.model import Entry, Row, Search, State, Tampered
from longshore.audit.sealing import GENESIS, Sealing
from longshore.audit.tables import audit_forwarding, audit_log, audit_state
from longshore.db.listing import Columns, Large, Listing, read_page
from longshore.identity.model import View
from longshore.identity.store.repository_rules import named_nowhere_hidden

Only = Callable[[Entry], bool]
"""Says of a row whether it may go."""


def everything(_entry: Entry) -> bool:
    """Every row may go."""
    return True


_ONLY: Final = 1  # the id of the state's one row
_COLUMNS: Final[Columns] = {
    "id": audit_log.c.id,
    "username": audit_log.c.actor,
    "resource": audit_log.c.resource,
    "resource_type": audit_log.c.resource_type,
    "operation": audit_log.c.operation,
    "op_time": audit_log.c.at,
    "operation_description": audit_log.c.description,
    "operation_result": audit_log.c.successful,
}


def append(connection: Connection, sealing: Sealing, entries: Sequence[Entry]) -> None:
    """Add ``entries`` to the end of the chain. Whoever does that at the same time waits. Raises
    Tampered."""
    state = _locked(connection, sealing)
    number, previous = state.last_id, state.last_seal
    rows: list[dict[str, Any]] = []
    for entry in entries:
        number += 1
        seal = sealing.row(entry, number, previous)
        rows.append(
            {
                **asdict(entry),
                "id": number,
                "previous": previous,
                "key_id": sealing.key_id,
                "seal": seal,
            }
        )
        previous = seal
    if rows:
        connection.execute(insert(audit_log), rows)
        _set(
            connection,
            sealing.state(number, previous, state.removed_through, state.removed_seal),
        )


def remove_older(
    connection: Connection,
    sealing: Sealing,
    before: float,
    limit: int,
    receivers: Collection[str] = (),
    only: Only = everything,
) -> int:
    """Remove at most ``limit`` rows from the beginning that are older than ``before``; how many. Stops at
    the first that is not, that one of ``receivers`` has not had, or that is not among ``only``. Raises
    Tampered."""
    state = _locked(connection, sealing)
    count, last, _ = removable(connection, state.removed_through, before, limit, receivers, only)
    if last is None:
        return 0
    # First, or the trigger refuses.
    _set(connection, sealing.state(state.last_id, state.last_seal, last.id, last.seal))
    connection.execute(delete(audit_log).where(audit_log.c.id <= last.id))
    return count


def removable(
    connection: Connection,
    after: int,
    before: float,
    limit: int,
    receivers: Collection[str] = (),
    only: Only = everything,
) -> tuple[int, Row | None, Row | None]:
    """What :func:`remove_older` would remove of the rows behind the one with the id ``after``: how many, the last of
    them, and the row that would be next and stays although it is old enough."""
    through = min(forwarded_through(connection, receivers).values()) if receivers else None
    count, last = 0, None
    for row in following(connection, after, limit):
        if row.at >= before:
            break
        if not only(row) or (through is not None and row.id > through):
            return count, last, row
        count, last = count + 1, row
    return count, last, None


def read_state(connection: Connection) -> State | None:
    """The ends of the chain; None before its first row."""
    found = connection.execute(_STATE).one_or_none()
    return None if found is None else _state(found)


def following(
    connection: Connection,
    after: int,
    limit: int,
    *,
    last: int | None = None,
    since: float | None = None,
    until: float | None = None,
) -> list[Row]:
    """Rows behind the one with the id ``after``, in their order, up to the id ``last``, not older than
    ``since`` and older than ``until``."""
    query = select(audit_log).where(audit_log.c.id > after, *_times(since, until))
    if last is not None:
        query = query.where(audit_log.c.id <= last)
    found = connection.execute(query.order_by(audit_log.c.id).limit(limit))
    return [_row(row) for row in found]


def ends_between(
    connection: Connection, since: float | None, until: float | None
) -> tuple[int, int]:
    """The first and the last id of what is not older than ``since`` and older than ``until``; the first is
    behind the last when there is nothing. Ids follow times only roughly."""
    ends = select(func.min(audit_log.c.id), func.max(audit_log.c.id))
    first, last = connection.execute(ends.where(*_times(since, until))).one()
    return (1, 0) if first is None else (first, last)


def _times(since: float | None, until: float | None) -> list[ColumnElement[bool]]:
    clauses: list[ColumnElement[bool]] = []
    if since is not None:
        clauses.append(audit_log.c.at >= since)
    if until is not None:
        clauses.append(audit_log.c.at < until)
    return clauses


def last_id(connection: Connection) -> int:
    """The newest row's; 0 when there is none."""
    found: int | None = connection.scalar(select(func.max(audit_log.c.id)))
    return found or 0


def forwarded_through(connection: Connection, receivers: Collection[str]) -> dict[str, int]:
    """For each receiver the id of the last row that it has; 0 before the first."""
    query = select(audit_forwarding.c.receiver, audit_forwarding.c.last_id)
    found = connection.execute(query.where(audit_forwarding.c.receiver.in_(list(receivers))))
    return {**dict.fromkeys(receivers, 0), **{row.receiver: row.last_id for row in found}}


def set_forwarded(connection: Connection, receiver: str, last_id: int, now: float) -> None:
    """The receiver has the rows up to ``last_id``."""
    name = audit_forwarding.c.receiver == receiver
    values = {"last_id": last_id, "updated_at": now}
    if not connection.execute(update(audit_forwarding).where(name), values).rowcount:
        connection.execute(insert(audit_forwarding), {"receiver": receiver, **values})


def search(connection: Connection, wanted: Search, limit: int) -> list[Row]:
    """The newest rows that fit, the newest first; the next page is ``before`` the last one's id."""
    query = select(audit_log).where(*_clauses(wanted)).order_by(audit_log.c.id.desc())
    return [_row(found) for found in connection.execute(query.limit(limit))]


#: How many there are. None is missing: the chain grows by ones under a lock, and loses rows at its beginning.
_ALL_ROWS: Final = select(
    # Two questions: SQLite answers one for both from all rows.
    select(func.max(audit_log.c.id)).scalar_subquery()
    - select(func.min(audit_log.c.id)).scalar_subquery()
    + 1
)
#: Projects that a query names one by one.
_NAMED: Final = 1000


def page_of_entries(
    connection: Connection,
    listing: Listing,
    projects: Sequence[str] | Select[Any] | None,
    view: View,
) -> tuple[list[Row], int]:
    """The rows that ``listing`` asks for, under Harbor's names of fields, the newest first, and how many
    there are. ``projects``: only theirs, by name or by a query for names, and of these only what names no repository
    that rules hide from somebody with ``view``; None: all. Raises UnusableValue."""
    query = select(audit_log)
    if isinstance(projects, Select):
        # Of names the planner knows how rare they are; of a query for names it takes them to be everywhere.
        names = connection.scalars(projects.limit(_NAMED + 1)).all()
        projects = names if len(names) <= _NAMED else projects
    if projects is not None:
        shown = named_nowhere_hidden(connection, view, audit_log.c.project, audit_log.c.resource)
        query = query.where(audit_log.c.project.in_(projects), audit_log.c.project != "", shown)
    large = Large(select(audit_log), audit_log.c.id, _ALL_ROWS if projects is None else None)
    newest = [audit_log.c.id.desc()]
    found, total = read_page(connection, query, _COLUMNS, listing, newest, large)
    return [_row(row) for row in found], total


_STATE: Final = select(audit_state).where(audit_state.c.id == _ONLY)


def _locked(connection: Connection, sealing: Sealing) -> State:
    """The ends, for whoever is about to move them."""
    # Ignored on SQLite, where one writes at a time.
    found = connection.execute(_STATE.with_for_update()).one_or_none()
    if found is None:
        if connection.scalar(select(audit_log.c.id).limit(1)) is not None:
            raise Tampered(
                "the audit log has rows, but nothing says where it ends: audit_state is empty"
            )
        first = sealing.state(0, GENESIS, 0, GENESIS)
        _begin(connection, first)
        found = connection.execute(_STATE.with_for_update()).one()
    state = _state(found)
    if state.key_id == sealing.kept_id:
        # Ends are sealed whenever a row is, with the same key: this is a weaker one than its last row's.
        last = select(audit_log.c.key_id).order_by(audit_log.c.id.desc()).limit(1)
        if connection.scalar(last) not in (None, sealing.kept_id):
            raise Tampered(
                "the end of the audit log is sealed with the key in the database, its last row with another one: "
                "it may have been cut off, and nothing is added to it; see docs/audit.md"
            )
    if not sealing.holds_ends(state):
        known = "was changed" if sealing.knows(state.key_id) else "is sealed with an unknown key"
        raise Tampered(
            f"the end of the audit log {known}: nothing is added to it. If the key was replaced, put the "
            "former one into longshore.encryption.keys; otherwise see docs/audit.md"
        )
    return state


def _begin(connection: Connection, state: State) -> None:
    values = {"id": _ONLY, **asdict(state)}
    if connection.dialect.name == "sqlite":
        connection.execute(insert(audit_state).prefix_with("OR IGNORE"), values)
        return
    from sqlalchemy.dialects.postgresql import insert as insert_or_not

    connection.execute(insert_or_not(audit_state).on_conflict_do_nothing(), values)


def _set(connection: Connection, state: State) -> None:
    connection.execute(update(audit_state).where(audit_state.c.id == _ONLY), asdict(state))


def _clauses(wanted: Search) -> list[ColumnElement[bool]]:
    column = audit_log.c
    equal = {
        column.actor: wanted.actor or None,
        column.operation: wanted.operation or None,
        column.resource_type: wanted.resource_type or None,
        column.project: wanted.project or None,
        column.successful: wanted.successful,
    }
    clauses: list[ColumnElement[bool]] = [
        name == value for name, value in equal.items() if value is not None
    ]
    clauses += _times(wanted.since, wanted.until)
    if wanted.before is not None:
        clauses.append(column.id < wanted.before)
    if wanted.text:
        searched = (column.resource, column.description, column.actor)
        clauses.append(or_(*(one.icontains(wanted.text, autoescape=True) for one in searched)))
    return clauses


def _row(found: Found[Any]) -> Row:
    return Row(**found._mapping)


def _state(found: Found[Any]) -> State:
    values = dict(found._mapping)
    del values["id"]
    return State(**values)
