"""What happens in the data plane and others may want to hear of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from longshore.outbox.model import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestPushed(Event):
    """A manifest of ``size`` bytes was pushed to a repository, under ``tags``; also one that was there
    already. ``subject`` is the digest that it refers to as an attachment, if it does."""

    kind: ClassVar[str] = "manifest.pushed"

    repository: str
    digest: str
    media_type: str
    size: int
    tags: tuple[str, ...] = ()
    subject: str | None = None
    artifact_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestDeleted(Event):
    """A manifest was deleted. Its tags went before it: each has an event of its own."""

    kind: ClassVar[str] = "manifest.deleted"

    repository: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TagMoved(Event):
    """A tag points to another digest now; ``previous`` is None for a new tag."""

    kind: ClassVar[str] = "tag.moved"

    repository: str
    tag: str
    digest: str
    previous: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TagDeleted(Event):
    """A tag was deleted, by itself or with the manifest ``digest`` that it pointed to."""

    kind: ClassVar[str] = "tag.deleted"

    repository: str
    tag: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestPulled(Event):
    """A manifest was sent to a client, which asked for it by ``tag`` or, if that is None, by digest.
    Like all events below, one that a process that is killed may forget."""

    kind: ClassVar[str] = "manifest.pulled"

    repository: str
    digest: str
    media_type: str
    size: int
    tag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobPulled(Event):
    """A whole blob was sent to a client, or the client to where it is."""

    kind: ClassVar[str] = "blob.pulled"

    repository: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobPushed(Event):
    """A blob was uploaded to a repository."""

    kind: ClassVar[str] = "blob.pushed"

    repository: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobMounted(Event):
    """A repository was given a blob that the registry had; ``source`` is the repository that the
    client named, None if it named none."""

    kind: ClassVar[str] = "blob.mounted"

    repository: str
    digest: str
    size: int
    source: str | None = None


#: Every event of the data plane under its kind.
EVENTS: Final[Mapping[str, type[Event]]] = {
    event.kind: event
    for event in (
        ManifestPushed,
        ManifestDeleted,
        TagMoved,
        TagDeleted,
        ManifestPulled,
        BlobPulled,
        BlobPushed,
        BlobMounted,
    )
}
