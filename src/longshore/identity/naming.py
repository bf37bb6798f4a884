"""Names without a slash: ``alpine`` and ``library/alpine`` are one repository.

It is stored as ``library/alpine``. Repositories that are stored without the prefix, from before there were
projects, stay where they are and answer to both names, too; where both are stored, each name means its own.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from longshore.db.database import Connection, Database
from longshore.db.generation import Generation
from longshore.http.request import Request
from longshore.http.response import Response
from longshore.http.routing import Handler, Route
from longshore.oci.names import COMPONENT, LIBRARY, MAX_NAME_LENGTH, RepositoryName
from longshore.registry import store

_PREFIX: Final = f"{LIBRARY}/"
_ALONE: Final = re.compile(COMPONENT)
_MAX: Final = 20_000


def canonical(name: str) -> str:
    """The one of the two names that has the prefix; any other name as it is."""
    return f"{_PREFIX}{name}" if "/" not in name else name


def canonical_rights(
    rights: Mapping[tuple[str, str], frozenset[str]],
) -> dict[tuple[str, str], frozenset[str]]:
    """The rights of a token, whichever of the two names it was asked for."""
    found: dict[tuple[str, str], frozenset[str]] = {}
    for (kind, name), actions in rights.items():
        key = (kind, canonical(name) if kind == "repository" else name)
        found[key] = found.get(key, frozenset()) | actions
    return found


class RepositoryNames:
    """Which repository a client means. One per process."""

    def __init__(self, database: Database, taking_over: Callable[[], bool] = lambda: False) -> None:
        """``taking_over``: whether there may be repositories that no row knows yet."""
        self._database = database
        self._taking_over = taking_over
        self._generation = 0
        self._known: dict[str, str] = {}

    async def stored(self, name: str, as_of: Generation | None = None) -> str:
        """The name under which the repository is stored, or would be if somebody pushed now, or at a moment
        since ``as_of`` was current. Answers are kept until a repository comes or goes."""
        other = _other(name)
        if other is None:
            return name
        generation = as_of or await self._database.generation()
        current = 0 if generation is None else max(generation.manifests, self._generation)
        if current != self._generation or len(self._known) > _MAX:
            self._known.clear()
            self._generation = current
        found = self._known.get(name)
        if found is None:
            look = partial(_first_stored, names=(name, other))
            found = await self._database.read(look)
            if found is None:
                found = name if self._taking_over() else canonical(name)
            elif current and current == self._generation:
                self._known[name] = found
        return found

    def around(self, routes: Sequence[Route]) -> list[Route]:
        """The same routes, for both names."""
        return [
            replace(
                route,
                handlers={
                    method: self._handler(handler) for method, handler in route.handlers.items()
                },
            )
            if "(?P<name>" in route.pattern
            else route
            for route in routes
        ]

    def _handler(self, handler: Handler) -> Handler:
        async def handle(request: Request, name: str, **others: Any) -> Response:
            if b"from=" in request.scope["query_string"]:
                await self._rename_source(request)
            if _other(name) is not None:
                if request.as_of is None:
                    request.as_of = await self._database.generation()
                name = await self.stored(name, request.as_of)
            return await handler(request, name=name, **others)

        return handle

    async def _rename_source(self, request: Request) -> None:
        """The same for what a blob is mounted from."""
        pairs = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        renamed = [
            (key, await self.stored(value) if key == "from" else value) for key, value in pairs
        ]
        if renamed != pairs:
            request.scope["query_string"] = urlencode(renamed).encode("latin-1")


def _other(name: str) -> str | None:
    """The other name of the same repository; None where there is none."""
    if "/" in name and not name.startswith(_PREFIX):
        return None
    if _ALONE.fullmatch(name):
        return canonical(name) if len(name) + len(_PREFIX) <= MAX_NAME_LENGTH else None
    alone = name.removeprefix(_PREFIX)
    return alone if alone != name and _ALONE.fullmatch(alone) else None


def _first_stored(connection: Connection, names: Sequence[str]) -> str | None:
    for name in names:
        if store.repository_id(connection, RepositoryName(name)) is not None:
            return name
    return None
