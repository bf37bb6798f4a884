"""The wire form of events: distribution's ``application/vnd.docker.distribution.events.v2+json``."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from longshore.oci.descriptor import Descriptor
from longshore.oci.mediatypes import OCTET_STREAM
from longshore.outbox.model import Event, Recorded
from longshore.registry.events import (
    BlobMounted,
    BlobPulled,
    BlobPushed,
    ManifestDeleted,
    ManifestPulled,
    ManifestPushed,
    TagDeleted,
)

MEDIA_TYPE: Final = "application/vnd.docker.distribution.events.v2+json"

References = Sequence[Descriptor]


@dataclass(frozen=True, slots=True)
class Source:
    """The process that tells: its address, and an id that is new at each start."""

    address: str
    instance: str


def action_of(event: Event) -> str | None:
    """distribution's word for what happened; None for what it does not tell."""
    match event:
        case ManifestPushed() | BlobPushed():
            return "push"
        case ManifestPulled() | BlobPulled():
            return "pull"
        case BlobMounted():
            return "mount"
        case ManifestDeleted() | TagDeleted():
            return "delete"
        case _:
            return None


def envelope(
    recorded: Recorded, source: Source, base: str, references: References | None = None
) -> bytes:
    """The body of a request. ``base`` is the URL of the registry for clients; ``references`` are what
    a manifest refers to, None not to tell."""
    event = recorded.event
    shared = {
        "timestamp": datetime.fromtimestamp(event.at, UTC).isoformat().replace("+00:00", "Z"),
        "action": action_of(event),
        "request": _request(event),
        "actor": {"name": event.origin.actor} if event.origin.actor else {},
        "source": {"addr": source.address, "instanceID": source.instance},
    }
    events = [
        {"id": _id(recorded.id, number), **shared, "target": target}
        for number, target in enumerate(_targets(event, base, references))
    ]
    return json.dumps({"events": events}).encode()


def _targets(event: Event, base: str, references: References | None) -> list[dict[str, Any]]:
    """What each of distribution's events is about: there a push has one tag."""
    match event:
        case ManifestPushed() | ManifestPulled():
            target = _content(event, event.media_type, f"{base}/v2/{event.repository}/manifests")
            if references:
                target["references"] = [found.to_json() for found in references]
            if isinstance(event, ManifestPulled):
                return [{**target, "tag": event.tag} if event.tag else target]
            return [{**target, "tag": tag} for tag in event.tags] or [target]
        case BlobPushed() | BlobPulled() | BlobMounted():
            target = _content(event, OCTET_STREAM, f"{base}/v2/{event.repository}/blobs")
            if isinstance(event, BlobMounted) and event.source:
                target["fromRepository"] = event.source
            return [target]
        case ManifestDeleted():
            return [{"digest": event.digest, "repository": event.repository}]
        case TagDeleted():
            return [{"repository": event.repository, "tag": event.tag}]
        case _:
            return []


def media_type_of(event: Event) -> str:
    """What distribution calls the type of what the event is about; empty where it tells none."""
    match event:
        case ManifestPushed() | ManifestPulled():
            return event.media_type
        case BlobPushed() | BlobPulled() | BlobMounted():
            return OCTET_STREAM
        case _:
            return ""


def _content(
    event: ManifestPushed | ManifestPulled | BlobPushed | BlobPulled | BlobMounted,
    media_type: str,
    place: str,
) -> dict[str, Any]:
    return {
        "mediaType": media_type,
        "size": event.size,
        "digest": event.digest,
        "length": event.size,
        "repository": event.repository,
        "url": f"{place}/{event.digest}",
    }


def _request(event: Event) -> dict[str, str]:
    origin = event.origin
    fields = {
        "id": origin.request_id,
        "addr": origin.address,
        "host": origin.host,
        "method": origin.method,
        "useragent": origin.user_agent,
    }
    return {name: value for name, value in fields.items() if value}


def _id(event_id: str, number: int) -> str:
    """The same at every attempt."""
    first = uuid.UUID(event_id)
    return str(first if number == 0 else uuid.uuid5(first, str(number)))
