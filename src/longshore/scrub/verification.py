"""Reading stored bytes again: are they still what their digests say?

Nothing is locked. A push may put right bytes under a digest at any time, so what looks bad is read
a second time before it is said, and once more after: from the moment in which it is said every push
that puts bytes there takes it back itself (``registry.store.link_blob``), and what one put there
before is what the last look sees.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Final

from longshore.db.clock import database_time
from longshore.db.database import Database
from longshore.oci.digest import Digest
from longshore.registry import store as registry_store
from longshore.registry.hashing import RunningHash
from longshore.scrub import store
from longshore.scrub.model import NAMED, Candidate, Tally
from longshore.storage import layout
from longshore.storage.backends import Backends, shown
from longshore.storage.driver import PathNotFound, StorageError
from longshore.telemetry import clock

logger = logging.getLogger(__name__)

_PAGE: Final = 500
#: What was found out is written after so many objects or seconds.
_BATCH: Final = 100
_SECONDS: Final = 10.0
#: So many in a row that cannot be read say something of the storage, not of them.
_UNREADABLE: Final = 10


class StorageEmpty(Exception):
    """Bytes are missing, and so is everything else: that is another storage, or none."""


@dataclass(frozen=True, slots=True)
class ScrubOptions:
    """``rate`` in bytes a second, 0 for as many as possible; ``interval`` in seconds."""

    rate: int = 0
    interval: float = 30 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What lies under a digest: its size (None: nothing does) and the digest that it has."""

    size: int | None
    digest: Digest | None

    def problem(self, expected: Candidate) -> str | None:
        """What is wrong with it, as people say it; None when it is sound."""
        if self.size is None or self.digest is None:
            return "its bytes are missing"
        if self.digest.matches(expected.digest):
            return None
        if self.size != expected.size:
            return f"{self.size} bytes are stored instead of {expected.size}"
        return f"its {self.size} bytes have digest {self.digest}"


async def _nothing(_: Any) -> None:
    """Nobody listens."""


async def _unseen(done: int, total: int | None, message: str) -> None:
    """Nobody watches."""


