"""Online collection: what nothing reaches goes, while pushes and pulls go on.

A run *marks* and *sweeps*. Marking finds manifests that no tag reaches (only if those are to go), blobs
that no manifest of their repository needs, and bytes that no repository may read, and writes down
since when: they are *condemned*. Sweeping removes what was condemned a whole lease ago, by an earlier
run, and is still unused.

Why nothing that a client relies on can vanish:

- Who is told that a blob or a manifest exists (HEAD, GET, mount, the end of an upload) sees a row that
  is not condemned, or takes the condemnation back in the same request. From that answer on it stays
  for a lease at least, and a manifest that refers to it takes the condemnation back once more.
- A link is not removed while its repository is being pushed to, for up to ``PATIENCE`` leases: a push
  may take longer than one between its first HEAD and its manifest.
- Whoever puts bytes under a digest looks first (``registry.reservation``). Bytes are removed only after
  a committed row has announced it, and whoever meets that announcement waits until it is gone.
- The sweeping transaction holds the rows it removes and looks again who needs them.

So no lock spans a run, several runs may work at once, and a run that is killed leaves only rows that
the next one takes up. All times are the database's.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from longshore.db.clock import database_time
from longshore.db.database import Connection, Database
from longshore.gc.store import mark, sweep
from longshore.gc.unknown import refuse_adoption, refuse_unknown
from longshore.oci.digest import Digest
from longshore.outbox.recording import Outbox
from longshore.registry import store
from longshore.registry.events import ManifestDeleted
from longshore.storage import layout
from longshore.storage.backends import Backends
from longshore.storage.driver import (
    BatchDeletes,
    Entry,
    PathNotFound,
    StorageDriver,
    StorageError,
)
from longshore.telemetry import clock

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: A link outlives pushes to its repository for this many leases, then it goes.
PATIENCE: Final = 12
#: How long one collector has for bytes that it announced, and the part of it that it uses (seconds).
#: A killed one keeps a digest from being pushed again for as long.
_CLAIM: Final = 150.0
_USABLE: Final = 60.0
_PAGE: Final = 5000
_BATCH: Final = 500
#: Objects that are being deleted at a time.
_PARALLEL: Final = 16


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
    rests as long as it reads. 0 is as fast as possible."""

    lease: float = 2 * 3600.0
    delete_untagged: bool = False
    rate: float = 0.0


async def _nothing(_: str) -> None:
    """Nobody listens."""


async def _forget(_: Any) -> None:
    """Nobody remembers."""


async def _unseen(done: int, total: int | None, message: str) -> None:
    """Nobody watches."""


