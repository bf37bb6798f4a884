"""A driver in a process of its own, for tests that kill it or count its memory.

    python -m longshore.testing.storage_process MODULE:FUNCTION ARGUMENT ACTION VALUE...

``FUNCTION`` is asynchronous, takes the argument (text) and gives the driver, opened.
"""

import asyncio
import hashlib
import json
import resource
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from importlib import import_module
from typing import Any, Final

from longshore.storage.driver import Staged, StorageDriver

_PIECE: Final = 1 << 20

Opener = Callable[[str], Awaitable[StorageDriver]]


def _say(what: Any) -> None:
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


async def pattern(size: int) -> AsyncGenerator[bytes, None]:
    """``size`` bytes of which no two megabytes are the same."""
    for start in range(0, size, _PIECE):
        number = (start // _PIECE).to_bytes(8, "big")
        yield (number * (_PIECE // 8))[: size - start]


async def append(driver: StorageDriver, upload: str, size: str, state: str, length: str) -> None:
    """Add ``length`` bytes to an upload that has ``size``; says its new size and state."""
    staged = Staged(upload, int(size), json.loads(state))
    staged = await driver.append(staged, pattern(int(length)))
    _say([staged.size, dict(staged.state)])


async def hang(driver: StorageDriver, upload: str, length: str) -> None:
    """Send ``length`` bytes and wait for ever; says when they were taken."""

    async def body() -> AsyncGenerator[bytes, None]:
        async for piece in pattern(int(length)):
            yield piece
        _say("sent")
        await asyncio.Event().wait()

    await driver.append(Staged(upload), body())


async def large(driver: StorageDriver, upload: str, path: str, length: str) -> None:
    """Store ``length`` bytes and read them; says whether they are the same, and the most memory
    that the process had (bytes)."""
    sent, got = hashlib.sha256(), hashlib.sha256()

    async def body() -> AsyncGenerator[bytes, None]:
        async for piece in pattern(int(length)):
            await asyncio.to_thread(sent.update, piece)
            yield piece

    staged = await driver.append(Staged(upload), body())
    await driver.publish(staged, path)
    async for piece in driver.stream(path):
        await asyncio.to_thread(got.update, piece)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    _say([sent.digest() == got.digest(), peak])


_ACTIONS: Final[Mapping[str, Callable[..., Awaitable[None]]]] = {
    "append": append,
    "hang": hang,
    "large": large,
}


async def main(opener: str, argument: str, action: str, *values: str) -> None:
    """Open the driver, do it, close the driver."""
    module, _, function = opener.partition(":")
    open_driver: Opener = getattr(import_module(module), function)
    driver = await open_driver(argument)
    try:
        await _ACTIONS[action](driver, *values)
    finally:
        await driver.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
