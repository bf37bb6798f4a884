"""The door for everybody who changes something that others want to hear of."""

import uuid
from collections.abc import Sequence
from typing import Any

from longshore.db.database import Connection
from longshore.outbox import store
from longshore.outbox.model import AnyListener, Choosy, Event


class Outbox:
    """Writes events for the listeners that want them, and nothing where nobody listens."""

    def __init__(self, listeners: Sequence[AnyListener] = ()) -> None:
        self._listeners = tuple(listeners)

    @property
    def listened(self) -> bool:
        """Whether there are listeners at all."""
        return bool(self._listeners)

    def may_want(self, kind: type[Event]) -> bool:
        """Whether any listener may want an event of that kind."""
        return any(
            not (isinstance(listener, Choosy) and listener.ignores(kind))
            for listener in self._listeners
        )

    def wanted(self, event: Event) -> bool:
        """Whether any listener wants it."""
        return any(listener.wants(event) for listener in self._listeners)

    def append(self, connection: Connection, events: Sequence[Event]) -> None:
        """Tell of ``events`` if the caller's transaction is committed. To be called at its end, when
        it holds the locks on what it has changed: that keeps events about one thing in order."""
        rows: list[dict[str, Any]] = []
        for event in events:
            wanted = [listener.name for listener in self._listeners if listener.wants(event)]
            if not wanted:
                continue
            shared = {
                "kind": event.kind,
                "event_id": uuid.uuid4().hex,
                "at": event.at,
                "body": event.to_json(),
            }
            rows.extend({"listener": name, **shared} for name in wanted)
        if rows:
            store.append(connection, rows)
