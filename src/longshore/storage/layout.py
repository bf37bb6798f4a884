"""Where things lie: the tree of CNCF distribution, so that its data can be adopted in place.

    /docker/registry/v2
    └── blobs
        └── <algorithm>
            └── <first two hex digits>
                └── <hex>
                    └── data          bytes of layers, configs and manifests

Repositories, tags and links are rows in the database. What an upload has staged is the driver's
own business (the filesystem driver keeps it beside this tree, on the same file system).
"""

from typing import Final

from longshore.oci.digest import Digest

ROOT: Final = "/docker/registry/v2"
BLOBS: Final = f"{ROOT}/blobs"


def blob(digest: Digest) -> str:
    """The path of a blob's or a manifest's bytes."""
    algorithm, _, hexadecimal = digest.partition(":")
    return f"{BLOBS}/{algorithm}/{hexadecimal[:2]}/{hexadecimal}/data"


def blob_digest(path: str) -> Digest | None:
    """The digest whose bytes lie at ``path``, or None when that is no blob's path."""
    parts = path.removeprefix(f"{BLOBS}/").split("/")
    if len(parts) != 4 or parts[3] != "data":
        return None
    candidate = f"{parts[0]}:{parts[2]}"
    digest = Digest(candidate)
    return digest if blob(digest) == path else None
