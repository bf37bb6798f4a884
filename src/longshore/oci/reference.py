"""References as people type them: ``registry.example:5000/team/app:1.4@sha256:...``.

The rule which first component is a host (it holds a dot or a colon, or is ``localhost``) and the
defaults ``docker.io``, ``library/`` and ``latest`` are those of the docker command line.
"""

from dataclasses import dataclass, replace
from typing import Final

from longshore.oci.digest import Digest
from longshore.oci.errors import NameInvalid
from longshore.oci.names import RepositoryName, Tag

DOCKER_HUB: Final = "docker.io"
DEFAULT_TAG: Final = "latest"


@dataclass(frozen=True, slots=True)
class Reference:
    """An image in some registry. ``registry`` is ``host[:port]``; tag and digest may both be set,
    then the digest decides and the tag is for people."""

    registry: str
    repository: RepositoryName
    tag: Tag | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Raises NameInvalid, TagInvalid or DigestInvalid, each naming the part that is wrong."""
        rest, at, digest_text = text.partition("@")
        digest = Digest(digest_text) if at else None
        registry, slash, path = rest.partition("/")
        if not slash or not ("." in registry or ":" in registry or registry == "localhost"):
            registry, path = DOCKER_HUB, rest
        name, colon, tag_text = path.rpartition(":")
        if not colon:
            name, tag_text = path, ""
        if not name:
            raise NameInvalid(f"{text!r} names no repository: expected [registry/]name[:tag]")
        if registry in ("index.docker.io", "registry-1.docker.io"):
            registry = DOCKER_HUB
        if registry == DOCKER_HUB and "/" not in name:
            name = f"library/{name}"
        tag = Tag(tag_text) if colon else None
        return cls(registry, RepositoryName(name), tag, digest)

    @property
    def target(self) -> Tag | Digest:
        """What to ask the registry for: the digest if there is one, else the tag, else ``latest``."""
        return self.digest or self.tag or Tag(DEFAULT_TAG)

    def with_digest(self, digest: Digest) -> "Reference":
        return replace(self, digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"
