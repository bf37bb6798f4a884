"""How an adoption begins: the names of what there is, the state that readers see, and the job."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Final

from longshore.adoption import store
from longshore.adoption.links import LinkTree
from longshore.adoption.model import Trouble
from longshore.adoption.task import KEY, KIND
from longshore.db.database import Connection, Database
from longshore.jobs import queue
from longshore.oci.names import RepositoryName
from longshore.registry import store as registry
from longshore.registry.model import AdoptionState
from longshore.storage import layout
from longshore.storage.driver import StorageDriver
from longshore.telemetry import clock

_BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class Beginning:
    """``repositories`` have links in storage. ``already``: the adoption had begun before; ``job``
    does it, if it is not done."""

    state: AdoptionState
    repositories: int
    already: bool
    job: int | None = None


async def begin(database: Database, driver: StorageDriver) -> Beginning:
    """List the repositories in storage, mark the installation as adopting, add the job.

    The names come first, so that the catalog is complete from the first second; with no repository
    at all nothing is marked. May be repeated: an adoption that runs gets its job again if that died.
    Raises StorageError.
    """
    state = await database.read(registry.adoption_state)
    if state is AdoptionState.NOT_STARTED:
        await _list_repositories(database, LinkTree(driver))
    _, total = await database.read(store.counts)
    if total and state is not AdoptionState.FINISHED:
        job = await database.write(_start)
        if job is None:
            return Beginning(AdoptionState.FINISHED, total, already=True)
        return Beginning(AdoptionState.RUNNING, total, state is AdoptionState.RUNNING, job)
    return Beginning(state, total, state is not AdoptionState.NOT_STARTED)


async def is_wanted(database: Database, driver: StorageDriver) -> bool:
    """Whether storage has another registry's repositories and the database has nothing: at the cost
    of one question, and then of one look at storage."""

    def knows_nothing(connection: Connection) -> bool:
        state = registry.adoption_state(connection)
        return state is AdoptionState.NOT_STARTED and not registry.list_repositories(
            connection, "", 1
        )

    return await database.read(knows_nothing) and await has_links(driver)


async def has_links(driver: StorageDriver) -> bool:
    """Whether there is anything of distribution's beside blobs: one look at storage."""
    async with aclosing(driver.list(layout.REPOSITORIES)) as entries:
        async for _ in entries:
            return True
    return False


async def _list_repositories(database: Database, tree: LinkTree) -> None:
    names: list[RepositoryName] = []
    troubles: list[Trouble] = []
    async with aclosing(tree.repositories()) as found:
        async for one in found:
            if isinstance(one, Trouble):
                troubles.append(one)
            else:
                names.append(one)
            if len(names) + len(troubles) >= _BATCH:
                await database.write(partial(_remember, names=names, troubles=troubles))
                names, troubles = [], []
    await database.write(partial(_remember, names=names, troubles=troubles))
    await database.write(store.note_unknown_given)


def _remember(
    connection: Connection, names: Sequence[RepositoryName], troubles: Sequence[Trouble]
) -> None:
    store.add_linked(connection, names)
    store.note_troubles(connection, troubles)


def _start(connection: Connection) -> int | None:
    """The job; None when the adoption has ended since somebody looked: it must not begin again."""
    if registry.adoption_state(connection, lock=True) is AdoptionState.FINISHED:
        return None
    registry.set_adoption_state(connection, AdoptionState.RUNNING)
    return queue.enqueue(connection, KIND, {}, key=KEY, now=clock.timestamp())
