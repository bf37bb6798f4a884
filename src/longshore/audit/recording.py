"""The listener that writes the audit log: in the transaction that takes events off the outbox, so
each is in it exactly once."""

import zlib
from collections.abc import Sequence
from typing import Final

from longshore.audit import store
from longshore.audit.model import Entry, clean
from longshore.audit.sealing import Sealing
from longshore.db.database import Connection
from longshore.identity.changes import ManagementChange
from longshore.outbox.model import Event, Recorded
from longshore.registry.events import (
    ManifestDeleted,
    ManifestPulled,
    ManifestPushed,
    TagDeleted,
    TagMoved,
)

_LIBRARY: Final = "library"
_CHANGES: Final = (ManifestPushed, ManifestDeleted, TagMoved, TagDeleted, ManagementChange)


class AuditRecorder:
    """``pulls`` is the part of pulls that is recorded, from 0 to 1."""

    name = "audit"
    batch = 500

    def __init__(self, sealing: Sealing, pulls: float = 0.0) -> None:
        self._sealing = sealing
        self._pulls = pulls

    def ignores(self, kind: type[Event]) -> bool:
        """See :class:`longshore.outbox.model.Choosy`."""
        return not (self._pulls > 0 if kind is ManifestPulled else issubclass(kind, _CHANGES))

    def wants(self, event: Event) -> bool:
        if isinstance(event, ManifestPulled):
            return self._pulls > 0 and (self._pulls >= 1 or _chance(event) < self._pulls)
        return isinstance(event, _CHANGES)

    def record(self, connection: Connection, events: Sequence[Recorded]) -> None:
        store.append(connection, self._sealing, [entry_of(recorded) for recorded in events])


def entry_of(recorded: Recorded) -> Entry:
    """What the log says of an event, one that :class:`AuditRecorder` wants."""
    event = recorded.event
    project = description = ""
    successful = True
    match event:
        case ManagementChange():
            operation, kind, resource = event.operation, event.resource_type, event.resource
            project, description = event.project, event.description
            successful = event.successful
        case ManifestPushed():
            operation, kind = "create", "artifact"
            resource = f"{event.repository}@{event.digest}"
            tags = f", tagged {', '.join(event.tags)}" if event.tags else ""
            description = f"pushed {event.size} bytes of {event.media_type}{tags}"
        case ManifestDeleted():
            operation, kind = "delete", "artifact"
            resource = f"{event.repository}@{event.digest}"
        case TagMoved():
            operation = "create" if event.previous is None else "update"
            kind, resource = "tag", f"{event.repository}:{event.tag}"
            before = f", before to {event.previous}" if event.previous else ""
            description = f"points to {event.digest}{before}"
        case TagDeleted():
            operation, kind = "delete", "tag"
            resource = f"{event.repository}:{event.tag}"
            description = f"pointed to {event.digest}"
        case ManifestPulled():
            operation, kind = "pull", "artifact"
            by = f":{event.tag}" if event.tag else f"@{event.digest}"
            resource = f"{event.repository}{by}"
            description = f"pulled {event.digest}"
        case _:
            raise TypeError(f"{type(event).__name__} is no event of the audit log")
    if not isinstance(event, ManagementChange):
        project = _project(event.repository)
    origin = event.origin
    return Entry(
        at=event.at,
        actor=clean(origin.actor),
        address=clean(origin.address),
        operation=clean(operation),
        resource_type=clean(kind),
        resource=clean(resource),
        project=clean(project),
        description=clean(description),
        successful=successful,
        user_agent=clean(origin.user_agent),
        request_id=clean(origin.request_id),
        event_id=recorded.id,
    )


def _project(repository: str) -> str:
    name, slash, _ = repository.partition("/")
    return name if slash else _LIBRARY


def _chance(event: ManifestPulled) -> float:
    """From 0 to 1, the same whenever it is asked for the event: deferred events are asked about twice."""
    text = f"{event.at} {event.repository} {event.digest} {event.origin.request_id}"
    return zlib.crc32(text.encode("utf-8", "replace")) / 2**32
