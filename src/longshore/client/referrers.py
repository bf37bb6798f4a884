"""Referrers: what points to an image by its `subject` (OCI Distribution 1.1, "Listing Referrers").

A registry without the API keeps them under a tag made of the subject's digest; clients write
that tag themselves.
"""

import json
from collections.abc import Sequence
from typing import Any

from longshore.client.content import parse_manifest
from longshore.oci import mediatypes
from longshore.oci.descriptor import Descriptor
from longshore.oci.manifest import Manifest


def index_of(raw: bytes) -> list[Descriptor]:
    """The entries of a referrers index. Raises ContentInvalid when it is none."""
    return list(parse_manifest(raw, mediatypes.OCI_INDEX).children)


def referrer_entry(manifest: Manifest, descriptor: Descriptor) -> Descriptor:
    """How a manifest is listed among its subject's referrers."""
    return Descriptor(
        manifest.media_type,
        descriptor.digest,
        manifest.size,
        artifact_type=manifest.artifact_type,
        annotations=manifest.annotations,
    )


def of_type(entries: Sequence[Descriptor], artifact_type: str | None) -> list[Descriptor]:
    """Only the entries of this artifact type; all of them for None."""
    return [e for e in entries if artifact_type is None or e.artifact_type == artifact_type]


def with_entry(entries: Sequence[Descriptor], entry: Descriptor) -> bytes | None:
    """The index for the fallback tag with one more entry; None if it has that already."""
    if any(known.digest == entry.digest for known in entries):
        return None
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": mediatypes.OCI_INDEX,
        "manifests": [known.to_json() for known in [*entries, entry]],
    }
    return json.dumps(document, separators=(",", ":")).encode()