@dataclass(slots=True)
class Collection:
    """One run. ``say`` gets a line at a time, ``remember`` what ``run`` may be given as ``state`` to go
    on after an interruption, ``progress`` how far it is, ``outbox`` which manifests went."""

    database: Database
    backends: Backends
    options: CollectionOptions = field(default_factory=CollectionOptions)
    say: Callable[[str], Awaitable[None]] = _nothing
    remember: Callable[[Any], Awaitable[None]] = _forget
    progress: Callable[[int, int | None, str], Awaitable[None]] = _unseen
    outbox: Outbox = field(default_factory=Outbox)
    tally: Tally = field(default_factory=Tally)

    async def run(self, state: Any = None) -> Tally:
        """Mark, then sweep.

        Raises AdoptionRunning, or StorageUnknown when this is the storage of another registry.
        """
        done = state or {"phase": 0, "last": None, "tally": {}}
        self.tally = Tally(**done["tally"])
        await self._refuse()
        phases: Sequence[Callable[[Any], Awaitable[None]]] = (
            self._mark_repositories,
            self._mark_blobs,
            self._mark_unknown,
            self._sweep_manifests,
            self._sweep_links,
            self._sweep_blobs,
        )
        for number, phase in enumerate(phases):
            if number >= done["phase"]:
                resumed = done["last"] if number == done["phase"] else None
                await phase(resumed)
                await self._checkpoint(number + 1, None)
        return self.tally

    async def _refuse(self) -> None:
        old = clock.timestamp() - self.options.lease
        await refuse_unknown(self.database, self.backends, old)

    async def _checkpoint(self, phase: int, last: Any) -> None:
        await self.remember({"phase": phase, "last": last, "tally": asdict(self.tally)})

    async def _time(self) -> float:
        return await self.database.read(database_time)

    async def _expired(self) -> float:
        return await self._time() - self.options.lease

    async def _write(self, work: Callable[[Connection], T], count: int) -> T:
        """One batch of ``count`` rows, then a pause if the budget wants one."""
        began = clock.monotonic()
        result = await self.database.write(work)
        await self._pause(count, began)
        return result

    async def _pause(self, count: int, began: float) -> None:
        if self.options.rate:
            await asyncio.sleep(max(0.0, began + count / self.options.rate - clock.monotonic()))

    async def _look(self, work: Callable[[Connection], T]) -> T:
        """Read a page, and leave others as much time."""
        began = clock.monotonic()
        found = await self.database.read(work)
        await self._rest(began)
        return found

    async def _rest(self, began: float) -> None:
        if self.options.rate:
            await asyncio.sleep(clock.monotonic() - began)

    # ── mark ──

    async def _mark_repositories(self, last: int | None) -> None:
        after, seen = last or 0, 0
        while page := await self.database.read(
            partial(mark.repositories_after, last=after, limit=100)
        ):
            for repository, _ in page:
                if self.options.delete_untagged:
                    await self._mark_manifests(repository)
                await self._mark_links(repository)
                after, seen = repository, seen + 1
            await self._checkpoint(0, after)
            await self.progress(seen, None, "repositories looked at")

    async def _mark_manifests(self, repository: int) -> None:
        find = partial(mark.wrongly_condemned, repository=repository, limit=_BATCH)
        while wrongly := await self.database.read(find):
            await self._write(partial(mark.absolve_manifests, ids=wrongly), len(wrongly))
        last = 0
        while True:
            look = partial(
                mark.unreached_manifests,
                repository=repository,
                pushed_before=await self._expired(),
                last=last,
                limit=_PAGE,
            )
            found = await self._look(look)
            for some in _batches(found):
                now = await self._time()
                await self._write(partial(mark.condemn_manifests, found=some, now=now), len(some))
            self.tally.condemned_manifests += len(found)
            if len(found) < _PAGE:
                return
            last = found[-1].id

    async def _mark_links(self, repository: int) -> None:
        last = ""
        while True:
            look = partial(
                mark.unused_links,
                repository=repository,
                linked_before=await self._expired(),
                last=last,
                limit=_PAGE,
            )
            found = await self._look(look)
            for some in _batches(found):
                condemn = partial(
                    mark.condemn_links,
                    repository=repository,
                    digests=some,
                    now=await self._time(),
                )
                await self._write(condemn, len(some))
            self.tally.condemned_links += len(found)
            if len(found) < _PAGE:
                return
            last = found[-1]

    async def _mark_blobs(self, last: str | None) -> None:
        after: str | None = last or ""
        seen = 0
        while after is not None:
            end = await self.database.read(partial(mark.page_end, last=after, length=_PAGE))
            before = await self._expired()
            look = partial(mark.unused_blobs, last=after, end=end, created_before=before)
            found = await self._look(look)
            for some in _batches(found):
                now = await self._time()
                await self._write(partial(mark.condemn_blobs, digests=some, now=now), len(some))
            self.tally.condemned_blobs += len(found)
            after, seen = end, seen + _PAGE
            if end is not None:
                await self.progress(seen, None, "blobs looked at")
                await self._checkpoint(1, end)

    async def _mark_unknown(self, _: Any) -> None:
        """Look at what lies in storage: a crash may have left bytes that no row knows, or a copy in a
        backend where nobody reads it, which ``placement`` removes."""
        old = clock.timestamp() - self.options.lease
        for name, backend in self.backends.all.items():
            batch: dict[Digest, Entry] = {}
            began = clock.monotonic()
            async with aclosing(backend.driver.list(layout.BLOBS)) as entries:
                async for entry in entries:
                    digest = layout.blob_digest(entry.path)
                    if digest is not None and entry.stat.modified <= old:
                        batch[digest] = entry
                    if len(batch) == _BATCH:
                        await self._condemn_unknown(name, batch)
                        batch.clear()
                        await self._rest(began)
                        began = clock.monotonic()
            await self._condemn_unknown(name, batch)

    async def _condemn_unknown(self, backend: str, batch: dict[Digest, Entry]) -> None:
        found = await self.database.read(partial(mark.unknown, digests=list(batch)))
        if found:
            sizes = [(d, entry.stat.size) for d, entry in batch.items() if d in found]
            now = await self._time()
            condemn = partial(mark.condemn_unknown, found=sizes, now=now, backend=backend)
            await self._write(condemn, len(sizes))
            self.tally.unknown += len(sizes)
        if self.backends.are_several:
            digests = [digest for digest in batch if digest not in found]
            look = partial(mark.misplaced, backend=backend, digests=digests)
            for digest in await self.database.read(look):
                size = batch[digest].stat.size
                note = partial(store.add_spare, digest=digest, backend=backend, size=size)
                await self._write(note, 1)

    # ── sweep ──

    async def _sweep_manifests(self, _: Any) -> None:
        if not self.options.delete_untagged:
            return
        removed = True
        while removed:  # what was part of something that went is free in the next round
            removed = await self._sweep_manifests_once()

    async def _sweep_manifests_once(self) -> bool:
        before, last, count = await self._expired(), 0, self.tally.manifests
        while ids := await self.database.read(
            partial(sweep.expired_manifests, before=before, last=last, limit=_BATCH)
        ):
            now = await self._time()
            work = partial(self._delete_manifests, ids=ids, before=before, now=now)
            swept = await self._write(work, len(ids))
            self.tally.manifests += len(swept.removed)
            self.tally.absolved += swept.absolved
            last = ids[-1]
        return self.tally.manifests > count

    def _delete_manifests(
        self, connection: Connection, ids: Sequence[int], before: float, now: float
    ) -> sweep.SweptManifests:
        refuse_adoption(connection)
        swept = sweep.delete_manifests(connection, ids, before, now)
        gone = [
            ManifestDeleted(at=now, repository=name, digest=digest)
            for name, digest in swept.removed
        ]
        self.outbox.append(connection, gone)
        return swept

    async def _sweep_links(self, _: Any) -> None:
        before = await self._expired()
        last = (0, "")
        while found := await self.database.read(
            partial(sweep.expired_links, before=before, last=last, limit=_BATCH)
        ):
            last = (found[-1].repository, found[-1].digest)
            repositories: dict[tuple[int, str], list[str]] = {}
            for link in found:
                repositories.setdefault((link.repository, link.name), []).append(link.digest)
            for (repository, name), digests in repositories.items():
                await self._sweep_repository(repository, name, digests, before)

    async def _sweep_repository(
        self, repository: int, name: str, digests: Sequence[str], before: float
    ) -> None:
        lease = self.options.lease

        def work(connection: Connection) -> sweep.Swept:
            refuse_adoption(connection)
            # A push may have begun long ago, and its client was told then what it need not send.
            busy = sweep.is_busy(connection, repository, name, since=before)
            limit = before - (PATIENCE - 1) * lease if busy else before
            return sweep.delete_links(connection, repository, digests, limit)

        swept = await self._write(work, len(digests))
        self.tally.links += swept.removed
        self.tally.absolved += swept.absolved

    async def _sweep_blobs(self, _: Any) -> None:
        last = sweep.ExpiredBlob(0.0, "")
        while True:
            began = clock.monotonic()
            now = await self._time()
            before, until = now - self.options.lease, now + _CLAIM
            found = await self.database.read(
                partial(sweep.expired_blobs, before=before, now=now, last=last, limit=_BATCH)
            )
            if not found:
                return
            last = found[-1]
            digests = [blob.digest for blob in found]
            doom = partial(self._doom, digests=digests, before=before, now=now, until=until)
            doomed, absolved = await self.database.write(doom)
            gone = await self._delete(doomed, began + _USABLE)
            if gone:
                names = [blob.digest for blob in gone]
                await self.database.write(partial(sweep.forget_blobs, digests=names, until=until))
            self.tally.absolved += absolved
            self.tally.blobs += len(gone)
            self.tally.freed += sum(blob.size for blob in gone)
            await self._checkpoint(5, None)
            await self.progress(self.tally.blobs, None, f"blobs removed, {self.tally.freed} bytes")
            await self._pause(len(found), began)

    def _doom(
        self,
        connection: Connection,
        digests: Sequence[str],
        before: float,
        now: float,
        until: float,
    ) -> tuple[list[sweep.Doomed], int]:
        refuse_adoption(connection)  # it may have begun since the run did
        return sweep.doom_blobs(connection, digests, before, now, until)

    async def _delete(self, doomed: Sequence[sweep.Doomed], deadline: float) -> list[sweep.Doomed]:
        """Those whose bytes are gone. After ``deadline`` (monotonic) none is touched any more."""
        places: dict[str, list[sweep.Doomed]] = {}
        for blob in doomed:
            places.setdefault(blob.backend, []).append(blob)
        gone: list[sweep.Doomed] = []
        for name, some in places.items():
            # One that is named no more fails blob by blob, and says so.
            backend = self.backends.all.get(name)
            in_time = clock.monotonic() <= deadline
            if not (backend and in_time and await self._deleted_together(backend.driver, some)):
                gone += await self._delete_apart(some, deadline)
            else:
                gone += some
        return gone

    async def _deleted_together(self, driver: StorageDriver, some: Sequence[sweep.Doomed]) -> bool:
        if not isinstance(driver, BatchDeletes):
            return False
        try:
            await driver.delete_all([layout.blob(blob.digest) for blob in some])
        except StorageError:
            return False  # one by one, to learn which it was
        return True

    async def _delete_apart(
        self, some: Sequence[sweep.Doomed], deadline: float
    ) -> list[sweep.Doomed]:
        limit = asyncio.Semaphore(_PARALLEL)

        async def delete(blob: sweep.Doomed) -> bool:
            async with limit:
                if clock.monotonic() > deadline:
                    return False
                try:
                    driver = self.backends[blob.backend].driver
                    await driver.delete(layout.blob(blob.digest))
                except PathNotFound:
                    return True
                except StorageError as error:
                    # One object that cannot go must not keep the rest; a later run tries again.
                    self.tally.failed += 1
                    await self.say(f"{blob.digest} is left in place: {error}")
                    return False
                return True

        done = await asyncio.gather(*map(delete, some))
        return [blob for blob, is_gone in zip(some, done, strict=True) if is_gone]


def _batches(found: Sequence[T]) -> list[Sequence[T]]:
    return [found[start : start + _BATCH] for start in range(0, len(found), _BATCH)]
