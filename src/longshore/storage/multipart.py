"""One object in several requests: what is the same for all services that make objects of parts."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Sequence
from contextlib import aclosing, suppress
from typing import Any, Final, Self

from longshore.storage.driver import StorageError
from longshore.storage.joining import Piece
from longshore.storage.parts import Part, PartMemory

#: Parts of one upload that are on their way at the same time.
_IN_FLIGHT: Final = 2


class Multipart(ABC):
    """An object that is made of parts: completed, or else given up when the block is left.

    ``copied_at_once`` parts are copied inside the service at the same time.
    """

    def __init__(self, copied_at_once: int) -> None:
        self._copied_at_once = copied_at_once
        self._numbers = 0
        self._running: set[asyncio.Task[Any]] = set()
        self._completed = False

    async def __aenter__(self) -> Self:
        await self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if not self._completed:
            # Also when this task is being cancelled, which must not leave the parts behind.
            giving_up = asyncio.ensure_future(self._give_up())
            with suppress(StorageError):
                await asyncio.shield(giving_up)

    async def send(self, part: Part) -> None:
        """Begin to send the next part, which is released afterwards. Waits while too many are on
        their way."""
        self._numbers += 1
        task = asyncio.create_task(self._send(self._numbers, part))
        # Not in a `finally` of it: a task that is cancelled before its first step has none.
        task.add_done_callback(lambda _task: part.release())
        await self._start(task, _IN_FLIGHT)

    async def _send(self, number: int, part: Part) -> None:
        await self._put(number, part.content)

    async def take(self, group: Sequence[Piece]) -> None:
        """Begin to make the next part of what is stored already."""
        self._numbers += 1
        await self._start(
            asyncio.create_task(self._take(self._numbers, group)), self._copied_at_once
        )

    async def complete(self, size: int) -> None:
        """Wait for all parts and make the object of ``size`` bytes."""
        while self._running:
            await self._reap(asyncio.FIRST_EXCEPTION)
        await self._finish(size)
        self._completed = True

    async def _start(self, task: "asyncio.Task[None]", limit: int) -> None:
        self._running.add(task)
        while len(self._running) >= limit:
            await self._reap(asyncio.FIRST_COMPLETED)

    async def _reap(self, until: str) -> None:
        done, self._running = await asyncio.wait(self._running, return_when=until)
        # Asked of all, or the loop complains about those that nobody asked.
        errors = [error for task in done if (error := task.exception())]
        if errors:
            raise errors[0]

    @abstractmethod
    async def _begin(self) -> None:
        """Ask the service for an upload, where it wants that."""

    @abstractmethod
    async def _put(self, number: int, content: bytes) -> None:
        """Send a part; ``number`` counts from 1."""

    @abstractmethod
    async def _take(self, number: int, group: Sequence[Piece]) -> None:
        """Make a part of pieces: copy one inside the service, or fetch and send several."""

    @abstractmethod
    async def _finish(self, size: int) -> None:
        """Make the object of all parts."""

    @abstractmethod
    async def _give_up(self) -> None:
        """Remove what was sent."""


async def upload(
    memory: PartMemory,
    pieces: AsyncIterable[bytes],
    put: Callable[[bytes], Coroutine[Any, Any, None]],
    multipart: Callable[[], Multipart],
) -> int:
    """Store ``pieces``: with ``put`` if they fill no part, else as a multipart object. Their size.

    As :meth:`longshore.storage.object_store.ObjectStore.upload` promises: no bytes, no object."""
    async with aclosing(memory.parts(pieces)) as parts:
        first = await anext(parts, None)
        if first is None:
            return 0
        if len(first.content) < memory.size:  # then it is the only one
            try:
                await put(first.content)
                return len(first.content)
            finally:
                first.release()
        # Whoever waits for memory has none that others wait for: a whole part is sent at once.
        return await _send_all(multipart(), first, parts)


async def _send_all(upload: Multipart, first: Part, rest: AsyncGenerator[Part, None]) -> int:
    """A few parts at a time. Releases every part."""
    size = 0
    part: Part | None = first
    try:
        async with upload as begun:
            while part is not None:
                size += len(part.content)
                sending, part = part, None
                await begun.send(sending)
                part = await anext(rest, None)
            await begun.complete(size)
    finally:
        if part is not None:
            part.release()
    return size
