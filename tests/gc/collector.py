"""Collects again and again, until it is killed: python -m tests.gc.collector URL DIRECTORY LEASE"""

import asyncio
import sys
from pathlib import Path

from longshore.db.database import Database
from longshore.gc.collection import Collection, CollectionOptions
from longshore.gc.unknown import StorageUnknown
from longshore.storage.backends import Backends
from longshore.storage.filesystem import FilesystemDriver


async def collect(url: str, directory: Path, lease: float) -> None:
    database = Database(url, pool_size=2)
    await asyncio.to_thread(database.open)
    backends = Backends.of(FilesystemDriver(directory))
    await backends.open()
    while True:
        try:
            run = Collection(database, backends, CollectionOptions(lease, delete_untagged=True))
            print(await run.run(), flush=True)  # noqa: T201 - its log
        except StorageUnknown as error:
            print(error, flush=True)  # noqa: T201
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(collect(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])))
