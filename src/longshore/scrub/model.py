"""What scrubbing looks at, and what comes of it."""

from dataclasses import dataclass, field
from typing import Final

from longshore.oci.digest import Digest
from longshore.storage.backends import DEFAULT

#: Most digests that a tally names.
NAMED: Final = 1000


@dataclass(frozen=True, slots=True)
class Candidate:
    """Bytes of a blob or a manifest in ``backend``: ``size`` as recorded, ``verified_at`` POSIX seconds (None:
    never), ``quarantined`` if they were found to be bad."""

    digest: Digest
    size: int
    verified_at: float | None = None
    quarantined: bool = False
    backend: str = DEFAULT


@dataclass(slots=True)
class Tally:
    """What a run did, in objects; ``size`` is the bytes read. ``skipped`` were verified not long ago,
    ``healed`` are sound again, ``unreadable`` could not be read, so nothing is known of them.
    ``bad`` names those that are not what they should be, the first NAMED of them."""

    sound: int = 0
    size: int = 0
    skipped: int = 0
    quarantined: int = 0
    healed: int = 0
    unreadable: int = 0
    bad: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"sound: {self.sound} objects; read: {self.size} bytes; verified not long ago: "
            f"{self.skipped}; bad: {self.quarantined}; sound again: {self.healed}; "
            f"could not be read: {self.unreadable}"
        )
