"""Repositories and artifacts as people see them. Times are POSIX seconds, sizes bytes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from longshore.identity.model import View
from longshore.oci import mediatypes

#: Where a project's name ends in the media type of a configuration: vnd.cncf.helm.config.v1+json.
_KIND: Final = re.compile(r"application/vnd\.[^.]+\.(.+)\.config\.[^.]+\+json")
_IMAGES: Final = frozenset(
    {
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
    }
)
_KINDS: Final[Mapping[str, str]] = {
    "application/vnd.cncf.helm.config.v1+json": "CHART",
    "application/vnd.cnab.manifest.v1": "CNAB",
    "application/vnd.wasm.config.v1+json": "WASM",
    "application/vnd.cnai.model.config.v1+json": "CNAI",
    "application/vnd.goharbor.harbor.sbom.v1": "SBOM",
}
#: What an accessory is, by its artifact type or the media type of its configuration.
_ACCESSORIES: Final[Mapping[str, str]] = {
    "application/vnd.cncf.notary.signature": "signature.notation",
    "application/vnd.dev.cosign.artifact.sig.v1+json": "signature.cosign",
    "application/vnd.dev.cosign.simplesigning.v1+json": "signature.cosign",
    "application/vnd.dev.sigstore.bundle.v0.3+json": "signature.cosign",
    "application/vnd.goharbor.harbor.sbom.v1": "sbom.harbor",
}


def kind_of(media_type: str, artifact_type: str | None) -> str:
    """Harbor's word for what an artifact is: IMAGE, CHART, WASM, UNKNOWN ..."""
    if media_type in mediatypes.INDEXES or artifact_type in _IMAGES:
        return "IMAGE"
    known = _KINDS.get(artifact_type or "")
    if known:
        return known
    found = _KIND.fullmatch(artifact_type or "")
    return found[1].upper() if found else "UNKNOWN"


def is_image(media_type: str, artifact_type: str | None) -> bool:
    """Whether there is an image's configuration to read."""
    return media_type not in mediatypes.INDEXES and artifact_type in _IMAGES


def accessory_kind(artifact_type: str | None, tag: str = "") -> str:
    """Harbor's word for what is attached to another artifact."""
    if tag.endswith(".sig"):
        return "signature.cosign"
    return _ACCESSORIES.get(artifact_type or "", "subject.accessory")


@dataclass(frozen=True, slots=True)
class Repository:
    """``name`` is whole, with the project's."""

    id: int
    name: str
    project: str
    created_at: float
    updated_at: float
    artifacts: int
    description: str
    pulls: int


@dataclass(frozen=True, slots=True)
class Tag:
    """A name of an artifact."""

    name: str
    digest: str
    pushed_at: float
    pulled_at: float | None


@dataclass(frozen=True, slots=True)
class Label:
    """A word that is put on artifacts; everybody's when it has no project."""

    id: int
    name: str
    description: str
    color: str
    project_id: int | None
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class Accessory:
    """What is attached to an artifact: a signature, a bill of materials."""

    id: int
    digest: str
    size: int
    kind: str
    subject: str
    subject_id: int | None
    created_at: float


@dataclass(frozen=True, slots=True)
class Child:
    """A manifest that an index lists; ``id`` is None for one that is not here."""

    id: int | None
    digest: str


@dataclass(frozen=True, slots=True)
class Artifact:
    """A manifest with everything that belongs to it. ``extra`` is what its configuration says, None if
    nobody has read it yet; ``config`` the digest of that."""

    id: int
    repository_id: int
    repository: str
    digest: str
    media_type: str
    artifact_type: str | None
    size: int
    subject: str | None
    annotations: Mapping[str, str]
    pushed_at: float
    pulled_at: float | None
    extra: Mapping[str, Any] | None = None
    config: str | None = None
    tags: Sequence[Tag] = ()
    labels: Sequence[Label] = ()
    accessories: Sequence[Accessory] = ()
    children: Sequence[Child] = ()

    @property
    def kind(self) -> str:
        return kind_of(self.media_type, self.artifact_type)

    @property
    def is_image(self) -> bool:
        return is_image(self.media_type, self.artifact_type)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which parts of artifacts to read."""

    tags: bool = True
    labels: bool = False
    accessories: bool = True


@dataclass(frozen=True, slots=True)
class Reader:
    """For whom a project with rules about its repositories is listed. ``listable``: they may list it where no rule
    says otherwise."""

    view: View
    listable: bool


@dataclass(frozen=True, slots=True)
class Statistics:
    """How much there is, of what somebody may see."""

    private_projects: int
    public_projects: int
    private_repositories: int
    public_repositories: int
    bytes: int = field(default=0)
