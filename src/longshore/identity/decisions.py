"""What was decided about a request, remembered for the next one like it: pulls of one image by many nodes of a
cluster differ in nothing that a decision looks at."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from longshore.access.model import Access, Grant

#: Seconds that a decision is remembered at most: what is remembered of a login is to end in its time.
LIFE: Final = 1.0
_MAX: Final = 20_000

#: The login (:meth:`longshore.access.proofs.Proofs.key`), the client's address, and what is wanted.
Key = tuple[bytes, str, tuple[Access, ...]]


@dataclass(frozen=True, slots=True)
class _Decision:
    """``until`` in POSIX seconds, ``fresh_until`` by the clock that only grows."""

    grant: Grant
    until: float
    fresh_until: float


class Decisions:
    """Grants, never refusals. One is given again while nothing was committed by any process since before
    it was made (``Database.generation``), so a password, a role or a project that went counts at once."""

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._monotonic = monotonic
        self._clock = clock
        self._generation = 0
        self._known: dict[Key, _Decision] = {}

    def find(self, key: Key, generation: int) -> Grant | None:
        """What was granted to the same request, if that is true in ``generation``, or was in a later one."""
        if generation > self._generation:
            self._known.clear()
            self._generation = generation
            return None
        found = self._known.get(key)
        if found is None or self._monotonic() >= found.fresh_until or self._clock() >= found.until:
            return None
        return found.grant

    def remember(self, key: Key, grant: Grant, generation: int, until: float) -> None:
        """Keep a grant that was decided after ``generation`` was current, and that ends at ``until``
        (POSIX seconds) whatever is committed."""
        if generation != self._generation:
            return  # something was committed meanwhile, and others have noticed
        if len(self._known) >= _MAX:
            self._known.clear()
        self._known[key] = _Decision(grant, until, self._monotonic() + LIFE)
