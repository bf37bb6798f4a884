"""The time: aware, UTC, and replaceable in tests."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)


def timestamp() -> float:
    """POSIX seconds."""
    return time.time()


def monotonic() -> float:
    """Seconds that only grow, from nowhere in particular: for measuring how long something took."""
    return time.monotonic()
