"""The life of one process: what it opens, in which order, and closes in the other."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from longshore import background
from longshore.app import data_plane
from longshore.app.installation import Installation
from longshore.db import occupancy
from longshore.db.database import Connection, Database
from longshore.db.settings import DatabaseSettings
from longshore.http.settings import HTTPSettings
from longshore.outbox.model import AnyListener
from longshore.quotas import store as quota_store
from longshore.registry import store
from longshore.storage.backends import Backends
from longshore.storage.redirect_probe import RedirectProbe
from longshore.storage.watching import BackendWatch
from longshore.telemetry.install import Telemetry
from longshore.telemetry.settings import HealthSettings, LogSettings

#: What the database is asked now and then for gauges.
SAMPLES: Final[Mapping[str, Callable[[Connection], int]]] = {
    "longshore_uploads_open": store.count_uploads,
    "longshore_blobs_quarantined": store.count_quarantined,
    "longshore_quota_difference_bytes": quota_store.remembered_difference,
}


@dataclass(frozen=True, slots=True)
class Process:
    """What every process has, whether it serves or only works."""

    installation: Installation
    telemetry: Telemetry
    database: Database
    backends: Backends
    watches: Sequence[RedirectProbe | BackendWatch]
    listeners: Sequence[AnyListener]

    @classmethod
    def of(cls, installation: Installation, slot: int) -> "Process":
        """``slot`` is its number among those of the server."""
        configuration = installation.configuration
        telemetry = Telemetry(
            configuration[LogSettings],
            configuration[HealthSettings],
            metrics=configuration[HTTPSettings].debug.prometheus.enabled,
            shared=installation.shared,
            slot=slot,
        )
        database = Database(
            installation.database_url, pool_size=configuration[DatabaseSettings].poolsize
        )
        telemetry.health.require("database", database.ping)
        if telemetry.metrics:
            for name, count in SAMPLES.items():
                telemetry.metrics.sample(name, partial(database.read, count))
            receivers = background.audit_receivers(configuration)
            telemetry.metrics.sample_groups(partial(background.gauges, database, receivers))
        backends = data_plane.backends(configuration, telemetry)
        watches = data_plane.watches(configuration, backends, telemetry)
        listeners = background.event_listeners(
            configuration, database, backends, installation.sealing
        )
        return cls(installation, telemetry, database, backends, watches, listeners)

    @asynccontextmanager
    async def running(
        self, *others: Callable[[], AbstractAsyncContextManager[None]], works: bool
    ) -> AsyncIterator[None]:
        """Its life: open in this order, close in the other. ``works``: on jobs, too."""
        async with AsyncExitStack() as stack:
            await asyncio.to_thread(self.database.open)
            stack.push_async_callback(asyncio.to_thread, self.database.close)
            if not self.installation.read_only:
                await asyncio.to_thread(stack.enter_context, occupancy.sharing(self.database))
            await self.backends.open()
            stack.push_async_callback(self.backends.close)
            for other in others:
                await stack.enter_async_context(other())
            if works and not self.installation.read_only:
                await stack.enter_async_context(self._work())
            await stack.enter_async_context(self.telemetry.running())
            for watch in self.watches:
                stack.push_async_callback(_end, asyncio.create_task(watch.run()))
            yield

    def _work(self) -> AbstractAsyncContextManager[None]:
        return background.work(
            self.installation.configuration,
            self.database,
            self.backends,
            self.listeners,
            self.installation.encryption,
            self.installation.sealing,
            self.telemetry.metrics,
        )


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
