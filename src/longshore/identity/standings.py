"""Standings, remembered for as long as nothing was committed that may change one."""

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from longshore.db.database import Database
from longshore.db.generation import Generation
from longshore.identity import store
from longshore.identity.model import Standing

_MAX: Final = 20_000
_NOBODY: Final = Standing("", "")


class Standings:
    """One per process. An answer is given again until any process commits something that says who may do
    what (``Generation.rights``), so what is given or taken counts for every request that begins later."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        """``clock`` tells POSIX seconds."""
        self._database = database
        self._clock = clock
        self._generation = 0
        self._known: dict[tuple[str, str], Standing] = {}

    async def of(self, user: str, project: str, as_of: Generation | None = None) -> Standing:
        """``user`` before ``project``, now, or at a moment since ``as_of`` was current. Raises Unavailable when
        the database does not answer."""
        if not (user or project):
            return _NOBODY  # what most clients ask first, before they know that they have to log in
        key = (user, project)
        generation = as_of or await self._database.generation()
        if generation is None:
            return await self._ask(key)
        current = max(generation.rights, self._generation)
        if current != self._generation or len(self._known) > _MAX:
            self._known.clear()
            self._generation = current
        found = self._known.get(key)
        if found is None or found.changes_at <= self._clock():
            found = await self._ask(key)
            # True as of the generation from before the question or a later one; if another has
            # begun meanwhile, the next question notices.
            if current == self._generation and _is_kept(found):
                self._known[key] = found
        return found

    async def _ask(self, key: tuple[str, str]) -> Standing:
        ask = partial(store.standing, user=key[0], project=key[1], now=self._clock())
        return await self._database.read(ask)


def _is_kept(found: Standing) -> bool:
    """Whether it is remembered: of projects that there are, for anybody can ask about endlessly many others."""
    return found.exists or not found.project
