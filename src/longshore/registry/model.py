"""What the data plane's store answers with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from typing import Any

from longshore.oci.digest import Digest
from longshore.oci.errors import Unavailable
from longshore.oci.names import RepositoryName
from longshore.storage.backends import DEFAULT
from longshore.storage.driver import Staged


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob that some repository may read; ``size`` in bytes, which lie in ``backend``. ``condemned``: collection found it
    unused, so before anybody is promised that it is there that must be taken back."""

    digest: Digest
    size: int
    condemned: bool = False
    backend: str = DEFAULT


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest of a repository: what is known without reading its bytes. ``condemned``: as for a
    blob."""

    digest: Digest
    media_type: str
    size: int
    condemned: bool = False
    backend: str = DEFAULT


class BlobState(StrEnum):
    """What is true of the bytes under a digest."""

    STORED = "stored"
    #: Collection is about to remove them; nobody may rely on them, nor put them there again yet.
    DELETING = "deleting"
    #: They are not what their digest says; as good as missing until somebody pushes them again.
    QUARANTINED = "quarantined"


class BlobGoing(Unavailable):
    """Collection is removing the old bytes under a digest; a moment later they can be pushed."""

    def __init__(self, digest: Digest) -> None:
        super().__init__(
            f"unused bytes of {digest} are just being removed: push the blob again in a moment",
            headers={"Retry-After": "5"},
        )


class Standing(Enum):
    """Whether bytes that are put under a digest now will stay."""

    SAFE = auto()
    #: Collection found the digest unused a while ago: say that it is wanted, first.
    CONDEMNED = auto()
    #: The old bytes are being removed: wait until they are gone.
    DELETING = auto()
    #: What lies there is bad: it must be replaced, not taken for what is on its way.
    QUARANTINED = auto()


@dataclass(frozen=True, slots=True)
class Upload:
    """Bytes on their way in. ``digest`` is that of the ``staged.size`` bytes so far, in the
    session's ``algorithm``, or None while there are none. ``owner`` began it (empty: anonymous).
    What arrives is staged in ``backend``."""

    id: str
    repository: RepositoryName
    owner: str
    algorithm: str
    staged: Staged
    digest: Digest | None = None
    started_at: float = 0.0
    backend: str = DEFAULT

    @property
    def size(self) -> int:
        return self.staged.size


@dataclass(frozen=True, slots=True)
class Referrer:
    """A manifest whose subject is another: the row behind one descriptor of a referrers list."""

    digest: Digest
    media_type: str
    size: int
    artifact_type: str | None
    annotations: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size,
        }
        if self.artifact_type:
            document["artifactType"] = self.artifact_type
        if self.annotations:
            document["annotations"] = self.annotations
        return document


class AdoptionState(StrEnum):
    """How far the rows know what another registry left in storage as links.

    While it is ``RUNNING``, a blob without rows may still belong to somebody: nothing is collected.
    """

    NOT_STARTED = "not started"
    RUNNING = "running"
    FINISHED = "finished"
