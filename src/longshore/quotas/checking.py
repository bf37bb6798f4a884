"""Whether the totals are what the rows say."""

from functools import partial

from longshore.db.database import Connection, Database
from longshore.quotas import store
from longshore.quotas.model import Difference


async def check(database: Database) -> list[Difference]:
    """Every project whose totals are wrong; the metric says so from then on. Empty where no totals are
    kept."""

    def work(connection: Connection) -> list[Difference]:
        store.snapshot(connection)
        return store.compare(connection) if store.is_installed(connection) else []

    found = await database.read(work)
    wrong = sum(
        abs(one.kept.storage - one.counted.storage) + abs(one.kept.reserved - one.counted.reserved)
        for one in found
    )
    await database.write(partial(store.remember_difference, size=wrong))
    return found


async def fix(database: Database) -> list[Difference]:
    """Count anew; what was wrong."""

    def work(connection: Connection) -> list[Difference]:
        store.hold_still(connection)
        if not store.is_installed(connection):
            return []
        found = store.compare(connection)
        store.recount(connection)
        store.remember_difference(connection, 0)
        return found

    return await database.write(work)
