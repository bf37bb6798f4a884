"""Checks that cost milliseconds of processor time (bcrypt, signatures): in threads, few at a time,
each distinct one once however many requests wait for it."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Generic, TypeVar

from longshore.oci.errors import Unavailable

T = TypeVar("T")
R = TypeVar("R")

_TIMEOUT: Final = 30.0


class Verifications(Generic[T]):
    """Runs checks under a key; the same key at the same time is the same check.

    A check belongs to nobody in particular: a request that goes away neither stops it nor loses
    its outcome for the others.
    """

    def __init__(self, *, threads: int | None = None, waiting: int = 256) -> None:
        """At most ``threads`` functions run at once (by default one per processor, up to four)
        and at most ``waiting`` checks are accepted."""
        self._pool = ThreadPoolExecutor(
            threads or min(4, os.cpu_count() or 1), thread_name_prefix="longshore-access"
        )
        self._waiting = waiting
        self._flights: dict[bytes, asyncio.Task[T]] = {}

    async def run(self, key: bytes, check: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The outcome of ``check``, or of the one running under ``key``.

        Raises what the check raises; Unavailable when too many are waiting or it takes too long.
        """
        flight = self._flights.get(key)
        if flight is None:
            if len(self._flights) >= self._waiting:
                raise _busy()
            flight = self._flights[key] = asyncio.create_task(check())
            flight.add_done_callback(lambda flight: self._landed(key, flight))
        try:
            async with asyncio.timeout(_TIMEOUT):
                return await asyncio.shield(flight)
        except TimeoutError as error:
            raise _busy() from error

    def _landed(self, key: bytes, flight: "asyncio.Task[T]") -> None:
        del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # seen, even if everybody who waited has left

    async def in_thread(self, function: Callable[[], R]) -> R:
        """Call ``function`` in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    def close(self) -> None:
        """Drop what has not ended."""
        for flight in self._flights.values():
            flight.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)


def _busy() -> Unavailable:
    return Unavailable(
        "too many logins are being checked at this moment; try again in a few seconds",
        headers={"Retry-After": "2"},
    )
