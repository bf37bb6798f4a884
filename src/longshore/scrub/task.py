"""The job that scrubs."""

from dataclasses import dataclass, replace
from typing import Final

from longshore.db.database import Database
from longshore.jobs.model import JobContext, JobFailed
from longshore.oci.digest import Digest
from longshore.scrub.verification import Scrub, ScrubOptions, StorageEmpty
from longshore.storage.backends import Backends

KIND: Final = "scrub"


@dataclass(frozen=True, slots=True)
class ScrubTask:
    """The task. Its payload may name ``digests``, or say ``all`` to read what is sound, too."""

    database: Database
    backends: Backends
    options: ScrubOptions
    kind: str = KIND
    concurrency: int = 1

    async def run(self, context: JobContext) -> None:
        """One run. Raises JobFailed when this is not the storage that the rows tell of."""
        asked = context.job.payload
        options = replace(self.options, interval=0.0) if asked.get("all") else self.options
        scrub = Scrub(
            self.database,
            self.backends,
            options,
            say=context.log,
            remember=context.checkpoint,
            progress=context.progress,
        )
        digests = [Digest(digest) for digest in asked.get("digests", ())]
        try:
            tally = await (scrub.verify(digests) if digests else scrub.run(context.state))
        except StorageEmpty as error:
            raise JobFailed(str(error)) from error
        await context.log(str(tally))
