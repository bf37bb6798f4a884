"""What the phases of a run share: its options, its pace, and what it tells of itself."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final, TypeVar

from longshore.db.clock import database_time
from longshore.db.database import Connection, Database
from longshore.outbox.recording import Outbox
from longshore.storage.backends import Backends
from longshore.telemetry import clock

T = TypeVar("T")

#: Rows of one transaction, and with a rate: what is done without a pause takes few milliseconds then, for a request that
#: comes meanwhile may have to wait for a processor.
_BATCH: Final = 500
_SMALL_BATCH: Final = 100
#: Seconds that a batch may take when the rate is low.
_LONGEST: Final = 5.0
#: With a rate: how many times as long as it has read a run rests.
_REST: Final = 3.0
#: Seconds between two checkpoints of a phase. What was done since the last one is done again.
_CHECKPOINT: Final = 5.0


@dataclass(slots=True)
class Tally:
    """What a run did. ``condemned_*`` began to wait; ``unknown`` bytes had no row; ``absolved`` rows
    were condemned and are in use after all; ``freed`` is in bytes; ``failed`` objects are still there."""

    condemned_manifests: int = 0
    condemned_links: int = 0
    condemned_blobs: int = 0
    unknown: int = 0
    manifests: int = 0
    links: int = 0
    blobs: int = 0
    freed: int = 0
    absolved: int = 0
    failed: int = 0

    def __str__(self) -> str:
        return (
            f"began to wait: {self.condemned_manifests} manifests, {self.condemned_links} links, "
            f"{self.condemned_blobs + self.unknown} blobs ({self.unknown} that no row knew); removed: "
            f"{self.manifests} manifests, {self.links} links, {self.blobs} blobs ({self.freed} bytes); "
            f"in use after all: {self.absolved}; storage refused: {self.failed}"
        )


@dataclass(frozen=True, slots=True)
class CollectionOptions:
    """``lease`` in seconds; ``rate`` is rows and objects that are changed in a second; then a run also
    rests three times as long as it reads. 0 is as fast as possible."""

    lease: float = 2 * 3600.0
    delete_untagged: bool = False
    rate: float = 0.0

    @property
    def batch(self) -> int:
        """Rows of one transaction."""
        return max(1, min(_SMALL_BATCH, int(self.rate * _LONGEST))) if self.rate else _BATCH


async def nothing(_: str) -> None:
    """Nobody listens."""


async def forget(_: Any) -> None:
    """Nobody remembers."""


async def unseen(done: int, total: int | None, message: str) -> None:
    """Nobody watches."""


@dataclass(slots=True)
class Run:
    """``say`` gets a line at a time, ``remember`` what another run may be given to go on after an
    interruption, ``progress`` how far it is, ``outbox`` which manifests went."""

    database: Database
    backends: Backends
    options: CollectionOptions = field(default_factory=CollectionOptions)
    say: Callable[[str], Awaitable[None]] = nothing
    remember: Callable[[Any], Awaitable[None]] = forget
    progress: Callable[[int, int | None, str], Awaitable[None]] = unseen
    outbox: Outbox = field(default_factory=Outbox)
    tally: Tally = field(default_factory=Tally)
    phase: str = field(default="", init=False)
    _remembered: float = field(default_factory=clock.monotonic, init=False)

    async def expired(self) -> float:
        """What was condemned before that time of the database has waited for a lease."""
        return await self.database.read(database_time) - self.options.lease

    async def look(self, work: Callable[[Connection], T]) -> T:
        """Read a page, and leave others their time."""
        began = clock.monotonic()
        found = await self.database.read(work)
        await self.rest(began)
        return found

    async def change(self, work: Callable[[Connection], T], count: int) -> T:
        """One transaction that changes ``count`` rows, then a pause if the budget wants one."""
        began = clock.monotonic()
        result = await self.database.write(work)
        await self.pause(count, began)
        return result

    async def pause(self, count: int, began: float) -> None:
        """Until ``count`` things may have been changed since ``began`` (monotonic)."""
        if self.options.rate:
            await asyncio.sleep(max(0.0, began + count / self.options.rate - clock.monotonic()))

    async def rest(self, began: float) -> None:
        """After having read since ``began`` (monotonic)."""
        if self.options.rate:
            await asyncio.sleep(_REST * (clock.monotonic() - began))

    async def checkpoint(self, last: Any) -> None:
        """``last`` is where the phase is. Remembered now and then."""
        if clock.monotonic() - self._remembered >= _CHECKPOINT:
            await self._remember(last)

    async def begin_phase(self, name: str, last: Any) -> None:
        """A phase begins after ``last``. Always remembered."""
        self.phase = name
        await self._remember(last)

    async def _remember(self, last: Any) -> None:
        await self.remember({"phase": self.phase, "last": last, "tally": asdict(self.tally)})
        self._remembered = clock.monotonic()
