"""What is the same for every driver, wrapped around it once: checks, measures, time limits."""

import asyncio
import re
from asyncio import CancelledError
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Final, Self, TypeVar, cast

from longshore.storage.driver import (
    PATH_GRAMMAR,
    AbandonedUploads,
    BatchDeletes,
    Directories,
    Entry,
    LocalFiles,
    ObjectKeys,
    PathInvalid,
    Redirects,
    Staged,
    Stat,
    StorageDriver,
    StorageUnavailable,
)

T = TypeVar("T")

#: Told after every call: the driver's name, the action, the seconds spent waiting for the medium.
#: Actions have distribution's names where it measures them too: GetContent, PutContent, Stat, List,
#: Move, Delete, RedirectURL. Reader and Writer are streams out and in, without the time that the
#: other side took.
Observer = Callable[[str, str, float], None]

#: How long the medium may take for a call, or for one piece of a stream (seconds).
LIMIT: Final = 60.0
#: The same for calls whose work grows with the size of an object or with the number of objects.
LONG_LIMIT: Final = 900.0

_DOTS: Final = re.compile(r"/\.\.?(?:/|$)")


def ignore(driver: str, action: str, seconds: float) -> None:
    """The observer that measures nothing."""


def guard(
    driver: StorageDriver,
    observe: Observer = ignore,
    *,
    limit: float = LIMIT,
    long_limit: float = LONG_LIMIT,
) -> "GuardedDriver":
    """``driver`` with checks, measures and time limits, and with the optional abilities it has."""
    abilities: list[type] = []
    if isinstance(driver, LocalFiles):
        abilities.append(_GuardedLocalFiles)
    if isinstance(driver, Redirects):
        abilities.append(_GuardedRedirects)
    if isinstance(driver, ObjectKeys):
        abilities.append(_GuardedObjectKeys)
    if isinstance(driver, AbandonedUploads):
        abilities.append(_GuardedAbandonedUploads)
    if isinstance(driver, Directories):
        abilities.append(_GuardedDirectories)
    if isinstance(driver, BatchDeletes):
        abilities.append(_GuardedBatchDeletes)
    kind = type("GuardedDriver", (*abilities, GuardedDriver), {})
    guarded: GuardedDriver = kind(driver, observe, limit, long_limit)
    return guarded


