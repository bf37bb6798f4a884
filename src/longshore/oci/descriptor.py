"""Content descriptors and platforms (OCI Image Specification, descriptor.md and image-index.md)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from longshore.oci.digest import Digest
from longshore.oci.errors import DigestInvalid, ManifestInvalid

#: Larger sizes cannot be represented by clients that use a signed 64-bit integer.
MAX_SIZE = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image runs on: ``linux/amd64``, ``linux/arm/v7``, ``windows/amd64:10.0.17763``."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""

    @classmethod
    def parse(cls, text: str) -> "Platform":
        """``os/architecture[/variant]``; raises ValueError for anything else."""
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(parts):
            raise ValueError(f"{text!r} is not a platform: expected os/architecture[/variant]")
        return cls(*parts)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Platform":
        def text(key: str) -> str:
            found = value.get(key, "")
            return found if isinstance(found, str) else ""

        return cls(text("os"), text("architecture"), text("variant"), text("os.version"))

    def to_json(self) -> dict[str, str]:
        named = {
            "architecture": self.architecture,
            "os": self.os,
            "os.version": self.os_version,
            "variant": self.variant,
        }
        return {
            key: value for key, value in named.items() if value or key in ("architecture", "os")
        }

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A pointer to content: its type, its digest, its size in bytes, and what is said about it."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    artifact_type: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    urls: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, value: Any, where: str) -> "Descriptor":
        """Raises ManifestInvalid naming ``where`` in the document the fault is."""
        if not isinstance(value, dict):
            raise ManifestInvalid(f"{where} is not a descriptor: expected a JSON object")
        media_type = value.get("mediaType", "")
        if not isinstance(media_type, str):
            raise ManifestInvalid(f"{where}.mediaType is not a string")
        size = value.get("size", 0)
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_SIZE:
            raise ManifestInvalid(f"{where}.size is {size!r:.40}: expected a number of bytes")
        digest = value.get("digest")
        if not isinstance(digest, str):
            raise ManifestInvalid(f"{where}.digest is missing")
        try:
            parsed = Digest(digest)
        except DigestInvalid as error:
            raise ManifestInvalid(f"{where}.digest: {error.message}") from error
        platform = value.get("platform")
        artifact_type = value.get("artifactType")
        urls = value.get("urls") or ()
        return cls(
            media_type,
            parsed,
            size,
            platform=Platform.from_json(platform) if isinstance(platform, dict) else None,
            artifact_type=artifact_type if isinstance(artifact_type, str) else None,
            annotations=string_map(value.get("annotations"), f"{where}.annotations"),
            urls=tuple(url for url in urls if isinstance(url, str)) if urls else (),
        )

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
        }
        if self.urls:
            document["urls"] = list(self.urls)
        if self.platform:
            document["platform"] = self.platform.to_json()
        if self.artifact_type:
            document["artifactType"] = self.artifact_type
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        return document


def string_map(value: Any, where: str) -> Mapping[str, str]:
    """Annotations: an object of strings, or nothing."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise ManifestInvalid(f"{where} is not an object whose values are strings")
    return value
