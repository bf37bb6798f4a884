"""Rows that an administrator asks to have removed, once or again and again: Harbor's purge of its log.

The log is a chain, of which only the beginning can be cut off. So a purge that is for some kinds of rows stops at
the first row of another kind: it never removes more than it was asked to.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from longshore.audit import store
from longshore.audit.model import Entry
from longshore.audit.retention import remove_older
from longshore.audit.sealing import Sealing
from longshore.db.database import Database
from longshore.jobs.model import JobContext
from longshore.telemetry import clock

KIND: Final = "audit-purge"
#: Of any kind.
EVERYTHING: Final = "*"
_BATCH: Final = 2000
_HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Purge:
    """What is to go: rows older than ``hours`` of one of ``kinds``: EVERYTHING, an operation such as ``pull``, or one
    with what it was done to, such as ``create_artifact``. ``dry_run``: they are only counted."""

    hours: int
    kinds: tuple[str, ...] = (EVERYTHING,)
    dry_run: bool = False

    def to_payload(self) -> dict[str, Any]:
        """What a job carries."""
        return {"hours": self.hours, "kinds": list(self.kinds), "dry_run": self.dry_run}

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Self:
        """What :meth:`to_payload` made."""
        kinds = tuple(payload.get("kinds", (EVERYTHING,)))
        return cls(int(payload["hours"]), kinds, bool(payload.get("dry_run")))

    def covers(self, entry: Entry) -> bool:
        """Whether a row may go when it is old enough."""
        kind = f"{entry.operation}_{entry.resource_type}"
        return any(one in (EVERYTHING, entry.operation, kind) for one in self.kinds)


@dataclass(frozen=True, slots=True)
class AuditPurge:
    """The task. What one of ``receivers`` has not had stays."""

    database: Database
    sealing: Sealing
    receivers: Collection[str] = ()
    kind: str = KIND
    concurrency: int = 1

    async def run(self, context: JobContext) -> None:
        purge = Purge.from_payload(context.job.payload)
        before = clock.timestamp() - purge.hours * _HOUR
        if purge.dry_run:
            count = await self._count(purge, before)
            await context.log(f"{count} rows would be removed")
        else:
            count = await remove_older(
                self.database, self.sealing, before, self.receivers, purge.covers
            )
            await context.log(f"{count} rows were removed")
        if (kept := await self._kept(purge, before)) is not None:
            await context.log(kept)

    async def _count(self, purge: Purge, before: float) -> int:
        total, after = 0, 0
        while True:
            count, last, _ = await self._look(purge, before, after, _BATCH)
            if last is None:
                return total
            total, after = total + count, last.id

    async def _kept(self, purge: Purge, before: float) -> str | None:
        """Why a row that is old enough stays, and all behind it."""
        after = 0
        while True:
            _, last, kept = await self._look(purge, before, after, _BATCH)
            if kept is not None:
                why = "one of longshore.audit.forward has not had it"
                if not purge.covers(kept):
                    why = f"a purge of {', '.join(purge.kinds)} leaves it"
                what = f"{kept.operation}_{kept.resource_type}"
                return f"row {kept.id} ({what}) is older and stays, and all behind it: {why}"
            if last is None:
                return None
            after = last.id

    async def _look(self, purge: Purge, before: float, after: int, limit: int) -> Any:
        return await self.database.read(
            lambda connection: store.removable(
                connection, after, before, limit, self.receivers, purge.covers
            )
        )
