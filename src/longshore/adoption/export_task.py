"""The job that writes links back: what has changed, now and then, or everything, when asked to."""

from dataclasses import dataclass
from typing import Final

from longshore.adoption.export import Export
from longshore.adoption.reading import each
from longshore.db.database import Connection, Database
from longshore.jobs import queue
from longshore.jobs.model import JobContext
from longshore.registry import store as registry
from longshore.registry.model import AdoptionState
from longshore.storage.driver import StorageDriver
from longshore.telemetry import clock

KIND: Final = "export-links"
#: Of the job that looks at every repository.
KEY: Final = "everything"
_EVERYTHING: Final = "everything"
_PARALLEL: Final = 4


@dataclass(frozen=True, slots=True)
class LinkExport:
    """The task. Whatever a run that died has done is seen by the next, in storage."""

    database: Database
    driver: StorageDriver
    kind: str = KIND
    concurrency: int = 1

    async def run(self, context: JobContext) -> None:
        """Raises StorageError when the medium fails; then it is tried again."""
        if await self.database.read(registry.adoption_state) is AdoptionState.RUNNING:
            # The links are newer than the rows still.
            await context.log("nothing was written: another registry's data is being taken over")
            return
        everything = bool(context.job.payload.get(_EVERYTHING))
        export = Export(self.database, self.driver, everything=everything)
        async for page in export.pages():
            await each(page, export.repository, _PARALLEL)
            await context.progress(export.report.repositories, None, "repositories")
        await export.forgotten()
        for name in export.report.foreign:
            await context.log(
                f"{name}: left as it is, because storage has links of another registry there; "
                "`longshore adopt` takes them over"
            )
        await context.log(str(export.report))


def enqueue_everything(connection: Connection) -> int:
    """Add the job that looks at every repository; its id."""
    payload = {_EVERYTHING: True}
    return queue.enqueue(connection, KIND, payload, key=KEY, now=clock.timestamp())
