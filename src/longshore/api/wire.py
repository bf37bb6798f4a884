"""The shapes of requests and replies, and how they travel.

In Harbor's replies a field is left out when it is zero, empty or false, unless the API promises it:
here a field with a default is left out when it has that, and a promised one has no default.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, WithJsonSchema
from starlette.responses import Response

#: Go's zero time: "never".
NEVER: Final = "0001-01-01T00:00:00.000Z"

LARGEST_ID: Final = 2**63 - 1
#: An id in a path.
Id = Annotated[int, Path(ge=0, le=LARGEST_ID)]


class Shape(BaseModel):
    """A JSON object. Of requests only what is named here is read; the rest is passed over, as
    clients send back whatever they were given."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)


def moment(posix: float | None) -> str:
    """RFC 3339 in UTC, with milliseconds; ``None`` and zero: never."""
    if not posix:
        return NEVER
    return datetime.fromtimestamp(posix, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


#: A time in a reply, made by :func:`moment`.
Moment = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]


class Problem(Shape):
    """One thing that was wrong, and what to do about it."""

    code: str
    message: str
    detail: Any = None


class Problems(Shape):
    """Why a request was refused."""

    errors: list[Problem]


_REFUSALS: Final[Mapping[int | str, dict[str, Any]]] = {
    "4XX": {"model": Problems, "description": "Refused: the message says why."}
}
#: The same for a route whose reply is no JSON: otherwise the description would say that of refusals, too.
JSON_REFUSALS: Final[Mapping[int | str, dict[str, Any]]] = {
    "4XX": {
        "description": "Refused: the message says why.",
        "content": {
            "application/json": {"schema": {"$ref": f"#/components/schemas/{Problems.__name__}"}}
        },
    }
}


class Router(APIRouter):
    """A group of routes. Names of routes are their operation ids; what has its default is left out."""

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        options["response_model_exclude_defaults"] = True
        options["responses"] = {**_REFUSALS, **(options.get("responses") or {})}
        super().add_api_route(path, endpoint, **options)


class Empty(Response):
    """A reply without a body. It has no Content-Type either: clients decide by that whether to parse."""

    def __init__(self, status_code: int = 200, **headers: str) -> None:
        super().__init__(None, status_code)
        for name, value in headers.items():
            self.headers[name.replace("_", "-")] = value


def created(location: str) -> Empty:
    """201 with the path of what was made."""
    return Empty(201, Location=location)


def operation_id(route: APIRoute) -> str:
    """The handler's name in camel case, as Harbor spells operations."""
    first, *others = route.name.split("_")
    return first + "".join(word.capitalize() for word in others)
