"""Referrers for registries that do not know them: the list under a tag that clients then look for.

Distribution 1.1, "Referrers Tag Schema": an index of the referrers under a tag made of the subject's
digest. Clients keep it themselves where there is no referrers API; what was attached here has none, so
on the way back one is written. It says that it was, and is not taken over again.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from longshore.oci import mediatypes
from longshore.oci.manifest import Manifest
from longshore.registry.model import Referrer

_MARK: Final = "io.longshore.generated"


def fallback_index(referrers: Sequence[Referrer]) -> bytes:
    """The index; the same bytes for the same referrers."""
    document: Mapping[str, object] = {
        "schemaVersion": 2,
        "mediaType": mediatypes.OCI_INDEX,
        "manifests": [referrer.to_json() for referrer in referrers],
        "annotations": {_MARK: "referrers"},
    }
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def is_generated(manifest: Manifest) -> bool:
    """Whether the manifest is such an index."""
    return manifest.is_index and manifest.annotations.get(_MARK) == "referrers"
