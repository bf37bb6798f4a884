"""Serves what an adoption has not come to yet: the :class:`~longshore.registry.upstream.Upstream` of a
server whose storage is being taken over."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from cachetools import LRUCache

from longshore.adoption import store
from longshore.adoption.beginning import is_wanted
from longshore.adoption.indexing import Indexer
from longshore.db.database import Database
from longshore.oci.digest import Digest
from longshore.oci.errors import RegistryError, Unavailable
from longshore.oci.names import RepositoryName, Tag
from longshore.registry import store as registry
from longshore.registry.model import AdoptionState
from longshore.storage.driver import StorageDriver, StorageError

if TYPE_CHECKING:
    from longshore.db.generation import Generation

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: How often a process looks whether an adoption has begun or ended, in seconds.
POLL: Final = 2.0
#: How long a client is kept waiting for a repository to be complete, in seconds.
PATIENCE: Final = 25.0
_MAX_SETTLED: Final = 100_000
#: Whole repositories that one process makes complete at a time, because somebody asks for them.
_PARALLEL: Final = 4


class OnDemand:
    """One per process."""

    def __init__(
        self,
        database: Database,
        driver: StorageDriver,
        *,
        poll: float = POLL,
        patience: float = PATIENCE,
    ) -> None:
        self.active = False
        self._database = database
        self._driver = driver
        self._indexer = Indexer(database, driver)
        self._poll = poll
        self._patience = patience
        #: Repositories of which the rows say all; that never changes while an adoption runs.
        self._settled: LRUCache[RepositoryName, bool] = LRUCache(_MAX_SETTLED)
        self._under_way: dict[object, asyncio.Task[bool]] = {}
        self._places = asyncio.Semaphore(_PARALLEL)

    @asynccontextmanager
    async def running(self, *, suggest: bool = False) -> AsyncIterator[None]:
        """Follows the state of the adoption. ``suggest``: say so if one is wanted."""
        await self.look()
        if suggest:
            await self._suggest()
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            waiting = [watch, *self._under_way.values()]
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def look(self) -> AdoptionState:
        """Learn whether an adoption runs: the first, or another one by `longshore reindex`."""
        state = await self._database.read(registry.adoption_state)
        if state is not AdoptionState.RUNNING:
            self._settled.clear()
        self.active = state is AdoptionState.RUNNING
        return state

    async def find_manifest(self, name: RepositoryName, reference: Tag | Digest) -> bool:
        """Index the one manifest, unless the rows say all of the repository."""
        return await self._find(name, reference, self._indexer.manifest)

    async def find_blob(self, name: RepositoryName, digest: Digest) -> bool:
        """Index the link to one blob, unless the rows say all of the repository."""
        return await self._find(name, digest, self._indexer.blob)

    async def complete(self, name: RepositoryName) -> None:
        """Index the whole repository. Raises Unavailable if that takes longer than a client would
        wait; it goes on, so that the next request finds more."""
        if name in self._settled:
            return
        if await self._is_waiting(name):
            work = self._once(("all of", name), partial(self._index, name))
            done, _ = await asyncio.wait({work}, timeout=self._patience)
            if not done:
                raise Unavailable(
                    f"repository {name!r} is just being taken over from another registry and is "
                    "large: try again in a moment (pulls from it work meanwhile)",
                    headers={"Retry-After": "10"},
                )
            await work
        self._settled[name] = True

    async def names(self, last: str, limit: int) -> Sequence[str]:
        """Repositories that still wait."""
        return await self._database.read(partial(store.waiting, last=last, limit=limit))

    async def _find(
        self,
        name: RepositoryName,
        reference: T,
        find: Callable[[RepositoryName, T], Awaitable[bool]],
    ) -> bool:
        # It may have become complete since the miss: then its rows are asked once more.
        if name in self._settled:
            return True
        if not await self._is_waiting(name):
            self._settled[name] = True
            return True
        return await asyncio.shield(
            self._once((find, name, reference), partial(find, name, reference))
        )

    async def _is_waiting(self, name: RepositoryName) -> bool:
        return await self._database.read(partial(store.is_waiting, name=name))

    async def _index(self, name: RepositoryName) -> bool:
        async with self._places:
            await self._indexer.repository(name)
        return True

    def _once(self, key: object, work: Callable[[], Awaitable[bool]]) -> "asyncio.Task[bool]":
        """The task that does ``work``, or the one that does the same already. It goes on when
        whoever asked has gone."""
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(_awaited(work))
            self._under_way[key] = task
            task.add_done_callback(partial(self._ended, key))
        return task

    def _ended(self, key: object, task: "asyncio.Task[bool]") -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # whoever waits gets it; nobody need wait any more

    async def _suggest(self) -> None:
        try:
            wanted = await is_wanted(self._database, self._driver)
        except (RegistryError, StorageError) as error:
            logger.debug("whether an adoption is wanted cannot be told: %s", error)
            return
        if wanted:
            logger.warning(
                "storage holds repositories that this database does not know, so they are not "
                "served: take them over with `longshore adopt CONFIG`, also while this server runs"
            )

    async def _watch(self) -> None:
        seen: Generation | None = None
        while True:
            await asyncio.sleep(self._poll)
            generation = await self._database.generation()
            if generation is not None and generation == seen:
                continue
            with suppress(RegistryError):
                await self.look()
                seen = generation


async def _awaited(work: Callable[[], Awaitable[bool]]) -> bool:
    return await work()
