"""The job that collects."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from longshore.db.database import Database
from longshore.gc.collection import Collection, CollectionOptions
from longshore.gc.offline import OfflineCollection
from longshore.gc.store import mark
from longshore.gc.unknown import AdoptionRunning, StorageUnknown
from longshore.jobs.model import JobContext, JobFailed
from longshore.outbox.recording import Outbox
from longshore.storage.backends import Backends

KIND: Final = "gc"


@dataclass(frozen=True, slots=True)
class CollectionTask:
    """The task. Its payload may say ``delete_untagged``, otherwise ``options`` decide, and ``dry_run``: only
    say what is unused."""

    database: Database
    backends: Backends
    options: CollectionOptions
    outbox: Outbox = field(default_factory=Outbox)
    kind: str = KIND
    concurrency: int = 1

    async def run(self, context: JobContext) -> None:
        """One run. Raises JobFailed when this storage must not be collected."""
        asked = context.job.payload.get("delete_untagged")
        options = self.options if asked is None else replace(self.options, delete_untagged=asked)
        if context.job.payload.get("dry_run"):
            await self._look(context, delete_untagged=options.delete_untagged)
            return
        collection = Collection(
            self.database,
            self.backends,
            options,
            say=context.log,
            remember=context.checkpoint,
            progress=context.progress,
            outbox=self.outbox,
        )
        try:
            tally = await collection.run(context.state)
        except StorageUnknown as error:
            raise JobFailed(f"nothing was removed: {error}") from error
        except AdoptionRunning as error:
            await context.log(str(error))
            return
        await context.log(str(tally))
        waiting = await self.database.read(mark.waiting)
        if waiting.blobs and waiting.first is not None and waiting.last is not None:
            first, last = (_moment(at + self.options.lease) for at in (waiting.first, waiting.last))
            await context.log(
                f"waiting: {waiting.blobs} blobs, {waiting.size} bytes; free from {first} to {last}"
            )

    async def _look(self, context: JobContext, *, delete_untagged: bool) -> None:
        run = OfflineCollection(
            self.database, self.backends, _quiet, dry_run=True, delete_untagged=delete_untagged
        )
        try:
            report = await run.run()
        except (StorageUnknown, AdoptionRunning) as error:
            raise JobFailed(str(error)) from error
        await context.log(
            f"unused: {report.blobs} blobs, {report.freed} bytes, {report.links} links, "
            f"{report.manifests} manifests; in use: {report.marked} blobs and manifests"
        )


def _quiet(_: str) -> None:
    """The lines that distribution's command prints are not wanted here."""


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
