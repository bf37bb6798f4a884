"""Is this storage ours? Everything in the storage of another registry would look unused."""

import math
from contextlib import aclosing

from longshore.db.database import Connection, Database
from longshore.gc.store import offline as store
from longshore.registry.model import AdoptionState
from longshore.registry.store import adoption_state
from longshore.storage import layout
from longshore.storage.backends import DEFAULT, Backends
from longshore.storage.driver import StorageDriver


class StorageUnknown(Exception):
    """Storage holds what the database never knew of: to collect would be to delete all of it."""


class AdoptionRunning(Exception):
    """The rows do not know yet what of another registry's storage is in use."""


def refuse_adoption(connection: Connection) -> AdoptionState:
    """The state of the adoption. Raises AdoptionRunning if it is just that."""
    state = adoption_state(connection)
    if state is AdoptionState.RUNNING:
        raise AdoptionRunning(
            "the data of another registry is still being taken over (longshore adopt): nothing "
            "is collected until that has ended"
        )
    return state


async def refuse_unknown(database: Database, backends: Backends, before: float = math.inf) -> None:
    """Raise StorageUnknown when another registry has written to a backend what no row knows, and
    AdoptionRunning while rows are made of that.

    What is younger than ``before`` (POSIX seconds) may belong to the first push of all.
    """
    state = await database.read(refuse_adoption)
    for name, backend in backends.all.items():
        # Where an adoption has ended, what no row knows could not be taken over, and was reported.
        if name != DEFAULT or state is AdoptionState.NOT_STARTED:
            await _refuse(database, backend.driver, before)


async def _refuse(database: Database, driver: StorageDriver, before: float) -> None:
    known = {name for _, name in await database.read(store.repositories_in_order)}
    async with aclosing(driver.list(layout.REPOSITORIES)) as links:
        async for link in links:
            name = layout.linked_manifest_repository(link.path)
            if name is not None and name not in known:
                raise StorageUnknown(
                    f"storage has manifests of repository {name!r}, which the database does not "
                    "know: another registry has written there, and its blobs would be deleted. "
                    "Is longshore.database.url right, and was that registry taken over?"
                )
    if known:
        return
    async with aclosing(driver.list(layout.BLOBS)) as blobs:
        async for entry in blobs:
            if entry.stat.modified > before:
                continue
            raise StorageUnknown(
                "storage has blobs, but nothing was ever pushed to this database, so all of "
                "them would be deleted. Is longshore.database.url right?"
            )
