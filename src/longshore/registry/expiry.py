"""Uploads that nobody continues end, and their bytes are freed.

Every worker runs this; whoever removes the row frees the bytes, so no lock is needed. Staged bytes
that no row knows (a crash between the two) go as well, once they are as old.
"""

import asyncio
import logging
import random
from dataclasses import dataclass
from functools import partial
from typing import Final

from longshore.db.database import Database
from longshore.oci.errors import RegistryError
from longshore.registry import store
from longshore.storage.driver import StorageDriver, StorageError
from longshore.telemetry import clock

logger = logging.getLogger(__name__)

_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class UploadExpiry:
    """Uploads idle for ``age`` seconds are removed, looked for every ``interval`` seconds.

    Keys of distribution's ``storage.maintenance.uploadpurging``.
    """

    database: Database
    driver: StorageDriver
    age: float
    interval: float
    dry_run: bool = False

    async def run(self) -> None:
        """Until cancelled. A failing round is logged; the next one tries again."""
        while True:
            # Workers start together; they need not look together.
            await asyncio.sleep(self.interval * random.uniform(0.9, 1.1))  # noqa: S311 - no secret
            try:
                await self.once()
            except (RegistryError, StorageError):
                logger.exception("removing idle uploads failed; trying again later")

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
            for upload_id in idle:
                removed += await self._remove(upload_id, before)
            if len(idle) < _BATCH:
                break
        return removed + await self._discard_unknown(before)

    async def _remove(self, upload_id: str, before: float) -> int:
        # A power failure may bring the row back without its bytes; then it expires once more.
        gone = await self.database.write(
            partial(store.delete_idle_upload, upload_id=upload_id, before=before), durable=False
        )
        if gone:
            await self.driver.discard(upload_id)
            logger.info("upload %s expired and was removed", upload_id)
        return int(gone)

    async def _discard_unknown(self, before: float) -> int:
        old = [upload async for upload, modified in self.driver.list_staged() if modified < before]
        removed = 0
        for start in range(0, len(old), _BATCH):
            some = old[start : start + _BATCH]
            known = await self.database.read(partial(store.known_uploads, ids=some))
            for upload_id in some:
                if upload_id not in known:
                    await self.driver.discard(upload_id)
                    logger.info("staged bytes of upload %s, which nobody knows, removed", upload_id)
                    removed += 1
        return removed
