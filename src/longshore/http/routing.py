"""Routes: a path, the methods it answers, and the name that metrics and tests know it by."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from longshore.http.request import Request
from longshore.http.response import Response
from longshore.oci.errors import NotFound, Unsupported

Handler = Callable[..., Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """``pattern`` is a regular expression for the whole path; its named groups become the
    handler's keyword arguments. ``writes`` lists the methods that a read-only server refuses.
    ``specification`` says where the endpoint is described."""

    name: str
    pattern: str
    handlers: Mapping[str, Handler]
    specification: str
    writes: frozenset[str] = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class Match:
    route: Route
    handler: Handler
    arguments: Mapping[str, Any] = field(default_factory=dict)

    async def __call__(self, request: Request) -> Response:
        return await self.handler(request, **self.arguments)


class Router:
    """Finds the route of a path. Earlier routes win."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._compiled = [(re.compile(route.pattern).fullmatch, route) for route in routes]

    def match(self, method: str, path: str) -> Match:
        """Raises NotFound for an unknown path, Unsupported (405, with Allow) for another method."""
        for fullmatch, route in self._compiled:
            found = fullmatch(path)
            if found is None:
                continue
            handler = route.handlers.get(method)
            if handler is None and method == "HEAD":
                handler = route.handlers.get("GET")
            if handler is None:
                allowed = ", ".join(route.handlers)
                raise Unsupported(
                    f"{method[:20]} is not supported on {path[:200]!r}; use {allowed}",
                    headers={"Allow": allowed},
                )
            return Match(route, handler, found.groupdict())
        raise NotFound(
            f"{path[:200]!r} is no endpoint of this registry; "
            "the registry API begins at /v2/ (is a path prefix missing or doubled?)"
        )
