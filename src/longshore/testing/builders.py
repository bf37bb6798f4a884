"""Images and artifacts with good defaults: a test shows only what matters to it."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longshore.oci import mediatypes
from longshore.oci.descriptor import Descriptor, Platform
from longshore.oci.digest import Digest


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes with their descriptor."""

    descriptor: Descriptor
    data: bytes

    @property
    def digest(self) -> Digest:
        return self.descriptor.digest


@dataclass(frozen=True, slots=True)
class Image:
    """A manifest and the blobs it needs."""

    manifest: Content
    blobs: Sequence[Content]

    @property
    def digest(self) -> Digest:
        return self.manifest.digest


def random_bytes(size: int, seed: int = 0) -> bytes:
    """The same bytes for the same seed."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - test data


def content(
    data: bytes, media_type: str = mediatypes.OCTET_STREAM, *, algorithm: str = "sha256"
) -> Content:
    return Content(Descriptor(media_type, Digest.of(data, algorithm), len(data)), data)


def image(
    layers: Sequence[bytes] = (b"layer",),
    *,
    config: bytes | None = None,
    platform: Platform | None = None,
    media_type: str = mediatypes.OCI_MANIFEST,
    **extra: Any,
) -> Image:
    """An OCI image; ``extra`` are further fields of the manifest (``subject``, ``annotations``...)."""
    target = platform or Platform("linux", "amd64")
    settings = config or json.dumps({**target.to_json(), "rootfs": {"type": "layers"}}).encode()
    config_content = content(settings, mediatypes.OCI_CONFIG)
    blobs = [content(layer, mediatypes.OCI_LAYER) for layer in layers]
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": config_content.descriptor.to_json(),
        "layers": [blob.descriptor.to_json() for blob in blobs],
        **extra,
    }
    return Image(_manifest(document, media_type), [config_content, *blobs])


def index(children: Sequence[Content], **extra: Any) -> Content:
    """An OCI index of manifests."""
    document = {
        "schemaVersion": 2,
        "mediaType": mediatypes.OCI_INDEX,
        "manifests": [child.descriptor.to_json() for child in children],
        **extra,
    }
    return _manifest(document, mediatypes.OCI_INDEX)


def artifact(
    subject: Content | None = None,
    artifact_type: str = "application/vnd.example.sbom",
    annotations: Mapping[str, str] | None = None,
) -> Image:
    """An artifact that refers to ``subject``, as ORAS makes one."""
    extra: dict[str, Any] = {"artifactType": artifact_type}
    if subject:
        extra["subject"] = subject.descriptor.to_json()
    if annotations:
        extra["annotations"] = dict(annotations)
    return image(layers=[b"artifact"], config=b"{}", **extra)


def _manifest(document: Mapping[str, Any], media_type: str) -> Content:
    return content(json.dumps(document).encode(), media_type)
