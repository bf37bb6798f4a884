"""The bounded pool of threads in which all file work runs; never on the event loop.

A thread cannot be interrupted: when the task that waits for it is cancelled, the work goes on. So
whatever a step opens belongs to an object that a later step closes, never to the waiting task.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

#: Fewer threads than this starve a registry: distribution's documented minimum for ``maxthreads``.
MINIMUM_THREADS: Final = 25


class ThreadPool:
    """At most ``maxthreads`` threads (and at least MINIMUM_THREADS), started when needed."""

    def __init__(self, maxthreads: int) -> None:
        self._executor = ThreadPoolExecutor(max(maxthreads, MINIMUM_THREADS), "longshore-storage")

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of ``work`` in one of the threads."""
        return await self.start(work, *args, **kwargs)

    def start(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "asyncio.Future[T]":
        """``work`` begun in one of the threads; whoever needs its result waits for it."""
        future = asyncio.wrap_future(self._executor.submit(work, *args, **kwargs))
        future.add_done_callback(_note_failure)
        return future

    def finally_run(self, work: Callable[[], None]) -> None:
        """See that ``work`` gets done, for a task that cannot wait for it."""
        try:
            self._executor.submit(work)
        except RuntimeError:
            # The pool has ended already. The loop must not do it, it may block.
            threading.Thread(target=work, name="longshore-storage-last").start()

    async def iterate(
        self, steps: Generator[T, None, None], translated: AbstractContextManager[None]
    ) -> AsyncGenerator[T, None]:
        """What ``steps`` yields (never None), one step in a thread for each.

        The generator is closed in a thread too, after a step that may still be running there.
        ``translated`` is entered around each step and turns its errors into those of storage.
        """
        lock = threading.Lock()
        exhausted = False

        def step() -> T | None:
            with lock, translated:
                return next(steps, None)

        def close() -> None:
            with lock:
                steps.close()

        try:
            while (item := await self.run(step)) is not None:
                yield item
            exhausted = True
        finally:
            if not exhausted:
                self.finally_run(close)

    async def close(self) -> None:
        """Wait for what is running and end the threads."""
        await asyncio.to_thread(self._executor.shutdown)


def _note_failure(future: "asyncio.Future[T]") -> None:
    # Whoever waits gets the error. When nobody does any more, it is of no use to anybody.
    if not future.cancelled():
        future.exception()
