"""Uploads that nobody continues end, and their bytes are freed.

A scheduled job. Whoever removes the row frees the bytes, so two of them would not harm one another.
Staged bytes that no row knows (a crash between the two) go as well, once they are as old.
"""

import logging
from dataclasses import dataclass
from functools import partial
from typing import Final

from longshore.db.database import Database
from longshore.jobs.model import JobContext
from longshore.registry import store
from longshore.storage.backends import Backends
from longshore.storage.driver import AbandonedUploads, StorageDriver
from longshore.telemetry import clock

logger = logging.getLogger(__name__)

_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class UploadExpiry:
    """The task that removes uploads idle for ``age`` seconds.

    Keys of distribution's ``storage.maintenance.uploadpurging``.
    """

    database: Database
    backends: Backends
    age: float
    dry_run: bool = False
    kind: str = "upload-purge"
    concurrency: int = 1

    async def run(self, context: JobContext) -> None:
        count = await self.once()
        await context.log(f"{count} uploads {'would be' if self.dry_run else 'were'} removed")

    async def once(self) -> int:
        """One round; how many uploads were removed (or would be, in a dry run)."""
        before = clock.timestamp() - self.age
        removed = 0
        while True:
            idle = await self.database.read(
                partial(store.idle_uploads, before=before, limit=_BATCH)
            )
            if self.dry_run:
                logger.info("%d idle uploads would be removed", len(idle))
                return len(idle)
            for upload_id, backend in idle:
                removed += await self._remove(upload_id, backend, before)
            if len(idle) < _BATCH:
                break
        for found in self.backends.all.values():
            if isinstance(found.driver, AbandonedUploads):
                removed += await found.driver.remove_abandoned(before)
            removed += await self._discard_unknown(found.driver, before)
        return removed

    async def _remove(self, upload_id: str, backend: str, before: float) -> int:
        driver = self.backends[backend].driver
        # A power failure may bring the row back without its bytes; then it expires once more.
        gone = await self.database.write(
            partial(store.delete_idle_upload, upload_id=upload_id, before=before), durable=False
        )
        if gone:
            await driver.discard(upload_id)
            logger.info("upload %s expired and was removed", upload_id)
        return int(gone)

    async def _discard_unknown(self, driver: StorageDriver, before: float) -> int:
        old = [upload async for upload, modified in driver.list_staged() if modified < before]
        removed = 0
        for start in range(0, len(old), _BATCH):
            some = old[start : start + _BATCH]
            known = await self.database.read(partial(store.known_uploads, ids=some))
            for upload_id in some:
                if upload_id not in known:
                    await driver.discard(upload_id)
                    logger.info("staged bytes of upload %s, which nobody knows, removed", upload_id)
                    removed += 1
        return removed
