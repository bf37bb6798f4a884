"""Pages of rows: filtered and sorted by what clients may name, and counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Double,
    Integer,
    Row,
    Select,
    and_,
    func,
    select,
    true,
)


@dataclass(frozen=True, slots=True)
class Exactly:
    """Equal to ``value``."""

    value: str


@dataclass(frozen=True, slots=True)
class Containing:
    """Text that has ``part`` in it, whatever the case."""

    part: str


@dataclass(frozen=True, slots=True)
class Between:
    """From ``low`` to ``high``, both included; empty: no bound."""

    low: str
    high: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """Equal to one of ``values``."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Has all of ``values``; columns have one value, so only a list of one matches there."""

    values: tuple[str, ...]


Condition = Exactly | Containing | Between | OneOf | AllOf


@dataclass(frozen=True, slots=True)
class Order:
    """Sorted by ``field``."""

    field: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """What a client wants of a list: all conditions hold; ``limit`` None: everything."""

    conditions: Mapping[str, Condition] = field(default_factory=dict)
    order: Sequence[Order] = ()
    offset: int = 0
    limit: int | None = None


#: A column that rows of a page may have beside those that were asked for.
TOTAL: Final = "total_of_all_pages"


class UnusableValue(ValueError):
    """A value that the field of a condition cannot have."""


Columns = Mapping[str, ColumnElement[Any]]


def read_page(
    connection: Connection,
    query: Select[Any],
    columns: Columns,
    listing: Listing,
    default: Sequence[ColumnElement[Any]],
    *,
    once: bool = False,
) -> tuple[Sequence[Row[Any]], int]:
    """The rows of ``query`` that ``listing`` asks for, and how many there are on all pages.

    ``columns`` are what may be named; conditions and orders on anything else are passed over, as Harbor
    does. ``default`` is the order otherwise and, always, among equals: it has to be total. ``once``: the
    conditions of ``query`` cost more than its rows, so on PostgreSQL these are counted while the page is
    looked for, and rows may have the column TOTAL (SQLite takes thrice as long for that as for asking
    twice). Raises UnusableValue.
    """
    for name, condition in listing.conditions.items():
        if name in columns:
            query = query.where(_clause(name, columns[name], condition, connection.dialect.name))
    ordered = [
        columns[order.field].desc() if order.descending else columns[order.field]
        for order in listing.order
        if order.field in columns
    ]
    found = query.order_by(*ordered, *default).offset(listing.offset).limit(listing.limit)
    once = once and listing.limit is not None and connection.dialect.name != "sqlite"
    if once:
        found = found.add_columns(func.count().over().label(TOTAL))
    rows = connection.execute(found).all()
    if rows and (listing.limit is None or len(rows) < listing.limit):
        return rows, listing.offset + len(rows)  # the last page says itself how many there are
    if rows and once:
        return rows, rows[0]._mapping[TOTAL]
    if not rows and not listing.offset and listing.limit != 0:
        return rows, 0
    total = connection.scalar(select(func.count()).select_from(query.order_by(None).subquery()))
    return rows, total or 0


def _clause(
    name: str, column: ColumnElement[Any], condition: Condition, dialect: str
) -> ColumnElement[bool]:
    match condition:
        case Exactly(value):
            return column.in_([_value(name, column, value)])
        case Containing(part):
            # SQLite's LIKE knows no case; folding every row first takes twice as long.
            contains = column.contains if dialect == "sqlite" else column.icontains
            return contains(part, autoescape=True)
        case OneOf(values):
            return column.in_([_value(name, column, value) for value in values])
        case AllOf(values):
            one = values if len(set(values)) == 1 else ()
            return column.in_([_value(name, column, value) for value in one])
        case Between(low, high):
            bounds: list[ColumnElement[bool]] = []
            if low:
                bounds.append(column >= _value(name, column, low))
            if high:
                bounds.append(column <= _value(name, column, high))
            return and_(true(), *bounds)


def _value(name: str, column: ColumnElement[Any], text: str) -> Any:
    try:
        match column.type:
            case Boolean():
                return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
            case Integer():
                # What no column can hold equals nothing in it.
                return max(-(1 << 63), min(int(text), (1 << 63) - 1))
            case Double():
                return _moment(text)
            case _:
                return text.replace("\0", "")
    except (ValueError, KeyError, OverflowError) as error:
        raise UnusableValue(f"{text[:100]!r} is nothing that {name!r} can be") from error


def _moment(text: str) -> float:
    """POSIX seconds, or a time without zone, which is UTC."""
    try:
        return float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
