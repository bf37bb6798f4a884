"""Counts pulls in memory and writes them in batches: no pull waits for that, and what was counted in the last
seconds is lost with a process that is killed."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from longshore.catalog import store
from longshore.db.database import Connection, Database
from longshore.oci.digest import Digest
from longshore.oci.errors import RegistryError
from longshore.oci.names import RepositoryName, Tag
from longshore.telemetry import clock

logger = logging.getLogger(__name__)

#: Every write makes other processes ask the database again, so it is not done more often, in seconds.
_INTERVAL: Final = 10.0
#: Different things in memory; what is pulled beyond them is not counted.
_MOST: Final = 50_000
_BATCH: Final = 500

#: (repository, digest, tag or empty) -> how often, and when last.
_Counts = dict[tuple[str, str, str], tuple[int, float]]


class PullCounts:
    """One per process."""

    def __init__(self, database: Database, *, interval: float = _INTERVAL) -> None:
        self._database = database
        self._interval = interval
        self._counts: _Counts = {}

    def pulled(self, repository: RepositoryName, digest: Digest, tag: Tag | None) -> None:
        """A manifest was sent. Never waits."""
        key = (repository, digest, tag or "")
        found = self._counts.get(key)
        if found is None and len(self._counts) >= _MOST:
            return
        self._counts[key] = ((found[0] if found else 0) + 1, clock.timestamp())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Writes while the context lasts, and what is left at its end."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.flush()

    async def flush(self) -> None:
        """Write what was counted before; what is pulled meanwhile waits for the next time, or a registry that is
        pulled from without pause would write without pause."""
        waiting = list(self._counts)
        while waiting:
            some = {key: self._counts.pop(key) for key in waiting[:_BATCH] if key in self._counts}
            del waiting[:_BATCH]
            try:
                await self._database.write(partial(_write, pulls=some), durable=False)
            except RegistryError as error:
                for key, (count, at) in some.items():
                    newer = self._counts.get(key, (0, at))
                    self._counts[key] = (count + newer[0], max(at, newer[1]))
                logger.warning("pulls wait for the database: %s", error)
                return

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            # A flush that has begun is finished: cut off, it might count twice.
            await asyncio.shield(self.flush())


def _write(connection: Connection, pulls: _Counts) -> None:
    """In the order of names: two processes never wait for each other."""
    for repository in sorted({name for name, _, _ in pulls}):
        count = 0
        artifacts: dict[str, float] = {}
        tags: dict[str, float] = {}
        for (name, digest, tag), (times, at) in sorted(pulls.items()):
            if name != repository:
                continue
            count += times
            artifacts[digest] = max(at, artifacts.get(digest, 0.0))
            if tag:
                tags[tag] = max(at, tags.get(tag, 0.0))
        store.count_pulls(connection, repository, count, artifacts, tags)
