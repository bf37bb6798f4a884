"""Events that nobody could be told of for too long are dropped, also those for a listener that the
configuration no longer has; but never those for a listener that must miss none."""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Final

from longshore.db.database import Database
from longshore.jobs.model import JobContext
from longshore.outbox import store
from longshore.outbox.delivery import Observer, uncounted
from longshore.telemetry import clock

logger = logging.getLogger(__name__)

_BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class EventExpiry:
    """The task that drops events older than ``retention`` seconds. ``kept`` are the names of listeners
    whose events wait for as long as it takes."""

    database: Database
    retention: float
    observe: Observer = uncounted
    kept: Collection[str] = ()
    kind: str = "event-expiry"
    concurrency: int = 1

    async def run(self, context: JobContext) -> None:
        context.leave_no_trace()
        before = clock.timestamp() - self.retention
        drop = partial(store.drop, before=before, limit=_BATCH, kept=self.kept)
        while dropped := await self.database.write(drop, durable=False):
            for listener, count in dropped.items():
                self.observe(listener, "dropped", count)
                logger.error(
                    "%d events for %s were older than longshore.events.retention and are dropped",
                    count,
                    listener,
                )
