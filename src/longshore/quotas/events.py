"""What others may want to hear of quotas."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from longshore.outbox.model import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaExceeded(Event):
    """A push was refused. ``resource`` is storage (bytes), repositories or tags; ``used`` is what the project
    held then, ``asked`` what would have come, ``limit`` what it may hold."""

    kind: ClassVar[str] = "quota.exceeded"

    project: str
    repository: str
    resource: str
    used: int
    asked: int
    limit: int
    reference: str = ""
    details: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaWarning(Event):
    """A manifest was pushed, and its project holds more than the soft limit ``limit``."""

    kind: ClassVar[str] = "quota.warning"

    project: str
    repository: str
    digest: str
    resource: str
    used: int
    limit: int
    tags: tuple[str, ...] = ()
    details: str = ""


EVENTS: Final[Mapping[str, type[Event]]] = {
    event.kind: event for event in (QuotaExceeded, QuotaWarning)
}
