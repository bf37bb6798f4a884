"""Where things lie: the tree of CNCF distribution, so that its data can be adopted in place.

    /docker/registry/v2
    └── blobs
        └── <algorithm>
            └── <first two hex digits>
                └── <hex>
                    └── data          bytes of layers, configs and manifests

Repositories, tags and links are rows in the database; distribution has them as files below
``repositories``. What an upload has staged is the driver's own business (the filesystem driver keeps
it beside this tree, on the same file system).
"""

from typing import Final

from longshore.oci.digest import Digest
from longshore.oci.errors import DigestInvalid

ROOT: Final = "/docker/registry/v2"
BLOBS: Final = f"{ROOT}/blobs"
#: Where distribution keeps its links, which are none of ours.
REPOSITORIES: Final = f"{ROOT}/repositories"


def blob(digest: Digest) -> str:
    """The path of a blob's or a manifest's bytes."""
    algorithm, _, hexadecimal = digest.partition(":")
    return f"{BLOBS}/{algorithm}/{hexadecimal[:2]}/{hexadecimal}/data"


def blob_digest(path: str) -> Digest | None:
    """The digest whose bytes lie at ``path``, or None when that is no blob's path."""
    parts = path.removeprefix(f"{BLOBS}/").split("/")
    if len(parts) != 4 or parts[3] != "data":
        return None
    try:
        digest = Digest(f"{parts[0]}:{parts[2]}")
    except DigestInvalid:
        return None
    return digest if blob(digest) == path else None


def linked_manifest_repository(path: str) -> str | None:
    """The repository of which ``path`` is distribution's link to a manifest; None for other paths."""
    name, found, _ = path.removeprefix(f"{REPOSITORIES}/").partition("/_manifests/revisions/")
    return name if found else None
