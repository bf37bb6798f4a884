"""A server that does not answer is left alone for a moment, so that not every login waits for it."""

import time
from collections.abc import Callable
from typing import Final

#: Seconds of the first pause; each further failure doubles it, up to the longest.
FIRST: Final = 2.0
LONGEST: Final = 60.0


class Breaker:
    """Of one address, in one process. After a pause one login tries; the others go on without."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._now = monotonic
        self._failures = 0
        self._until = 0.0
        self._trying = False
        #: What went wrong last; empty when nothing did.
        self.reason = ""

    def admits(self, seconds: float) -> bool:
        """Whether to ask it now. Who is let through after a failure is the only one for ``seconds``."""
        if not self._failures:
            return True
        now = self._now()
        if now < self._until:
            return False
        self._until, self._trying = now + seconds, True
        return True

    def pause(self) -> float:
        """Seconds until it is asked again."""
        return max(0.0, self._until - self._now())

    def failed(self, reason: str) -> None:
        """It did not answer."""
        now = self._now()
        if self._failures and not self._trying and now < self._until:
            return  # one of those who were waiting already when it first failed
        self._failures, self._trying, self.reason = self._failures + 1, False, reason
        self._until = now + min(LONGEST, FIRST * 2.0 ** min(self._failures - 1, 16))

    def succeeded(self) -> None:
        """It answered."""
        self._failures, self._until, self._trying, self.reason = 0, 0.0, False, ""
