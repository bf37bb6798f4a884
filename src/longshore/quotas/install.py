"""What ``longshore.app`` calls: totals kept from the first start on, and the gate."""

import asyncio
from functools import partial
from typing import Final

from longshore.db.database import Connection, Database
from longshore.outbox.deferred import DeferredOutbox
from longshore.outbox.recording import Outbox
from longshore.quotas import store
from longshore.quotas.gate import LargestRepositories, QuotaGate
from longshore.quotas.model import UNLIMITED, Defaults, Limit, Resource
from longshore.quotas.settings import QuotasSettings
from longshore.system.store import read_settings

#: Keys of :mod:`longshore.system.catalogue`.
_STORAGE: Final = "storage_per_project"
_ENFORCED: Final = "quota_per_project_enable"


def prepare(database: Database, *, wanted: bool) -> None:
    """Keep totals from now on, counted once, if they are ``wanted`` and not kept yet; keep none
    otherwise. Nodes that start at once wait for one another. Blocks."""

    def arrange(connection: Connection) -> None:
        store.hold_still(connection)
        if not wanted:
            store.remove(connection)
        elif not store.is_installed(connection):
            store.install(connection)
            store.recount(connection)

    async def run() -> None:
        if await database.read(store.is_installed if wanted else store.is_absent):
            return
        await database.write(arrange)

    asyncio.run(run())


def recount(database: Database) -> None:
    """Count anew what is kept, after all rows were replaced. Blocks."""

    def work(connection: Connection) -> None:
        if store.is_installed(connection):
            store.recount(connection)

    asyncio.run(database.write(work))


def defaults(connection: Connection, settings: QuotasSettings) -> Defaults:
    """What counts for projects of which nothing else was said: what administrators have set while the registry
    runs, and otherwise config.yml."""
    known, _ = read_settings(connection, (_STORAGE, _ENFORCED))
    return Defaults(
        {
            Resource.STORAGE: Limit(known.get(_STORAGE, settings.storage or UNLIMITED)),
            Resource.REPOSITORIES: Limit(settings.repositories),
            Resource.TAGS: Limit(settings.tags),
        },
        settings.warning,
        enforced=known.get(_ENFORCED, True),
    )


def gate(
    database: Database, settings: QuotasSettings, outbox: Outbox, deferred: DeferredOutbox
) -> QuotaGate:
    """The gate of one process."""
    now = partial(defaults, settings=settings)
    return QuotaGate(database, now, outbox, deferred, LargestRepositories(database))
