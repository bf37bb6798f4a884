"""Choosing the images of an index by platform."""

import json
import platform as machine
from collections.abc import Sequence
from typing import Any, Final

from longshore.client.content import parse_manifest
from longshore.client.errors import NoSuchImage
from longshore.oci.descriptor import Descriptor, Platform
from longshore.oci.digest import Digest
from longshore.oci.manifest import Manifest

#: What the kernel calls a machine, and what images call it.
_MACHINES: Final = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "i386": "386",
    "i686": "386",
    "armv7l": "arm/v7",
    "armv6l": "arm/v6",
    "loongarch64": "loong64",
}
#: The variant an architecture has when none is named (containerd's normalisation).
_DEFAULT_VARIANTS: Final = {"arm": "v7", "arm64": "v8", "amd64": "v1"}
#: BuildKit marks what an attestation is about with this annotation.
_ATTESTED: Final = "vnd.docker.reference.digest"


def host_platform() -> Platform:
    """The platform whose images run here: containers are Linux's, whatever the host is."""
    name = machine.machine().lower()
    return Platform.parse(f"linux/{_MACHINES.get(name, name)}")


def choose(index: Manifest, wanted: Platform) -> Descriptor:
    """The image of an index for a platform: the exact variant, or else one of the architecture.

    Raises NoSuchImage naming the platforms there are.
    """
    candidates = [
        child
        for child in index.children
        if child.platform
        and (child.platform.os, child.platform.architecture) == (wanted.os, wanted.architecture)
    ]
    exact = [child for child in candidates if _variant(child.platform) == _variant(wanted)]
    if exact:
        return exact[0]
    if candidates and not wanted.variant:
        return candidates[0]
    there = ", ".join(dict.fromkeys(str(c.platform) for c in index.children if _runs(c)))
    raise NoSuchImage(f"there is no image for {wanted}; there is {there or 'none with a platform'}")


def has_platforms(manifest: Manifest) -> bool:
    """Whether this is an index of images for platforms, not of anything else."""
    return any(_runs(child) for child in manifest.children)


def subset(index: Manifest, chosen: Sequence[Descriptor]) -> Manifest:
    """An index of only these images and of what attests to them; all else is kept as it was."""
    keep = {str(descriptor.digest) for descriptor in chosen}
    keep |= {
        str(child.digest) for child in index.children if child.annotations.get(_ATTESTED) in keep
    }
    document: dict[str, Any] = json.loads(index.raw)
    document["manifests"] = [item for item in document["manifests"] if item["digest"] in keep]
    raw = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    return parse_manifest(raw, index.media_type)


def describe(manifest: Manifest, digest: Digest | None = None) -> Descriptor:
    """A descriptor of a manifest."""
    return Descriptor(manifest.media_type, digest or manifest.digest(), manifest.size)


def _variant(platform: Platform | None) -> str:
    if platform is None:
        return ""
    return platform.variant or _DEFAULT_VARIANTS.get(platform.architecture, "")


def _runs(child: Descriptor) -> bool:
    return child.platform is not None and child.platform.os != "unknown"
