"""What something weighs."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Usage:
    """Bytes. ``logical``: each occurrence counts; ``stored``: each digest counts once; ``exclusive``: of
    those, what nothing else needs."""

    logical: int = 0
    stored: int = 0
    exclusive: int = 0

    @property
    def shared(self) -> int:
        """What something else needs, too: it stays."""
        return self.stored - self.exclusive


@dataclass(frozen=True, slots=True)
class Overview:
    """The usage of groups (repositories or projects) by name, and of everything. ``waiting`` bytes
    belong to none of them: collection is about to free them."""

    groups: Mapping[str, Usage]
    whole: Usage
    waiting: int


@dataclass(frozen=True, slots=True)
class RepositoryUsage:
    """The usage of a repository and of its tags. ``untagged``: what no tag reaches, together."""

    whole: Usage
    tags: Mapping[str, Usage]
    untagged: Usage


@dataclass(frozen=True, slots=True)
class Deletion:
    """What deleting a tag or a manifest would do. ``manifests`` go with it. Of what stays, ``here``
    bytes are needed in the same repository and ``elsewhere`` says how many in which other ones;
    something may be needed by several. ``same`` are other tags on the very same manifest."""

    usage: Usage
    manifests: int
    here: int = 0
    elsewhere: Mapping[str, int] = field(default_factory=dict)
    same: tuple[str, ...] = ()
