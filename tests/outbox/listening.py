"""Listeners for tests, and a process that writes events, or delivers them, until it is killed:
python -m tests.outbox.listening URL JOURNAL append|deliver
"""

import asyncio
import itertools
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import anyio
from sqlalchemy import text

from longshore.db.database import Connection, Database
from longshore.jobs.model import RetryPolicy
from longshore.jobs.worker import Worker, WorkerOptions
from longshore.outbox.delivery import Arrivals, EventDelivery
from longshore.outbox.model import AnyListener, Event, Recorded
from longshore.outbox.recording import Outbox
from longshore.registry import store
from longshore.telemetry import clock

OPTIONS = WorkerOptions(lease=2.0, poll=0.05, upkeep=1.0)
QUICK = RetryPolicy(first=0.05, longest=0.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened(Event):
    """What the tests' events say: the ``n``-th thing happened to ``what``."""

    kind: ClassVar[str] = "test.happened"

    what: str
    n: int
    parts: tuple[str, ...] = ()


KINDS = {Happened.kind: Happened}


@dataclass
class Hearing:
    """Remembers what it was told; ``before`` may fail first."""

    name: str = "hearing"
    batch: int = 100
    before: Callable[[Sequence[Recorded]], Awaitable[None]] | None = None
    heard: list[Recorded] = field(default_factory=list)

    def wants(self, event: Event) -> bool:
        return True

    async def deliver(self, events: Sequence[Recorded]) -> None:
        if self.before:
            await self.before(events)
        self.heard.extend(events)

    @property
    def numbers(self) -> list[int]:
        return [found.event.n for found in self.heard if isinstance(found.event, Happened)]


@dataclass
class Journalling:
    """Writes each event to a file in one system call, so the file holds when the process is killed."""

    journal: int
    name: str = "journal"
    batch: int = 100

    def wants(self, event: Event) -> bool:
        return True

    async def deliver(self, events: Sequence[Recorded]) -> None:
        for found in events:
            assert isinstance(found.event, Happened)
            os.write(self.journal, f"heard {found.event.what} {found.event.n}\n".encode())
            await asyncio.sleep(0.002)


@dataclass
class Noting:
    """Keeps a row for each event, in the transaction that takes it off the outbox."""

    name: str = "noting"
    batch: int = 100

    def wants(self, event: Event) -> bool:
        return True

    def record(self, connection: Connection, events: Sequence[Recorded]) -> None:
        for found in events:
            count = store.remembered(connection, f"heard-{found.id}", 0)
            note(connection, f"heard-{found.id}", count + 1)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    """Wait until it holds."""
    with anyio.fail_after(seconds):
        while True:
            if await condition():
                return
            await anyio.sleep(0.02)


def note(connection: Connection, name: str, value: Any) -> None:
    """Keep a value under a name of the settings' table."""
    connection.execute(
        text("UPDATE settings SET value = :value WHERE name = :name"),
        {"name": name, "value": str(value)},
    )


def delivery(database: Database, listener: AnyListener, **more: Any) -> EventDelivery:
    settings = {"kinds": KINDS, "retry": QUICK, **more}
    return EventDelivery(database, listener, **settings)


class RolledBack(Exception):
    """On purpose, after the event was written."""


async def deliver(database: Database, journal: int) -> None:
    listeners: list[AnyListener] = [Journalling(journal), Noting()]
    worker = Worker(
        database,
        [delivery(database, listener) for listener in listeners],
        options=OPTIONS,
        sources=[Arrivals([listener.name for listener in listeners])],
    )
    async with worker.running():
        await asyncio.Event().wait()


async def append(database: Database, journal: int) -> None:
    """Write down each event whose transaction has been committed."""
    outbox = Outbox([Journalling(journal), Noting()])
    for n in itertools.count():
        what = "never" if n % 3 == 2 else f"process-{os.getpid()}"

        def write(connection: Connection, n: int = n, what: str = what) -> None:
            outbox.append(connection, [Happened(at=clock.timestamp(), what=what, n=n)])
            if what == "never":
                raise RolledBack

        try:
            await database.write(write)
        except RolledBack:
            continue
        os.write(journal, f"committed {what} {n}\n".encode())
        await asyncio.sleep(0.01)


async def main(url: str, journal: str, role: str) -> None:
    database = Database(url, pool_size=3)
    database.open()
    file = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await (deliver if role == "deliver" else append)(database, file)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
