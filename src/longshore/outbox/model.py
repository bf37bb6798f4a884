"""Events, and who listens to them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Final, Protocol, Self, runtime_checkable

from longshore.db.database import Connection


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asked for a change, from where: ``actor`` is empty for anonymous clients, ``address`` is the
    client's, ``scheme`` and ``host`` are how it reached the registry. All empty (:data:`NOBODY`): a job
    did it by itself."""

    actor: str = ""
    address: str = ""
    scheme: str = ""
    host: str = ""
    method: str = ""
    user_agent: str = ""
    request_id: str = ""


NOBODY: Final = Origin()


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that has happened at ``at`` (POSIX seconds).

    A subclass is a frozen dataclass of text, numbers and tuples of text with a ``kind`` of its own.
    Events outlive the program that wrote them: a field that is added later needs a default, and a
    kind never changes its meaning.
    """

    kind: ClassVar[str]

    at: float
    origin: Origin = NOBODY

    def to_json(self) -> dict[str, Any]:
        """The event as JSON, without its kind."""
        document = {field.name: getattr(self, field.name) for field in fields(self)}
        document["origin"] = asdict(self.origin)
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """What :meth:`to_json` made."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in document.items()
        }
        values["origin"] = Origin(**document["origin"])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event on its way to a listener. ``id`` is the same at every attempt and for every listener:
    who must not act twice remembers it."""

    id: str
    event: Event


class Listener(Protocol):
    """Is told of events, each at least once, after the change was committed.

    Events about one thing (a tag, a manifest) come in the order of their commits; listeners do not
    wait for one another. An event is again among those of the next call when the process ends
    or the listener raises before its last one was dealt with.
    """

    @property
    def name(self) -> str:
        """Its own, and lasting: events wait under it."""

    @property
    def batch(self) -> int:
        """The most events that it is told of at a time."""

    def wants(self, event: Event) -> bool:
        """Whether to tell it of this event. Asked in the transaction of the change, so it is quick
        and decides by the event alone."""

    async def deliver(self, events: Sequence[Recorded]) -> None:
        """Deal with them. Raise to get them again later; Postponed to say when."""


@runtime_checkable
class Choosy(Protocol):
    """A listener that never wants events of some kinds: nobody need make one then."""

    def ignores(self, kind: type[Event]) -> bool:
        """Whether ``wants`` is false for all of that kind, for as long as the process runs."""


@runtime_checkable
class TransactionalListener(Protocol):
    """A listener that only writes to the database: what it writes happens exactly once per event."""

    @property
    def name(self) -> str:
        """See :class:`Listener`."""

    @property
    def batch(self) -> int:
        """See :class:`Listener`."""

    def wants(self, event: Event) -> bool:
        """See :class:`Listener`."""

    def record(self, connection: Connection, events: Sequence[Recorded]) -> None:
        """Write what follows from them, in the transaction that takes them off the outbox. May be
        repeated, like every transaction. Raise to get them again later."""


AnyListener = Listener | TransactionalListener


@runtime_checkable
class Closable(Protocol):
    """What a listener may be that holds connections open."""

    async def close(self) -> None:
        """Called once, when the process ends."""


class UnknownEvent(Exception):
    """The outbox holds an event that this version of the program does not know."""
