"""Removing copies that nobody reads any more."""

import logging
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from longshore.db.database import Database
from longshore.jobs.model import JobContext, JobFailed
from longshore.oci.digest import Digest
from longshore.placement import store
from longshore.placement.model import REMOVAL, Stored
from longshore.storage import layout
from longshore.storage.backends import Backends
from longshore.storage.driver import PathNotFound, StorageError

logger = logging.getLogger(__name__)

_BATCH: Final = 100


@dataclass(frozen=True, slots=True)
class SpareCopyRemoval:
    """The task. ``grace`` is how many seconds a copy stays after it stopped being read."""

    database: Database
    backends: Backends
    grace: float
    kind: str = REMOVAL
    concurrency: int = 1

    async def run(self, context: JobContext) -> None:
        """Raises JobFailed when a storage refused."""
        removed, freed, failed = 0, 0, 0
        while copies := await self.database.read(
            partial(store.due_spares, grace=self.grace, limit=_BATCH)
        ):
            before = removed
            for copy in copies:
                try:
                    gone = await self._remove(copy)
                except StorageError as error:
                    await context.log(f"{copy.digest}: {error}")
                    failed += 1
                    continue
                removed += 1
                freed += copy.size if gone else 0
                await context.progress(removed, None, f"copies removed, {freed} bytes")
            if removed == before:
                break
        if not removed and not failed:
            context.leave_no_trace()
        await context.log(f"{freed} bytes freed")
        if failed:
            raise JobFailed(f"{failed} copies could not be removed; the next run tries again")

    async def _remove(self, copy: Stored) -> bool:
        driver = self.backends[copy.backend].driver
        if not await self.database.write(partial(store.begin_removal, copy=copy)):
            return False
        with suppress(PathNotFound):
            await driver.delete(layout.blob(Digest(copy.digest)))
        await self.database.write(partial(store.end_removal, copy=copy))
        return True
