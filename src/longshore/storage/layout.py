"""Where things lie: the tree of CNCF distribution, so that its data can be adopted in place.

    /docker/registry/v2
    ├── blobs
    │   └── <algorithm>/<first two hex digits>/<hex>/data       bytes of layers, configs and manifests
    └── repositories
        └── <name>
            ├── _layers/<algorithm>/<hex>/link                  the repository may read that blob
            └── _manifests
                ├── revisions/<algorithm>/<hex>/link            it holds that manifest
                └── tags/<tag>
                    ├── current/link                            what the tag names now
                    └── index/<algorithm>/<hex>/link            what it has ever named

A link is a file whose content is a digest, with nothing after it. Repositories, tags and links are
rows in the database here; the files are distribution's, which adoption reads and ``export-links``
writes. What an upload has staged is the driver's own business (the filesystem driver keeps it beside
this tree, on the same file system).
"""

from dataclasses import dataclass
from typing import Final

from longshore.oci.digest import Digest
from longshore.oci.errors import DigestInvalid

ROOT: Final = "/docker/registry/v2"
BLOBS: Final = f"{ROOT}/blobs"
#: What the server fetches to see whether clients could.
PROBE: Final = f"{ROOT}/longshore-probe"
#: Where distribution keeps its links.
REPOSITORIES: Final = f"{ROOT}/repositories"
MANIFESTS: Final = "_manifests"
_REVISIONS: Final = f"{MANIFESTS}/revisions"
_TAGS: Final = f"{MANIFESTS}/tags"
_LAYERS: Final = "_layers"


def blob(digest: Digest) -> str:
    """The path of a blob's or a manifest's bytes."""
    algorithm, _, hexadecimal = digest.partition(":")
    return f"{BLOBS}/{algorithm}/{hexadecimal[:2]}/{hexadecimal}/data"


def blob_digest(path: str) -> Digest | None:
    """The digest whose bytes lie at ``path``, or None when that is no blob's path."""
    parts = path.removeprefix(f"{BLOBS}/").split("/")
    if len(parts) != 4 or parts[3] != "data":
        return None
    digest = _digest(parts[0], parts[2])
    return digest if digest and blob(digest) == path else None


def linked_manifest_repository(path: str) -> str | None:
    """The repository of which ``path`` is distribution's link to a manifest; None for other paths."""
    name, found, _ = path.removeprefix(f"{REPOSITORIES}/").partition(f"/{_REVISIONS}/")
    return name if found else None


def revisions(name: str) -> str:
    """Below this are the links to a repository's manifests."""
    return f"{REPOSITORIES}/{name}/{_REVISIONS}"


def tags(name: str) -> str:
    """Below this are the links of a repository's tags."""
    return f"{REPOSITORIES}/{name}/{_TAGS}"


def layers(name: str) -> str:
    """Below this are the links to the blobs that a repository may read."""
    return f"{REPOSITORIES}/{name}/{_LAYERS}"


def link_directories(name: str) -> tuple[str, str]:
    """All links of a repository, and of no other, are below these."""
    return f"{REPOSITORIES}/{name}/{MANIFESTS}", layers(name)


def revision_link(name: str, digest: Digest) -> str:
    return f"{revisions(name)}/{_segments(digest)}/link"


def layer_link(name: str, digest: Digest) -> str:
    return f"{layers(name)}/{_segments(digest)}/link"


def tag_link(name: str, tag: str) -> str:
    """The link to what the tag names now."""
    return f"{tags(name)}/{tag}/current/link"


def tag_index_link(name: str, tag: str, digest: Digest) -> str:
    """The link that says that the tag has named this."""
    return f"{tags(name)}/{tag}/index/{_segments(digest)}/link"


def linked_digest(path: str, below: str) -> Digest | None:
    """The digest in the path of a link below :func:`revisions` or :func:`layers`; None for others."""
    parts = path.removeprefix(f"{below}/").split("/")
    return _digest(parts[0], parts[1]) if len(parts) == 3 and parts[2] == "link" else None


@dataclass(frozen=True, slots=True)
class TagLink:
    """What the path of a tag's link says. ``digest`` is None for the link to what the tag names now."""

    tag: str
    digest: Digest | None

    @classmethod
    def parse(cls, path: str, below: str) -> "TagLink | None":
        """``below`` is :func:`tags` of the repository; None when ``path`` is no link of a tag."""
        match path.removeprefix(f"{below}/").split("/"):
            case [tag, "current", "link"]:
                return cls(tag, None)
            case [tag, "index", algorithm, hexadecimal, "link"]:
                digest = _digest(algorithm, hexadecimal)
                return cls(tag, digest) if digest else None
            case _:
                return None


def _segments(digest: Digest) -> str:
    return digest.replace(":", "/")


def _digest(algorithm: str, hexadecimal: str) -> Digest | None:
    try:
        return Digest(f"{algorithm}:{hexadecimal}")
    except DigestInvalid:
        return None
