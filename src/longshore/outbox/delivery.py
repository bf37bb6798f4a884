"""Events on their way from the outbox to one listener: a job that is there while events are.

A listener that fails is asked again later and later; its job never dies, and no other listener's
waits for it.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from longshore.db.clock import database_time
from longshore.db.database import Connection, Database
from longshore.jobs import queue
from longshore.jobs.model import LINE_LENGTH, JobContext, Postponed, RetryPolicy
from longshore.outbox import store
from longshore.outbox.model import (
    AnyListener,
    Event,
    Recorded,
    TransactionalListener,
    UnknownEvent,
)
from longshore.outbox.store import Waiting

_KEY: Final = "outbox"

Observer = Callable[[str, str, int], None]
"""Told the listener, the outcome (delivered, failed, dropped) and the number of events."""


def uncounted(_listener: str, _outcome: str, _events: int) -> None:
    """Nobody counts events."""


@dataclass(frozen=True, slots=True)
class EventDelivery:
    """The task that tells ``listener`` what waits for it.

    ``kinds`` are the events that this version knows. ``retry`` says when to ask again a listener
    that does not say so itself; its attempts do not count.
    """

    database: Database
    listener: AnyListener
    kinds: Mapping[str, type[Event]]
    retry: RetryPolicy = field(default_factory=lambda: RetryPolicy(first=2.0, longest=300.0))
    observe: Observer = uncounted
    concurrency: int = 1

    @property
    def kind(self) -> str:
        return kind_of(self.listener.name)

    async def run(self, context: JobContext) -> None:
        context.leave_no_trace()
        failures: int = context.state or 0
        while True:
            try:
                more = await self._deliver_some()
            except Exception as error:
                # Whatever a listener raises, its events are still there.
                self.observe(self.listener.name, "failed", 1)
                await context.checkpoint(failures + 1)
                if isinstance(error, Postponed):
                    raise
                reason = f"{type(error).__name__}: {error}"[:LINE_LENGTH]
                chance = random.random()  # noqa: S311 - no secret
                raise Postponed(self.retry.delay(failures + 1, chance), reason) from error
            if failures:
                failures = 0
                await context.checkpoint(failures)
            if not more:
                return

    async def _deliver_some(self) -> bool:
        """Whether there may be more."""
        if isinstance(self.listener, TransactionalListener):
            count = await self.database.write(self._hand_over)
            self._count(count)
            return count == self.listener.batch
        waiting = await self.database.read(
            partial(store.oldest, listener=self.listener.name, limit=self.listener.batch)
        )
        if not waiting:
            return False
        await self.listener.deliver([self._recorded(found) for found in waiting])
        # If this is lost in a power failure they are delivered once more, which may happen anyway.
        ids = [found.id for found in waiting]
        await self.database.write(partial(store.remove, ids=ids), durable=False)
        self._count(len(waiting))
        return len(waiting) == self.listener.batch

    def _hand_over(self, connection: Connection) -> int:
        """How many were taken."""
        assert isinstance(self.listener, TransactionalListener)  # noqa: S101 - as the caller found
        waiting = store.take(connection, self.listener.name, self.listener.batch)
        if waiting:
            self.listener.record(connection, [self._recorded(found) for found in waiting])
        return len(waiting)

    def _count(self, delivered: int) -> None:
        if delivered:
            self.observe(self.listener.name, "delivered", delivered)

    def _recorded(self, waiting: Waiting) -> Recorded:
        known = self.kinds.get(waiting.kind)
        if known is None:
            raise UnknownEvent(
                f"event {waiting.event_id} is a {waiting.kind!r}, which this version does not know: "
                "it waits for a server of the version that wrote it"
            )
        return Recorded(waiting.event_id, known.from_json(waiting.body))


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Where the worker looks for events to deliver: a push could not enqueue the job itself, because
    pushes at the same time would wait for one another's key."""

    listeners: Sequence[str]

    def wanted(self, connection: Connection) -> list[str]:
        """Kinds of jobs that there should be and are not."""
        waiting = map(kind_of, store.listeners_waiting(connection, self.listeners))
        return [kind for kind in waiting if not queue.is_live(connection, kind, _KEY)]

    def enqueue(self, connection: Connection, kind: str) -> None:
        queue.enqueue(connection, kind, {}, now=database_time(connection), key=_KEY)


def kind_of(listener: str) -> str:
    """The kind of the job that delivers to a listener."""
    return f"events:{listener}"
