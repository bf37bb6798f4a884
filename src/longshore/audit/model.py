"""What the audit log says."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

#: Characters of one value that are kept.
LONGEST = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """``actor`` did ``operation`` to ``resource`` at ``at`` (POSIX seconds), from ``address``.

    ``operation`` is create, update, delete, pull, login or logout; ``resource_type`` artifact, tag, project,
    user and the like; ``project`` the name of the project that the resource belongs to, or empty. ``actor`` is
    empty for anonymous clients and for jobs. ``event_id`` is the event's: the same never comes twice.
    """

    at: float
    actor: str
    address: str
    operation: str
    resource_type: str
    resource: str
    project: str = ""
    description: str = ""
    successful: bool = True
    user_agent: str = ""
    request_id: str = ""
    event_id: str = ""

    def canonical(self) -> str:
        """The same text for the same entry on every database."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(Entry):
    """An entry in its place: ``id`` counts without gaps, ``previous`` is the seal of the row before,
    ``key_id`` names the key that made ``seal``."""

    id: int
    previous: str
    key_id: str
    seal: str

    def entry(self) -> Entry:
        """What the seal is about."""
        return Entry(**{name: getattr(self, name) for name in Entry.__dataclass_fields__})

    def to_json(self) -> dict[str, Any]:
        """A line of an export."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class State:
    """Both ends of the chain: its last row, and the last one that was removed because of its age.
    ``seal`` is over the others, so that neither end can be moved."""

    last_id: int
    last_seal: str
    removed_through: int
    removed_seal: str
    key_id: str
    seal: str


@dataclass(frozen=True, slots=True)
class Search:
    """Which rows; empty and None: any. ``text`` is looked for in resource, description and actor;
    ``since`` is included, ``until`` is not; ``before`` is an id: only older rows."""

    actor: str = ""
    operation: str = ""
    resource_type: str = ""
    project: str = ""
    successful: bool | None = None
    since: float | None = None
    until: float | None = None
    text: str = ""
    before: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verification found: ``problems`` in the order of rows; ``keys`` is how many rows each key sealed.
    ``guarded`` is false when some rows, or the ends, are sealed with the key that the database itself holds."""

    rows: int
    first: int
    last: int
    problems: tuple[str, ...]
    guarded: bool
    keys: dict[str, int] = field(default_factory=dict)


class Tampered(Exception):
    """The ends of the chain are not as this registry left them: nothing is added to it."""


def clean(text: str) -> str:
    """``text`` as both databases keep it: no NUL, nothing that is no UTF-8, not too long."""
    kept = text[:LONGEST].replace("\0", "\N{REPLACEMENT CHARACTER}")
    return kept.encode("utf-8", "replace").decode("utf-8")
