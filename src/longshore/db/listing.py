"""Pages of rows: filtered and sorted by what clients may name, and counted."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Double,
    Integer,
    Row,
    Select,
    Text,
    and_,
    any_,
    func,
    literal,
    select,
    true,
)

from longshore.db.schema import LOWER_CASE


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
    """What a client wants of a list: all conditions hold; ``limit`` None: everything; not ``counted``: how many there
    are on all pages is not asked."""

    conditions: Mapping[str, Condition] = field(default_factory=dict)
    order: Sequence[Order] = ()
    offset: int = 0
    limit: int | None = None
    counted: bool = True


#: Matches of a filter whose keys are fetched at once, rather than looked for twice.
_FEW: Final = 2000


class UnusableValue(ValueError):
    """A value that the field of a condition cannot have."""


Columns = Mapping[str, ColumnElement[Any]]


@dataclass(frozen=True, slots=True)
class Large:
    """What makes pages of a large list cheap on PostgreSQL; they are the same without it (SQLite is asked plainly: it
    is no faster for any of this).

    ``rows`` is the list's query without conditions, ``key`` a number that is unique in it: pages are looked for
    among keys, and only their own rows are put together. ``total`` asks how many rows there are where the listing
    has no condition; None: they are counted.
    """

    rows: Select[Any]
    key: ColumnElement[int]
    total: Select[Any] | None = None


def read_page(
    connection: Connection,
    query: Select[Any],
    columns: Columns,
    listing: Listing,
    default: Sequence[ColumnElement[Any]],
    large: Large | None = None,
) -> tuple[Sequence[Row[Any]], int]:
    """The rows of ``query`` that ``listing`` asks for, and how many there are on all pages; 0 if that is not asked.

    ``columns`` are what may be named; conditions and orders on anything else are passed over, as Harbor
    does. ``default`` is the order otherwise and, always, among equals: it has to be total. Raises UnusableValue.
    """
    clauses = [
        _clause(name, columns[name], condition, connection.dialect.name)
        for name, condition in listing.conditions.items()
        if name in columns
    ]
    query = query.where(*clauses)
    ordered = [
        columns[order.field].desc() if order.descending else columns[order.field]
        for order in listing.order
        if order.field in columns
    ]
    order = (*ordered, *default)
    total = None if large is None or clauses else large.total
    found = query.order_by(*order).offset(listing.offset).limit(listing.limit)
    if large is not None and listing.limit is not None and connection.dialect.name != "sqlite":
        keys = query.with_only_columns(large.key.label("key"), maintain_column_froms=True)
        if clauses and listing.counted:
            few = connection.scalars(keys.limit(_FEW + 1)).all()
            if len(few) <= _FEW:
                among = large.rows.where(any_of(connection, large.key, few))
                found = among.order_by(*order).offset(listing.offset).limit(listing.limit)
                return connection.execute(found).all(), len(few)
        page = keys.order_by(*order).offset(listing.offset).limit(listing.limit).subquery("page")
        found = large.rows.join(page, page.c.key == large.key).order_by(*order)
    rows = connection.execute(found).all()
    if not listing.counted:
        return rows, 0
    if rows and (listing.limit is None or len(rows) < listing.limit):
        return rows, listing.offset + len(rows)  # the last page says itself how many there are
    if not rows and not listing.offset and listing.limit != 0:
        return rows, 0
    if total is None and large is not None:
        total = query.with_only_columns(func.count(), maintain_column_froms=True).order_by(None)
    elif total is None:
        total = select(func.count()).select_from(query.order_by(None).subquery())
    return rows, int(connection.scalar(total) or 0)


def any_of(
    connection: Connection, column: ColumnElement[Any], values: Collection[Any]
) -> ColumnElement[bool]:
    """Whether the column is one of ``values``, numbers or texts: on PostgreSQL one parameter, not one for each,
    which takes a millisecond for a hundred."""
    if connection.dialect.name == "sqlite":
        return column.in_(values)
    element = BigInteger() if isinstance(column.type, Integer) else Text()
    return column == any_(literal(list(values), ARRAY(element)))


def none_of(
    connection: Connection, column: ColumnElement[Any], numbers: Collection[int]
) -> ColumnElement[bool]:
    """Whether the column, which is never null, is none of ``numbers``: one parameter, however many there are."""
    if connection.dialect.name == "sqlite":
        each = func.json_each(json.dumps(list(numbers))).table_valued("value")
        return column.not_in(select(each.c.value))
    # A query for them is hashed by every PostgreSQL, an array only by later ones.
    return column.not_in(select(func.unnest(literal(list(numbers), ARRAY(BigInteger())))))


def _clause(
    name: str, column: ColumnElement[Any], condition: Condition, dialect: str
) -> ColumnElement[bool]:
    match condition:
        case Exactly(value):
            return column.in_([_value(name, column, value)])
        case Containing(part):
            # SQLite's LIKE knows no case; folding every row first takes twice as long.
            if dialect == "sqlite":
                return column.contains(part, autoescape=True)
            if getattr(column, "info", None) == LOWER_CASE:
                # bytes.lower folds ASCII alone, as the collation of names does.
                return column.contains(part.encode().lower().decode(), autoescape=True)
            # ILIKE would fold the part anew for each row.
            return func.lower(column).like(func.lower(_anywhere(part, column)), escape="/")
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


def _anywhere(part: str, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The pattern of LIKE for what has ``part`` in it; of the column's collation, which says what case is."""
    for special in "/%_":
        part = part.replace(special, f"/{special}")
    return literal(f"%{part}%", column.type)


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