@dataclass(slots=True)
class Scrub:
    """One run. ``say`` gets a line at a time, ``remember`` what ``run`` may be given as ``state`` to go
    on after an interruption, ``progress`` how far it is."""

    database: Database
    backends: Backends
    options: ScrubOptions = field(default_factory=ScrubOptions)
    say: Callable[[str], Awaitable[None]] = _nothing
    remember: Callable[[Any], Awaitable[None]] = _nothing
    progress: Callable[[int, int | None, str], Awaitable[None]] = _unseen
    tally: Tally = field(default_factory=Tally)
    _last: str = ""
    _sound: list[str] = field(default_factory=list)
    _written_at: float = field(default_factory=clock.monotonic)
    _free_at: float = 0.0
    _in_a_row: int = 0

    async def run(self, state: Any = None) -> Tally:
        """Verify everything that is due.

        Raises StorageEmpty, or StorageError when storage cannot be read at all.
        """
        done = state or {"last": "", "seen": 0, "tally": {}}
        self.tally, self._last, seen = Tally(**done["tally"]), done["last"], done["seen"]
        total = await self.database.read(store.count)
        while True:
            first = self._last
            look = partial(store.page, last=first, limit=_PAGE)
            found, end = await self.database.read(look)
            now = await self.database.read(database_time)
            for candidate in found:
                if self._is_due(candidate, now):
                    await self._verify(candidate)
                else:
                    self.tally.skipped += 1
                self._last, seen = candidate.digest, seen + 1
                await self.progress(seen, total, f"objects, {self.tally.size} bytes read")
                if self._must_write():
                    await self._write(seen)
            await self._forget(first, end)
            self._last = end or self._last
            await self._write(seen)
            if end is None:
                return self.tally

    async def verify(self, digests: Sequence[Digest]) -> Tally:
        """Verify these, whenever they were verified before. Raises as :meth:`run`."""
        for start in range(0, len(digests), _PAGE):
            some = list(dict.fromkeys(digests[start : start + _PAGE]))
            found = await self.database.read(partial(store.find, digests=some))
            known = {candidate.digest for candidate in found}
            for digest in some:
                if digest not in known:
                    await self.say(f"{digest}: no blob and no manifest has this digest")
            for candidate in found:
                await self._verify(candidate)
            await self._write(start + len(some))
        return self.tally

    def _is_due(self, candidate: Candidate, now: float) -> bool:
        verified = candidate.verified_at
        if verified is None or candidate.quarantined:
            return True
        return verified <= now - self.options.interval

    def _must_write(self) -> bool:
        late = clock.monotonic() > self._written_at + _SECONDS
        return late or len(self._sound) >= _BATCH

    async def _write(self, seen: int) -> None:
        if self._sound:
            now = await self.database.read(database_time)
            record = partial(store.record, digests=self._sound, now=now)
            # To lose it costs reading again, which is not worth an fsync.
            await self.database.write(record, durable=False)
        self._sound, self._written_at = [], clock.monotonic()
        await self.remember({"last": self._last, "seen": seen, "tally": asdict(self.tally)})

    async def _forget(self, after: str, until: str | None) -> None:
        gone = await self.database.read(partial(store.outdated, after=after, until=until))
        for start in range(0, len(gone), _PAGE):
            some = gone[start : start + _PAGE]
            await self.database.write(partial(store.forget, digests=some), durable=False)

    async def _verify(self, candidate: Candidate) -> None:
        try:
            await self._judge(candidate)
            self._in_a_row = 0
        except StorageError as error:
            self.tally.unreadable += 1
            self._in_a_row += 1
            logger.warning("scrub: %s cannot be read: %s", candidate.digest, error)
            await self.say(f"{candidate.digest} cannot be read: {error}")
            if self._in_a_row >= _UNREADABLE:
                raise

    async def _judge(self, candidate: Candidate) -> None:
        reading = await self._read(candidate)
        problem = reading.problem(candidate)
        if problem and not candidate.quarantined:
            # Somebody may just have replaced, moved or removed it.
            again = await self.database.read(partial(store.find, digests=[candidate.digest]))
            if not again:
                return
            candidate = again[0]
            reading = await self._read(candidate)
            problem = reading.problem(candidate)
        if problem is None:
            await self._is_sound(candidate, reading)
            return
        if reading.size is None:
            await self._require_anything(candidate.backend)
        if not candidate.quarantined and not await self._quarantine(candidate):
            return
        self.tally.quarantined += 1
        if len(self.tally.bad) < NAMED:
            self.tally.bad.append(candidate.digest)
        logger.error("scrub: %s is bad: %s", candidate.digest, problem)
        since = "still in quarantine" if candidate.quarantined else "in quarantine from now on"
        await self.say(f"{candidate.digest} is bad: {problem}; {since}, until it is pushed again")

    async def _quarantine(self, candidate: Candidate) -> bool:
        """Whether it is in quarantine now, and belongs there."""
        now = await self.database.read(database_time)
        work = partial(store.quarantine, candidate=candidate, now=now)
        if not await self.database.write(work):
            return False
        reading = await self._read(candidate)
        if reading.problem(candidate):
            return True
        await self._restore(candidate.digest, reading)
        return False

    async def _is_sound(self, candidate: Candidate, reading: Reading) -> None:
        self.tally.sound += 1
        self._sound.append(candidate.digest)
        if candidate.quarantined or reading.size != candidate.size:
            await self._restore(candidate.digest, reading)
            self.tally.healed += 1
            await self.say(f"{candidate.digest} is sound again")

    async def _restore(self, digest: Digest, reading: Reading) -> None:
        size = reading.size or 0
        await self.database.write(partial(registry_store.restore_digest, digest=digest, size=size))

    async def _read(self, candidate: Candidate) -> Reading:
        running, size = RunningHash(candidate.digest.algorithm), 0
        driver = self.backends[candidate.backend].driver
        try:
            async with aclosing(driver.stream(layout.blob(candidate.digest))) as pieces:
                async for piece in pieces:
                    await running.update(piece)
                    size += len(piece)
                    await self._pace(len(piece))
        except PathNotFound:
            return Reading(None, None)
        return Reading(size, running.digest)

    async def _pace(self, count: int) -> None:
        self.tally.size += count
        if self.options.rate:
            now = clock.monotonic()
            self._free_at = max(now, self._free_at) + count / self.options.rate
            await asyncio.sleep(self._free_at - now)

    async def _require_anything(self, backend: str) -> None:
        async with aclosing(self.backends[backend].driver.list(layout.BLOBS)) as entries:
            async for _ in entries:
                return
        raise StorageEmpty(
            f"the {shown(backend)} storage holds no blob at all, so it is not the one that the rows tell of: is it "
            "mounted, and is its place in the configuration right? Nothing was put in quarantine"
        )
