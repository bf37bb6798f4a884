"""Moving bytes to another backend, as a job, while the registry serves.

For each digest: note that a copy is coming, copy and verify it, then say in one transaction that it is
what is read; the old bytes stay for a while, for pulls under way. At every instant each copy is
either what a row says is read, or known as spare, so a kill loses nothing and hides nothing.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

from longshore.db.database import Database
from longshore.jobs import queue
from longshore.jobs.model import JobContext, JobFailed
from longshore.oci.patterns import compile_pattern
from longshore.placement import store
from longshore.placement.budget import Budget
from longshore.placement.copying import STAGED, copy
from longshore.placement.model import MOVE, REMOVAL, Move, Outcome, Stored, Tally
from longshore.storage.backends import Backends, shown
from longshore.storage.configured import SamePlace
from longshore.storage.driver import PathNotFound, StorageDriver, StorageError
from longshore.storage.layout import ROOT
from longshore.telemetry import clock

logger = logging.getLogger(__name__)

_PAGE: Final = 200
#: Digests that are copied at the same time.
_PARALLEL: Final = 4
#: Digests between two checkpoints.
_STEP: Final = 16
#: Failures of the storage in a row after which the job waits and tries again.
_PATIENCE: Final = 5
#: How often, and after how many seconds, to look whether an older copy has gone from the new place.
_ATTEMPTS: Final = 30
_PAUSE: Final = 0.5
#: Lines about single digests in the job's log.
_LINES: Final = 100


async def selected(
    database: Database, move: Move, after: str = ""
) -> AsyncIterator[tuple[Stored, bool]]:
    """What a move would take, in order of the digests, and whether it does: False for what other
    repositories than the chosen ones use, too."""
    fits: Callable[[str], object] = (
        compile_pattern(move.repositories) if move.repositories else lambda name: True
    )
    while True:
        page = await database.read(
            partial(store.stored_after, after=after, to=move.to, source=move.source, limit=_PAGE)
        )
        digests = [stored.digest for stored in page]
        users = await database.read(partial(store.users, digests=digests))
        for stored in page:
            mine = [name for name in users[stored.digest] if fits(name)]
            if mine:
                yield stored, move.shared or len(mine) == len(users[stored.digest])
        if len(page) < _PAGE:
            return
        after = digests[-1]


@dataclass(slots=True)
class Estimate:
    """What a move would do: digests and bytes; ``shared`` ones would stay."""

    blobs: int = 0
    size: int = 0
    shared: int = 0


async def estimate(database: Database, move: Move) -> Estimate:
    """Count without moving."""
    found = Estimate()
    async for stored, goes in selected(database, move):
        if goes:
            found.blobs += 1
            found.size += stored.size
        else:
            found.shared += 1
    return found


async def refuse_same_place(backends: Backends, move: Move) -> None:
    """Raise SamePlace if what is written to one backend can be read from another."""
    target = backends[move.to].driver
    marker = f"{ROOT}/longshore-move-{secrets.token_hex(8)}"
    await target.write(marker, b"Longshore looks whether two backends are one.\n")
    try:
        for name, backend in backends.all.items():
            if (
                name != move.to
                and move.source in (None, name)
                and await _has(backend.driver, marker)
            ):
                raise SamePlace(
                    f"backends {shown(name)} and {shown(move.to)} keep their bytes in the same "
                    "place: there is nothing to move, only a name to change (longshore storage "
                    "rename)"
                )
    finally:
        with suppress(PathNotFound):
            await target.delete(marker)


async def _has(driver: StorageDriver, path: str) -> bool:
    try:
        await driver.stat(path)
    except PathNotFound:
        return False
    return True


@dataclass(frozen=True, slots=True)
class StorageMove:
    """The task. Its payload is a Move, its checkpoint the last digest and the Tally."""

    database: Database
    backends: Backends
    grace: float
    kind: str = MOVE
    concurrency: int = 1

    async def run(self, context: JobContext) -> None:
        """Raises JobFailed when something could not be moved, or nothing can be."""
        move = Move.from_json(context.job.payload)
        try:
            for name in (move.to, move.source or move.to):
                self.backends[name]
            await refuse_same_place(self.backends, move)
        except SamePlace as error:
            raise JobFailed(str(error)) from error
        await self._discard_remains(self.backends[move.to].driver)
        run = _Run(self, context, move)
        await run.all()
        await self.database.write(
            partial(
                queue.enqueue,
                kind=REMOVAL,
                payload={},
                key=f"after-{context.job.id}",
                now=clock.timestamp(),
                run_at=clock.timestamp() + self.grace + 1,
            )
        )
        await context.log(f"{run.tally}; what lay in the old place is removed in {self.grace:g} s")
        if run.tally.trouble:
            # What was moved is left out next time; what was not comes first.
            await context.checkpoint(None)
            raise JobFailed(
                f"{run.tally.trouble} blobs were not moved: `longshore jobs show "
                f"{context.job.id}` says which and why; retry when the cause is gone"
            )

    async def _discard_remains(self, driver: StorageDriver) -> None:
        """What an attempt that was killed had staged: no other one is at work."""
        remains = [upload async for upload, _ in driver.list_staged() if upload.startswith(STAGED)]
        for upload in remains:
            await driver.discard(upload)


class _Run:
    """One attempt."""

    def __init__(self, task: StorageMove, context: JobContext, move: Move) -> None:
        state: dict[str, Any] = context.state or {}
        self.tally = Tally(**state.get("tally", {}))
        self._after: str = state.get("after", "")
        self._task = task
        self._context = context
        self._move = move
        self._budget = Budget(move.rate)
        self._total = 0
        self._under_way: dict[str, int] = {}
        self._failures = 0
        self._lines = 0

    async def all(self) -> None:
        left = await estimate(self._task.database, self._move)
        self._total = self.tally.size + left.size
        await self._context.log(
            f"{left.blobs} blobs, {left.size} bytes to move to {shown(self._move.to)}"
            + (f"; {left.shared} are used elsewhere, too, and stay" if left.shared else "")
        )
        step: list[Stored] = []
        async for stored, goes in selected(self._task.database, self._move, self._after):
            if goes:
                step.append(stored)
            if len(step) == _STEP:
                await self._take(step)
                step = []
        if step:
            await self._take(step)

    async def _take(self, step: Sequence[Stored]) -> None:
        slots = asyncio.Semaphore(_PARALLEL)

        async def one(stored: Stored) -> None:
            async with slots:
                outcome = await self._one(stored)
            self._under_way.pop(stored.digest, None)
            self.tally.add(stored, outcome)
            await self._tell()

        ended = await asyncio.gather(*map(one, step), return_exceptions=True)
        for error in ended:
            if error is not None:
                raise error
        self._after = step[-1].digest
        await self._context.checkpoint({"after": self._after, "tally": asdict(self.tally)})

    async def _tell(self) -> None:
        done = self.tally.size + sum(self._under_way.values())
        await self._context.progress(done, self._total, f"bytes, {self.tally.blobs} blobs")

    async def _one(self, stored: Stored) -> Outcome:
        try:
            outcome = await self._move_one(stored)
        except StorageError as error:
            self._failures += 1
            if self._failures >= _PATIENCE:
                raise
            await self._say(f"{stored.digest}: {error}")
            return Outcome.FAILED
        self._failures = 0
        if outcome.is_trouble:
            await self._say(f"{stored.digest} in {shown(stored.backend)}: {outcome}")
        return outcome

    async def _move_one(self, stored: Stored) -> Outcome:
        to, write = self._move.to, self._task.database.write
        source = self._task.backends[stored.backend].driver
        target = self._task.backends[to].driver
        for _ in range(_ATTEMPTS):
            if await write(partial(store.begin_copy, stored=stored, to=to)):
                break
            await asyncio.sleep(_PAUSE)
        else:
            return Outcome.BUSY
        outcome = await copy(stored, source, target, partial(self._pass, stored.digest))
        if outcome is not Outcome.MOVED:
            return outcome
        settled = await write(partial(store.settle, stored=stored, to=to))
        return Outcome.MOVED if settled else Outcome.CHANGED

    async def _pass(self, digest: str, size: int) -> None:
        """Before ``size`` bytes of a digest go on to where they are copied."""
        await self._budget.take(size)
        self._under_way[digest] = self._under_way.get(digest, 0) + size
        await self._tell()

    async def _say(self, line: str) -> None:
        logger.warning("moving: %s", line)
        self._lines += 1
        if self._lines <= _LINES:
            await self._context.log(line)
