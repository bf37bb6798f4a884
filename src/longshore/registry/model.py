"""What the data plane's store answers with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from longshore.oci.digest import Digest
from longshore.oci.names import RepositoryName
from longshore.storage.driver import Staged


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob that some repository may read; ``size`` in bytes."""

    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest of a repository: what is known without reading its bytes."""

    digest: Digest
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Upload:
    """Bytes on their way in. ``digest`` is that of the ``staged.size`` bytes so far, in the
    session's ``algorithm``, or None while there are none. ``owner`` began it (empty: anonymous)."""

    id: str
    repository: RepositoryName
    owner: str
    algorithm: str
    staged: Staged
    digest: Digest | None = None
    started_at: float = 0.0

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
