"""What a move is, and what became of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final, Self

#: The kinds of jobs of this package.
MOVE: Final = "storage-move"
REMOVAL: Final = "storage-removal"


@dataclass(frozen=True, slots=True)
class Move:
    """What is to be moved ``to`` a backend (names as the database has them).

    ``source``: only from there; None: from every other. ``repositories``: a pattern, only what
    repositories use that fit it; ``shared``: also what others use besides. ``rate``: bytes a second.
    """

    to: str
    source: str | None = None
    repositories: str | None = None
    shared: bool = False
    rate: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As the job's payload."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """What :meth:`to_json` gave."""
        return cls(**document)


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes that a digest names, and the backend where they lie; ``size`` in bytes."""

    digest: str
    size: int
    backend: str


class Outcome(StrEnum):
    """What became of one digest."""

    MOVED = "moved"
    #: The rows changed meanwhile (deleted, condemned, pushed elsewhere): nothing was to be done.
    CHANGED = "changed meanwhile"
    MISSING = "missing from storage"
    DAMAGED = "damaged: the bytes are not those of the digest"
    FAILED = "not moved: storage failed"
    BUSY = "not moved: an older copy is being removed from the new place"

    @property
    def is_trouble(self) -> bool:
        """Whether somebody has to look."""
        return self not in (Outcome.MOVED, Outcome.CHANGED)


@dataclass(slots=True)
class Tally:
    """How many digests, and bytes, so far. Lives in the job's checkpoint, as JSON."""

    blobs: int = 0
    size: int = 0
    moved: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)

    def add(self, stored: Stored, outcome: Outcome) -> None:
        self.blobs += 1
        self.size += stored.size
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        if outcome is Outcome.MOVED:
            self.moved += stored.size

    @property
    def trouble(self) -> int:
        """Digests that somebody has to look at."""
        return sum(count for name, count in self.outcomes.items() if Outcome(name).is_trouble)

    def __str__(self) -> str:
        found = [f"{count} {name}" for name, count in sorted(self.outcomes.items())]
        return f"{', '.join(found) or 'nothing to move'} ({self.moved} bytes moved)"


@dataclass(frozen=True, slots=True)
class Holding:
    """What one backend holds: digests in use with their bytes, and copies that are to be removed."""

    blobs: int = 0
    size: int = 0
    spare: int = 0
    spare_size: int = 0
