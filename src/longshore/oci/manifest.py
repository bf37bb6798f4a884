"""Manifests: bytes in, what they point to out. The bytes are never written anew.

OCI Image Specification manifest.md and image-index.md, Docker image manifest version 2 schema 2.
A document of any other media type is accepted too: whatever of ``config``, ``layers``, ``blobs``,
``manifests`` and ``subject`` it holds in the well-known shape is understood, the rest is opaque.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from longshore.oci import mediatypes
from longshore.oci.descriptor import Descriptor, string_map
from longshore.oci.digest import Digest
from longshore.oci.errors import ManifestInvalid

#: More entries than any real image has; bounds the work that one document can cause.
MAX_REFERENCES: Final = 50_000


@dataclass(frozen=True, slots=True)
class Manifest:
    """One parsed manifest. ``blobs`` are the config and the layers, ``children`` the manifests of
    an index. ``artifact_type`` follows the referrers rule: the manifest's own, else the config's
    media type, else nothing."""

    raw: bytes
    media_type: str
    config: Descriptor | None = None
    blobs: Sequence[Descriptor] = ()
    children: Sequence[Descriptor] = ()
    subject: Descriptor | None = None
    artifact_type: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_index(self) -> bool:
        return self.media_type in mediatypes.INDEXES

    @property
    def size(self) -> int:
        return len(self.raw)

    def digest(self, algorithm: str = "sha256") -> Digest:
        return Digest.of(self.raw, algorithm)

    @classmethod
    def parse(cls, raw: bytes, content_type: str = "") -> "Manifest":
        """Understand ``raw``, sent with this Content-Type (empty when there was none).

        Raises ManifestInvalid when it is not a JSON object, contradicts its own type, or is a
        schema 1 manifest.
        """
        document = _load(raw)
        declared = document.get("mediaType", "")
        if not isinstance(declared, str):
            raise ManifestInvalid("manifest mediaType is not a string")
        header = mediatypes.essence(content_type)
        media_type = header or declared or _sniff(document)
        _check_type(document, header, declared, media_type)
        config = _descriptor(document, "config")
        layers = _descriptors(document, "layers") + _descriptors(document, "blobs")
        artifact_type = document.get("artifactType") or (config.media_type if config else None)
        return cls(
            raw,
            media_type,
            config=config,
            blobs=([config] if config else []) + layers,
            children=_descriptors(document, "manifests"),
            subject=_descriptor(document, "subject"),
            artifact_type=artifact_type if isinstance(artifact_type, str) else None,
            annotations=string_map(document.get("annotations"), "manifest annotations"),
        )


def _load(raw: bytes) -> dict[str, Any]:
    try:
        document = json.loads(raw, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ManifestInvalid(f"the manifest is not valid JSON: {reason}") from error
    if not isinstance(document, dict):
        raise ManifestInvalid(
            f"the manifest is a JSON {type(document).__name__} where an object is expected"
        )
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Two readers of {"layers": A, "layers": B} may see different images (CVE-2021-41190 was of
    # this family), so an ambiguous document is refused.
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {twice!r} occurs twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _sniff(document: Mapping[str, Any]) -> str:
    if document.get("schemaVersion") == 1:
        return mediatypes.DOCKER_SCHEMA1
    return mediatypes.OCI_INDEX if "manifests" in document else mediatypes.OCI_MANIFEST


def _check_type(document: Mapping[str, Any], header: str, declared: str, media_type: str) -> None:
    if media_type in mediatypes.SCHEMA1 or document.get("schemaVersion") == 1:
        raise ManifestInvalid(
            "Docker image manifest schema 1 is not accepted: it was withdrawn in 2019. "
            "Push with docker 1.10 or newer, or convert the image with "
            "'skopeo copy --format v2s2 SOURCE DESTINATION'"
        )
    if declared and header and mediatypes.essence(declared) != header:
        raise ManifestInvalid(
            f"the manifest says mediaType {declared!r:.120}, the request says Content-Type "
            f"{header!r:.120}: they must agree"
        )
    is_index, is_manifest = media_type in mediatypes.INDEXES, media_type in mediatypes.MANIFESTS
    if is_index and ("layers" in document or "config" in document):
        raise ManifestInvalid(f"an index ({media_type}) must not have 'config' or 'layers'")
    if is_manifest and "manifests" in document:
        raise ManifestInvalid(f"an image manifest ({media_type}) must not have 'manifests'")
    if media_type in (mediatypes.OCI_MANIFEST, mediatypes.DOCKER_MANIFEST):
        _require(document, media_type, "config", dict)
        _require(document, media_type, "layers", list)
    if is_index:
        _require(document, media_type, "manifests", list)
    if (is_index or (is_manifest and media_type != mediatypes.OCI_ARTIFACT)) and document.get(
        "schemaVersion"
    ) != 2:
        raise ManifestInvalid(
            f"schemaVersion is {document.get('schemaVersion')!r:.40}; {media_type} requires 2"
        )


def _require(document: Mapping[str, Any], media_type: str, key: str, kind: type) -> None:
    if not isinstance(document.get(key), kind):
        wanted = "an object" if kind is dict else "a list"
        raise ManifestInvalid(f"{key!r} is missing or not {wanted}; {media_type} requires it")


def _descriptor(document: Mapping[str, Any], key: str) -> Descriptor | None:
    value = document.get(key)
    if not isinstance(value, dict) or "digest" not in value:
        if value is not None and key == "subject":
            raise ManifestInvalid("'subject' is not a descriptor: it needs mediaType, digest, size")
        return None
    return Descriptor.from_json(value, key)


def _descriptors(document: Mapping[str, Any], key: str) -> list[Descriptor]:
    values = document.get(key)
    if not isinstance(values, list):
        return []
    if len(values) > MAX_REFERENCES:
        raise ManifestInvalid(f"{key!r} has {len(values)} entries; at most {MAX_REFERENCES} fit")
    return [Descriptor.from_json(value, f"{key}[{index}]") for index, value in enumerate(values)]
