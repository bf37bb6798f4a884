"""Events of what changes nothing, such as a pull: a request must not wait for them, so they are
written once a second, many at a time, and those of the last second are lost with the process."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from longshore.db.database import Database
from longshore.oci.errors import RegistryError
from longshore.outbox.model import Event
from longshore.outbox.recording import Outbox

logger = logging.getLogger(__name__)

_INTERVAL: Final = 1.0
#: Events in memory, and in one transaction.
_MOST: Final = 10_000
_BATCH: Final = 500


class DeferredOutbox:
    """One per process."""

    def __init__(self, database: Database, outbox: Outbox, *, most: int = _MOST) -> None:
        """``most`` events are kept while the database is away."""
        self._database = database
        self._outbox = outbox
        self._most = most
        self._events: list[Event] = []
        self._dropped = 0
        #: Whether there are listeners at all.
        self.listened = outbox.listened
        self._wanted: dict[type[Event], bool] = {}

    def may_want(self, kind: type[Event]) -> bool:
        """Whether anybody may want an event of that kind: nobody need make one otherwise."""
        found = self._wanted.get(kind)
        if found is None:
            found = self._wanted[kind] = self._outbox.may_want(kind)
        return found

    def tell(self, event: Event) -> None:
        """Tell of it within about a second. Never waits; while the database is away the newest are
        dropped once many wait."""
        if not self._outbox.wanted(event):
            return
        if len(self._events) < self._most:
            self._events.append(event)
        else:
            self._dropped += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Writes while the context lasts, and what is left at its end."""
        if not self.listened:
            yield
            return
        ending = asyncio.Event()
        task = asyncio.create_task(self._run(ending))
        try:
            yield
        finally:
            # A flush that has begun is finished: cut off, it might write its events twice, or not at all.
            ending.set()
            await task
            await self._flush()

    async def _run(self, ending: asyncio.Event) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL):
                    await ending.wait()
                    return
            await self._flush()

    async def _flush(self) -> None:
        if self._dropped:
            logger.error("%d events were dropped: too many wait for the database", self._dropped)
            self._dropped = 0
        # What is told meanwhile waits for the next time, or a busy registry would write without pause.
        waiting = len(self._events)
        while waiting > 0:
            some, self._events = self._events[:_BATCH], self._events[_BATCH:]
            waiting -= len(some)
            try:
                await self._database.write(partial(self._outbox.append, events=some), durable=False)
            except RegistryError as error:
                self._events[:0] = some
                logger.warning("events wait for the database: %s", error)
                return
            except Exception:
                # Whatever it is: those that follow must not wait.
                logger.exception("%d events cannot be written and are dropped", len(some))
