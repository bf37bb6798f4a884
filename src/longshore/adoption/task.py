"""The job that makes rows of everything, repository by repository."""

from dataclasses import dataclass, field
from functools import partial
from typing import Final

from longshore.adoption import store
from longshore.adoption.indexing import Indexer
from longshore.adoption.reading import each
from longshore.db.database import Connection, Database
from longshore.jobs.model import JobContext
from longshore.oci.names import RepositoryName
from longshore.registry import store as registry
from longshore.registry.model import AdoptionState
from longshore.storage.driver import StorageDriver, StorageError

KIND: Final = "adoption"
#: There is at most one such job.
KEY: Final = "adoption"
_BATCH: Final = 200
#: Repositories at a time: small ones spend most of their time waiting for the medium.
_PARALLEL: Final = 4


class RepositoriesLeft(Exception):
    """Storage failed for some repositories; they are tried again."""


@dataclass(frozen=True, slots=True)
class Adoption:
    """The task. It needs no checkpoint: which repositories are done, and which manifests of one, the
    rows say."""

    database: Database
    driver: StorageDriver
    kind: str = KIND
    concurrency: int = 1

    async def run(self, context: JobContext) -> None:
        """Until no repository waits. Raises RepositoriesLeft when storage failed for one; the
        others are done then."""
        if await self.database.read(registry.adoption_state) is not AdoptionState.RUNNING:
            await context.log("nothing to do: no adoption is running")
            return
        run = _Run(context, Indexer(self.database, self.driver))
        run.done, run.total = await self.database.read(store.counts)
        last = ""
        while names := await self.database.read(partial(store.waiting, last=last, limit=_BATCH)):
            last = names[-1]
            await each(names, run.repository, _PARALLEL)
        if run.failed:
            raise RepositoriesLeft(
                f"storage failed for {run.failed} of {run.total} repositories, which are tried again"
            )
        await self.database.write(_finish)
        troubles = await self.database.read(store.count_troubles)
        await context.progress(run.done, run.total, "repositories")
        await context.log(
            f"{run.total} repositories were taken over; {troubles} items were left out"
            + (": `longshore adopt --status` lists them" if troubles else "")
        )


def _finish(connection: Connection) -> None:
    if store.finish_adoption(connection):
        store.forget_given_tags(connection)


@dataclass(slots=True)
class _Run:
    context: JobContext
    indexer: Indexer
    done: int = 0
    total: int = 0
    failed: int = 0
    items: dict[str, int] = field(default_factory=dict)
    finished_items: int = 0

    async def repository(self, name: str) -> None:
        """One repository, whatever comes of it."""
        try:
            await self.indexer.repository(RepositoryName(name), partial(self._progress, name))
        except StorageError as error:
            self.failed += 1
            await self.context.log(f"{name}: {error}")
        else:
            self.done += 1
        self.finished_items += self.items.pop(name, 0)

    async def _progress(self, name: str, items: int) -> None:
        self.items[name] = items
        count = self.finished_items + sum(self.items.values())
        message = f"repositories, {count} manifests, layers and tags, now {name}"
        await self.context.progress(self.done, self.total, message)
