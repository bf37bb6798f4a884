"""A program that stores objects until it is killed: `python pushing.py ROOT`.

It says the path of every object on a line of its own, once the driver has promised that it is
there. The last segment of a path is the digest of the content.
"""

import asyncio
import hashlib
import secrets
import sys
from pathlib import Path

from longshore.storage.driver import Staged
from longshore.storage.filesystem import FilesystemDriver
from longshore.testing.storage_fixtures import pieces


async def push(driver: FilesystemDriver, pusher: int) -> None:
    """Store objects of any size in one of three ways, for ever."""
    for number in range(1_000_000):
        content = secrets.token_bytes(secrets.choice([10, 5_000, 300_000, 3_000_000]))
        digest = hashlib.sha256(content).hexdigest()
        path = f"/blobs/{digest[:1]}/{digest}/{digest}"
        staged = Staged(f"upload-{pusher}-{number}")
        middle = len(content) // 2
        match number % 3:
            case 0:
                await driver.write(path, content)
            case 1:
                await driver.publish(await driver.append(staged, pieces(content)), path)
            case _:
                staged = await driver.append(staged, pieces(content[:middle]))
                staged = await driver.append(staged, pieces(content[middle:]))
                await driver.publish(staged, path)
        sys.stdout.write(f"{path}\n")
        sys.stdout.flush()


async def main() -> None:
    """Push in parallel."""
    driver = FilesystemDriver(Path(sys.argv[1]))
    await driver.open()
    await asyncio.gather(*(push(driver, pusher) for pusher in range(4)))


if __name__ == "__main__":
    asyncio.run(main())
