"""``q=``, ``sort=``, ``page=`` and ``page_size=``, and the headers that tell of pages: Harbor's
``src/lib/q`` and ``src/server/v2.0/handler/base.go``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Final
from urllib.parse import unquote, urlencode

from fastapi import Depends, Query, Request, Response

from longshore.api.errors import BadRequest, Unprocessable
from longshore.db.listing import (
    AllOf,
    Between,
    Condition,
    Containing,
    Exactly,
    Listing,
    OneOf,
    Order,
)

_LARGEST: Final = 100
_LONGEST: Final = 4096
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Page:
    """Which page of a list is asked for, and how the reply says what there is."""

    listing: Listing
    number: int
    size: int
    request: Request
    response: Response

    def where(self, **conditions: str | None) -> Listing:
        """The listing with the conditions of parameters beside ``q``; None: not given. Text that begins
        with ``~`` is searched for."""
        given = {
            name: Containing(value[1:]) if value.startswith("~") else Exactly(value)
            for name, value in conditions.items()
            if value
        }
        return replace(self.listing, conditions={**self.listing.conditions, **given})

    def counted(self, total: int) -> None:
        """``X-Total-Count`` and ``Link`` for a list with ``total`` entries on all pages."""
        self.response.headers["X-Total-Count"] = str(total)
        links = []
        if self.size and self.number > 1 and (self.number - 1) * self.size < total:
            links.append(self._link(self.number - 1, "prev"))
        if self.size and self.number * self.size < total:
            links.append(self._link(self.number + 1, "next"))
        if links:
            self.response.headers["Link"] = " , ".join(links)

    def _link(self, number: int, relation: str) -> str:
        given = [
            (name, value)
            for name, value in self.request.query_params.multi_items()
            if name not in ("page", "page_size")
        ]
        query = urlencode([*given, ("page", number), ("page_size", self.size)])
        return f'<{self.request.url.path}?{query}>; rel="{relation}"'


def _page(
    request: Request,
    response: Response,
    q: Annotated[
        str,
        Query(
            max_length=_LONGEST,
            description="Conditions: k=v, k=~v (contains), k=[min~max], k={a b} (one of), k=(a b) (all "
            "of), separated by commas.",
        ),
    ] = "",
    sort: Annotated[
        str, Query(max_length=256, description="Fields separated by commas; -field: descending.")
    ] = "",
    page: Annotated[int, Query(ge=1, le=1 << 40, description="From 1.")] = 1,
    page_size: Annotated[int, Query(ge=0, description=f"At most {_LARGEST}; 0: everything.")] = 10,
) -> Page:
    if page_size > _LARGEST:
        raise Unprocessable(f"page_size is {page_size}; it should be at most {_LARGEST}")
    offset = (page - 1) * page_size
    listing = Listing(parse_query(q), parse_sort(sort), offset, page_size or None)
    return Page(listing, page, page_size, request, response)


#: What a handler of a list takes.
Paged = Annotated[Page, Depends(_page)]


def parse_query(text: str) -> Mapping[str, Condition]:
    """The conditions in ``q``, under the names of fields in snake case. Raises BadRequest."""
    text = unquote(text)
    return dict(_condition(part) for part in _split(text)) if text.strip() else {}


def parse_sort(text: str) -> tuple[Order, ...]:
    """The order in ``sort``."""
    return tuple(
        Order(_snake(part.lstrip("-")), part.startswith("-"))
        for part in (piece.strip() for piece in text.split(","))
        if part.strip("-")
    )


def _split(text: str) -> list[str]:
    """Parts separated by commas outside of brackets."""
    parts, depth, current = [], 0, ""
    for character in text:
        if character in "[({":
            depth += 1
        elif character in "])}":
            depth -= 1
        if character == "," and depth <= 0:
            parts.append(current)
            current = ""
        else:
            current += character
    return [*parts, current]


def _condition(part: str) -> tuple[str, Condition]:
    name, equals, value = part.strip().partition("=")
    name, value = _snake(name.strip()), value.strip()
    if not (equals and name and value):
        raise BadRequest(f"{part[:100]!r} in q is no condition: write field=value")
    if value.startswith("~"):
        return name, Containing(_plain(value[1:]))
    brackets = value[0] + value[-1] if len(value) > 1 else ""
    inside = value[1:-1]
    match brackets:
        case "[]":
            low, tilde, high = inside.partition("~")
            if not tilde or not (low.strip() or high.strip()):
                raise BadRequest(f"{value[:100]!r} in q is no range: write [from~to]")
            return name, Between(_plain(low.strip()), _plain(high.strip()))
        case "{}":
            return name, OneOf(_members(inside))
        case "()":
            return name, AllOf(_members(inside))
        case _:
            return name, Exactly(_plain(value))


def _members(text: str) -> tuple[str, ...]:
    found = tuple(_plain(member) for member in text.split())
    if not found:
        raise BadRequest("a list in q is empty: write {a b} or (a b)")
    return found


def _plain(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text.removeprefix("\\")


def _snake(name: str) -> str:
    return _CAMEL.sub("_", name).lower()
