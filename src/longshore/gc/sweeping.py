"""The second half of a run: remove what has been condemned for a lease, unless it is used after all."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from longshore.db.clock import database_time
from longshore.db.database import Connection
from longshore.gc.run import Run
from longshore.gc.store import sweep
from longshore.gc.unknown import refuse_adoption
from longshore.registry.events import ManifestDeleted
from longshore.storage import layout
from longshore.storage.driver import BatchDeletes, PathNotFound, StorageDriver, StorageError
from longshore.telemetry import clock

#: A link outlives pushes to its repository for this many leases, then it goes.
PATIENCE: Final = 12
#: How long one collector has for bytes that it announced, and the part of it that it uses (seconds).
#: A killed one keeps a digest from being pushed again for as long.
_CLAIM: Final = 150.0
_USABLE: Final = 60.0
#: Objects that are being deleted at a time.
_PARALLEL: Final = 16


class Sweeping:
    """The phases that remove. Where an interrupted run was does not matter: what went is gone."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._tally = run.tally
        self._batch = run.options.batch

    async def manifests(self, _: Any) -> None:
        """Only if those without a tag are to go."""
        if not self._run.options.delete_untagged:
            return
        removed = True
        while removed:  # what was part of something that went is free in the next round
            removed = await self._manifests_once()

    async def _manifests_once(self) -> bool:
        before, last, count = await self._run.expired(), 0, self._tally.manifests
        while ids := await self._run.look(
            partial(sweep.expired_manifests, before=before, last=last, limit=self._batch)
        ):
            work = partial(self._delete_manifests, ids=ids, before=before)
            swept = await self._run.change(work, len(ids))
            self._tally.manifests += len(swept.removed)
            self._tally.absolved += swept.absolved
            last = ids[-1]
        return self._tally.manifests > count

    def _delete_manifests(
        self, connection: Connection, ids: Sequence[int], before: float
    ) -> sweep.SweptManifests:
        refuse_adoption(connection)
        now = database_time(connection)
        swept = sweep.delete_manifests(connection, ids, before, now)
        gone = [
            ManifestDeleted(at=now, repository=name, digest=digest)
            for name, digest in swept.removed
        ]
        self._run.outbox.append(connection, gone)
        return swept

    async def links(self, _: Any) -> None:
        """Take blobs away from repositories that do not need them."""
        before = await self._run.expired()
        last = (0, "")
        while found := await self._run.look(
            partial(sweep.expired_links, before=before, last=last, limit=self._batch)
        ):
            last = (found[-1].repository, found[-1].digest)
            repositories: dict[tuple[int, str], list[str]] = {}
            for link in found:
                repositories.setdefault((link.repository, link.name), []).append(link.digest)
            work = partial(self._delete_links, repositories=repositories, before=before)
            for swept in await self._run.change(work, len(found)):
                self._tally.links += swept.removed
                self._tally.absolved += swept.absolved

    def _delete_links(
        self,
        connection: Connection,
        repositories: Mapping[tuple[int, str], Sequence[str]],
        before: float,
    ) -> list[sweep.Swept]:
        refuse_adoption(connection)
        swept = []
        for (repository, name), digests in repositories.items():
            # A push may have begun long ago, and its client was told then what it need not send.
            busy = sweep.is_busy(connection, repository, name, since=before)
            limit = before - (PATIENCE - 1) * self._run.options.lease if busy else before
            swept.append(sweep.delete_links(connection, repository, digests, limit))
        return swept

    async def blobs(self, _: Any) -> None:
        """Bytes go: announced, removed from storage, then forgotten."""
        last = sweep.ExpiredBlob(0.0, "")
        while True:
            began = clock.monotonic()
            now = await self._run.database.read(database_time)
            before, until = now - self._run.options.lease, now + _CLAIM
            found = await self._run.database.read(
                partial(sweep.expired_blobs, before=before, now=now, last=last, limit=self._batch)
            )
            if not found:
                return
            last = found[-1]
            digests = [blob.digest for blob in found]
            doom = partial(self._doom, digests=digests, before=before, now=now, until=until)
            doomed, absolved = await self._run.database.write(doom)
            gone = await self._delete(doomed, began + _USABLE)
            if gone:
                names = [blob.digest for blob in gone]
                forget = partial(sweep.forget_blobs, digests=names, until=until)
                await self._run.database.write(forget)
            self._tally.absolved += absolved
            self._tally.blobs += len(gone)
            self._tally.freed += sum(blob.size for blob in gone)
            await self._run.checkpoint(None)
            message = f"blobs removed, {self._tally.freed} bytes"
            await self._run.progress(self._tally.blobs, None, message)
            await self._run.pause(len(found), began)

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
            backend = self._run.backends.all.get(name)
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
                return await self._delete_one(blob, deadline)

        began = clock.monotonic()
        async with asyncio.TaskGroup() as group:
            tasks = []
            for count, blob in enumerate(some, 1):
                tasks.append(group.create_task(delete(blob)))
                await self._run.pause(count, began)
        return [blob for blob, task in zip(some, tasks, strict=True) if task.result()]

    async def _delete_one(self, blob: sweep.Doomed, deadline: float) -> bool:
        if clock.monotonic() > deadline:
            return False
        try:
            driver = self._run.backends[blob.backend].driver
            await driver.delete(layout.blob(blob.digest))
        except PathNotFound:
            return True
        except StorageError as error:
            # One object that cannot go must not keep the rest; a later run tries again.
            self._tally.failed += 1
            await self._run.say(f"{blob.digest} is left in place: {error}")
            return False
        return True