class GuardedDriver:
    """A driver behind its guard; made by :func:`guard`.

    Raises PathInvalid before the driver sees a bad path or upload, and StorageUnavailable when the
    medium takes longer than the limit. A call that ran out of time may still take effect later.
    """

    def __init__(
        self, driver: StorageDriver, observe: Observer, limit: float, long_limit: float
    ) -> None:
        self.driver = driver
        self.name = driver.name
        self._observe = observe
        self._limit = limit
        self._long_limit = long_limit

    async def open(self) -> None:
        """See StorageDriver."""
        with self._call("Open", "", self._long_limit):
            await self.driver.open()

    async def close(self) -> None:
        """See StorageDriver."""
        with self._call("Close", "", self._long_limit):
            await self.driver.close()

    async def read(self, path: str) -> bytes:
        """See StorageDriver."""
        self._check(path)
        with self._call("GetContent", path, self._limit):
            return await self.driver.read(path)

    def stream(
        self, path: str, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """See StorageDriver."""
        self._check(path)
        return self._pieces("Reader", path, self.driver.stream(path, start, length))

    async def stat(self, path: str) -> Stat:
        """See StorageDriver."""
        self._check(path)
        with self._call("Stat", path, self._limit):
            return await self.driver.stat(path)

    async def write(self, path: str, content: bytes) -> None:
        """See StorageDriver."""
        self._check(path)
        with self._call("PutContent", path, self._limit):
            await self.driver.write(path, content)

    async def append(self, staged: Staged, chunks: AsyncIterable[bytes]) -> Staged:
        """See StorageDriver. The time that ``chunks`` takes does not count."""
        self._check_upload(staged.upload)
        with self._call("Writer", staged.upload, self._limit) as call:
            return await self.driver.append(staged, call.without(chunks))

    def staged_stream(self, staged: Staged) -> AsyncGenerator[bytes, None]:
        """See StorageDriver."""
        self._check_upload(staged.upload)
        return self._pieces("Reader", staged.upload, self.driver.staged_stream(staged))

    async def publish(self, staged: Staged, path: str) -> None:
        """See StorageDriver."""
        self._check_upload(staged.upload)
        self._check(path)
        with self._call("Move", path, self._long_limit):
            await self.driver.publish(staged, path)

    async def discard(self, upload: str) -> None:
        """See StorageDriver."""
        self._check_upload(upload)
        with self._call("Delete", upload, self._limit):
            await self.driver.discard(upload)

    def list(self, prefix: str) -> AsyncGenerator[Entry, None]:
        """See StorageDriver."""
        self._check(prefix)
        return self._pieces("List", prefix, self.driver.list(prefix))

    def list_staged(self) -> AsyncGenerator[tuple[str, float], None]:
        """See StorageDriver."""
        return self._pieces("List", "", self.driver.list_staged())

    async def delete(self, path: str) -> None:
        """See StorageDriver."""
        self._check(path)
        with self._call("Delete", path, self._limit):
            await self.driver.delete(path)

    async def delete_tree(self, prefix: str) -> None:
        """See StorageDriver."""
        self._check(prefix)
        with self._call("Delete", prefix, self._long_limit):
            await self.driver.delete_tree(prefix)

    def _check(self, path: str) -> None:
        if not PATH_GRAMMAR.fullmatch(path) or ("/." in path and _DOTS.search(path)):
            reason = (
                "not a storage path: it needs a slash before every segment, segments of letters, "
                "digits, '.', '_', ':' and '-', and none that is '.' or '..'"
            )
            raise PathInvalid(self.name, path, reason)

    def _check_upload(self, upload: str) -> None:
        if "/" in upload:
            raise PathInvalid(self.name, upload, "not the name of an upload: it has a slash")
        self._check(f"/{upload}")

    def _call(self, action: str, path: str, limit: float) -> "_Call":
        return _Call(self.name, self._observe, action, path, limit)

    async def _pieces(
        self, action: str, path: str, pieces: AsyncGenerator[T, None]
    ) -> AsyncGenerator[T, None]:
        spent = 0.0

        def add(driver: str, action: str, seconds: float) -> None:
            nonlocal spent
            spent += seconds

        try:
            while True:
                try:
                    with _Call(self.name, add, action, path, self._limit):
                        piece = await anext(pieces)
                except StopAsyncIteration:
                    return
                yield piece
        finally:
            self._observe(self.name, action, spent)
            await pieces.aclose()


class _Call:
    """One call of the medium: measured, and ended when it takes too long.

    It does what :func:`asyncio.timeout` does, with a watch that can be stopped, and costs less.
    """

    def __init__(
        self, driver: str, observe: Observer, action: str, path: str, limit: float
    ) -> None:
        self._driver = driver
        self._observe = observe
        self._action = action
        self._path = path
        self._limit = limit
        self._spent = 0.0
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._late = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("storage is used from a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._running = True
        self._go_on()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pause()
        self._running = False
        self._observe(self._driver, self._action, self._spent)
        if self._late and self._task.uncancel() <= self._cancelling and kind is CancelledError:
            reason = f"no answer to {self._action} within {self._limit:g} seconds"
            raise StorageUnavailable(self._driver, self._path, reason) from error

    async def without(self, chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        """``chunks``, while neither the watch nor the time limit runs for them."""
        self._pause()
        try:
            async for chunk in chunks:
                self._go_on()
                yield chunk
                self._pause()
        finally:
            self._go_on()

    def _go_on(self) -> None:
        # The generator above may be closed after the call has ended.
        if self._running and not self._late and self._timer is None:
            self._since = perf_counter()
            self._timer = self._task.get_loop().call_later(self._limit, self._end)

    def _pause(self) -> None:
        if self._timer is not None:
            self._spent += perf_counter() - self._since
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self._late = True
        self._task.cancel()


class _GuardedLocalFiles(GuardedDriver):
    def local_path(self, path: str) -> Path:
        """See LocalFiles."""
        self._check(path)
        return cast("LocalFiles", self.driver).local_path(path)


class _GuardedRedirects(GuardedDriver):
    async def presigned_url(self, path: str, method: str, lifetime: float) -> str | None:
        """See Redirects."""
        self._check(path)
        with self._call("RedirectURL", path, self._limit):
            return await cast("Redirects", self.driver).presigned_url(path, method, lifetime)


class _GuardedObjectKeys(GuardedDriver):
    def object_key(self, path: str) -> str:
        """See ObjectKeys."""
        self._check(path)
        return cast("ObjectKeys", self.driver).object_key(path)


class _GuardedAbandonedUploads(GuardedDriver):
    async def remove_abandoned(self, before: float) -> int:
        """See AbandonedUploads."""
        with self._call("Delete", "", self._long_limit):
            return await cast("AbandonedUploads", self.driver).remove_abandoned(before)


class _GuardedBatchDeletes(GuardedDriver):
    async def delete_all(self, paths: Sequence[str]) -> None:
        """See BatchDeletes."""
        for path in paths:
            self._check(path)
        with self._call("Delete", f"{len(paths)} objects", self._limit):
            await cast("BatchDeletes", self.driver).delete_all(paths)


class _GuardedDirectories(GuardedDriver):
    def directories(self, prefix: str) -> AsyncGenerator[str, None]:
        """See Directories."""
        self._check(prefix)
        names = cast("Directories", self.driver).directories(prefix)
        return self._pieces("List", prefix, names)
