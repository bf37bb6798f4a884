"""Many small objects at once: what links and manifests are.

A way to a thread and back for each costs more than reading a file that is in the page cache, so where
objects are files some of them are read in one go. Elsewhere each is a request, several at a time.
"""

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Final, TypeVar

from longshore.storage.driver import (
    LocalFiles,
    PathNotFound,
    StorageDriver,
    StorageUnavailable,
)

T = TypeVar("T")
R = TypeVar("R")

#: Requests to the medium at the same time.
PARALLEL: Final = 32
#: Files that one way to a thread serves, and how many threads are asked: a disk is quicker when
#: several ask.
_TOGETHER: Final = 16
_THREADS: Final = 4
#: As for any other call of a medium (longshore.storage.guarded), in seconds.
_LIMIT: Final = 60.0


async def each(
    items: Iterable[T], work: Callable[[T], Awaitable[R]], parallel: int = PARALLEL
) -> list[R]:
    """The results of ``work`` in the order of ``items``; at most ``parallel`` run at a time. The
    first failure ends the others and is raised."""
    waiting = list(items)
    results: dict[int, R] = {}
    places = iter(range(len(waiting)))

    async def some() -> None:
        for place in places:
            results[place] = await work(waiting[place])

    tasks = [asyncio.create_task(some()) for _ in range(min(parallel, len(waiting)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    return [results[place] for place in range(len(waiting))]


class Reader:
    """Reads from ``driver``. Every method raises StorageError when the medium fails."""

    def __init__(self, driver: StorageDriver) -> None:
        self._driver = driver
        self._files = driver if isinstance(driver, LocalFiles) else None

    async def contents(self, paths: Sequence[str], most: int) -> list[bytes | None]:
        """At most the first ``most`` bytes of each; None for what is not there."""
        if self._files is None:
            return await each(paths, lambda path: self._content(path, most))
        return await self._together(self._files, paths, lambda file: _read(file, most))

    async def sizes(self, paths: Sequence[str]) -> list[int | None]:
        """Bytes of each; None for what is not there."""
        if self._files is None:
            return await each(paths, self._size)
        return await self._together(self._files, paths, _size)

    async def _content(self, path: str, most: int) -> bytes | None:
        try:
            async with aclosing(self._driver.stream(path, 0, most)) as pieces:
                return b"".join([piece async for piece in pieces])
        except PathNotFound:
            return None

    async def _size(self, path: str) -> int | None:
        try:
            return (await self._driver.stat(path)).size
        except PathNotFound:
            return None

    async def _together(
        self, files: LocalFiles, paths: Sequence[str], look: Callable[[str], T | None]
    ) -> list[T | None]:
        portions = [paths[at : at + _TOGETHER] for at in range(0, len(paths), _TOGETHER)]

        async def some(portion: Sequence[str]) -> list[T | None]:
            try:
                async with asyncio.timeout(_LIMIT):
                    return await asyncio.to_thread(self._look_at, files, portion, look)
            except TimeoutError as error:
                reason = f"no answer within {_LIMIT:g} seconds"
                raise StorageUnavailable(self._driver.name, portion[0], reason) from error

        return [one for found in await each(portions, some, _THREADS) for one in found]

    def _look_at(
        self, files: LocalFiles, paths: Sequence[str], look: Callable[[str], T | None]
    ) -> list[T | None]:
        found: list[T | None] = []
        for path in paths:
            try:
                found.append(look(os.fspath(files.local_path(path))))
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                found.append(None)
            except OSError as error:
                reason = error.strerror or str(error)
                raise StorageUnavailable(self._driver.name, path, reason) from error
        return found


def _read(file: str, most: int) -> bytes:
    with open(file, "rb", buffering=0) as content:
        pieces = []
        while most > 0 and (piece := content.read(min(most, 1 << 20))):
            pieces.append(piece)
            most -= len(piece)
        return b"".join(pieces)


def _size(file: str) -> int | None:
    found = os.stat(file)
    return found.st_size if stat.S_ISREG(found.st_mode) else None
