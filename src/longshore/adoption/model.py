"""What is found in a tree of links."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from longshore.oci.digest import Digest
from longshore.oci.manifest import Manifest
from longshore.oci.names import Tag


class Kind(StrEnum):
    """What is wrong with something in storage."""

    NAME = "name"
    LINK = "broken link"
    TAG = "broken tag"
    MANIFEST = "unreadable manifest"
    MISSING = "missing blob"
    SIZE = "wrong size"
    CHILD = "missing manifest"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that cannot be taken over. ``path`` is where it lies in storage."""

    kind: Kind
    repository: str
    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.path}: {self.reason}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "kind": self.kind.value}


@dataclass(frozen=True, slots=True)
class Link:
    """A link to a manifest or a layer: what it names, where it lies, when it was written (POSIX
    seconds)."""

    digest: Digest
    path: str
    at: float


@dataclass(frozen=True, slots=True)
class TagEntry:
    """A tag named ``digest`` at ``at`` (POSIX seconds); ``current``: it does so now."""

    tag: Tag
    digest: Digest
    at: float
    current: bool
    path: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A manifest that a link names."""

    link: Link
    manifest: Manifest
