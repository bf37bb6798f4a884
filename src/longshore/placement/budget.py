"""A limit on bytes per second."""

import asyncio
import time


class Budget:
    """Whoever takes more than ``rate`` bytes a second (None: no limit) waits. What was not used is
    kept for a second at most."""

    def __init__(self, rate: int | None) -> None:
        self._rate = rate
        self._free_at = time.monotonic()

    async def take(self, size: int) -> None:
        """Return when ``size`` more bytes may be moved."""
        if self._rate is None:
            return
        now = time.monotonic()
        self._free_at = max(self._free_at, now - 1.0) + size / self._rate
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)
