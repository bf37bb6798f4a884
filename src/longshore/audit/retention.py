"""The job that removes rows when they are old. What is left still verifies: the end that was cut is
sealed."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Final

from longshore.audit import store
from longshore.audit.sealing import Sealing
from longshore.db.database import Database
from longshore.jobs.model import JobContext
from longshore.telemetry import clock

KIND: Final = "audit-retention"
_BATCH: Final = 2000


@dataclass(frozen=True, slots=True)
class AuditRetention:
    """The task. ``retention`` is in seconds; 0 removes nothing. What one of ``receivers`` has not had
    stays."""

    database: Database
    sealing: Sealing
    retention: float
    receivers: Collection[str] = ()
    kind: str = KIND
    concurrency: int = 1

    async def run(self, context: JobContext) -> None:
        if self.retention:
            before = clock.timestamp() - self.retention
            removed = await remove_older(self.database, self.sealing, before, self.receivers)
            if removed:
                await context.log(f"{removed} rows of the audit log were older")


async def remove_older(
    database: Database,
    sealing: Sealing,
    before: float,
    receivers: Collection[str] = (),
    only: store.Only = store.everything,
) -> int:
    """Remove rows from the beginning that are older than ``before``, some at a time, up to the first that
    one of ``receivers`` has not had, or that is not among ``only``; how many. Raises Tampered."""
    total = 0
    work = partial(
        store.remove_older,
        sealing=sealing,
        before=before,
        limit=_BATCH,
        receivers=receivers,
        only=only,
    )
    while removed := await database.write(work):
        total += removed
    return total
