"""`longshore reindex`: the rows made anew from storage alone. Nothing else may be at work."""

from functools import partial

from longshore.adoption import store
from longshore.adoption.beginning import Beginning, begin, has_links
from longshore.db.database import Database
from longshore.storage.driver import StorageDriver

_PAGE = 500


class RebuildRefused(Exception):
    """Something would be lost; the message says what, and how to go on."""


async def rebuild(
    database: Database, driver: StorageDriver, *, replace: bool, discard: bool
) -> Beginning:
    """Forget what rows say of images, and begin to adopt what storage says.

    ``replace``: also where rows know something; ``discard``: also where they know what no link says.
    Raises RebuildRefused; nothing is changed then. Without links in storage nothing is begun.
    """
    known = await database.read(store.count_repositories)
    if known and not replace:
        raise RebuildRefused(
            f"the database knows {known} repositories, and reindex would make it forget all that "
            "storage has no links of: pass --replace if that is wanted"
        )
    if known and not await has_links(driver):
        raise RebuildRefused(
            "storage has no links, so nothing would be left of the repositories that the database "
            "knows: `longshore export-links` writes them"
        )
    changed = await _count_changed(database) if known and not discard else 0
    if changed:
        raise RebuildRefused(
            f"{changed} repositories have changed since their links were last written to storage: "
            "run `longshore export-links` first, or pass --discard to lose those changes"
        )
    await database.write(store.forget_images)
    return await begin(database, driver)


async def _count_changed(database: Database) -> int:
    changed, last = 0, 0
    while page := await database.read(partial(store.candidates, last=last, limit=_PAGE)):
        last = page[-1].id
        changed += sum(one.state != one.exported and not one.is_empty for one in page)
    return changed
