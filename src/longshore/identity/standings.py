"""Standings, remembered for as long as nothing was committed, or for a moment."""

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from cachetools import TTLCache

from longshore.db.database import Database
from longshore.identity import store
from longshore.identity.model import Standing

_MAX: Final = 20_000
_NOBODY: Final = Standing("", "")


class Standings:
    """One per process. On SQLite an answer is kept until any process commits anything
    (``Database.generation``). On PostgreSQL nothing tells in time that another node changed a role:
    an answer is believed for ``seconds`` at most, and whoever is about to refuse somebody because of one
    asks again (:meth:`forget`). So what is given counts at once, and what is taken within ``seconds``."""

    def __init__(
        self,
        database: Database,
        seconds: float = 0.0,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``clock`` tells POSIX seconds."""
        self._database = database
        self._clock = clock
        self._generation: int | None = None
        self._known: dict[tuple[str, str], Standing] = {}
        self._recent: TTLCache[tuple[str, str], Standing] | None = (
            None if database.is_sqlite or not seconds else TTLCache(_MAX, seconds, timer=monotonic)
        )

    async def of(self, user: str, project: str) -> Standing:
        """``user`` before ``project``, now. Raises Unavailable when the database does not answer."""
        if not (user or project):
            return _NOBODY  # what most clients ask first, before they know that they have to log in
        key = (user, project)
        now = self._clock()
        if self._recent is not None:
            recent = self._recent.get(key)
            if recent is None or recent.changes_at <= now:
                recent = await self._ask(key)
                if _is_kept(recent):
                    self._recent[key] = recent
            return recent
        generation = self._database.generation()
        if generation != self._generation or len(self._known) > _MAX:
            self._known.clear()
            self._generation = generation
        found = self._known.get(key)
        if found is None or found.changes_at <= now:
            found = await self._ask(key)
            # True as of the generation from before the question or a later one; if another has
            # begun meanwhile, the next question notices.
            if generation is not None and generation == self._generation and _is_kept(found):
                self._known[key] = found
        return found

    def forget(self, user: str, projects: Iterable[str]) -> bool:
        """Whether an answer about ``user`` before one of ``projects`` may have been out of date; it is
        not given again."""
        if self._recent is None:
            return False
        gone = [self._recent.pop((user, project), None) for project in projects]
        return any(gone)

    async def _ask(self, key: tuple[str, str]) -> Standing:
        ask = partial(store.standing, user=key[0], project=key[1], now=self._clock())
        return await self._database.read(ask)


def _is_kept(found: Standing) -> bool:
    """Whether it is remembered: of projects that there are, for anybody can ask about endlessly many others."""
    return found.exists or not found.project
