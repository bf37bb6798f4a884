"""What a manifest must satisfy before it is stored, beyond being well formed."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from longshore.oci import mediatypes
from longshore.oci.descriptor import Descriptor, Platform
from longshore.oci.digest import Digest
from longshore.oci.errors import ManifestBlobUnknown, ManifestInvalid
from longshore.oci.manifest import Manifest
from longshore.oci.names import RepositoryName

_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class ManifestValidation:
    """``enabled`` checks that what a manifest refers to exists in its repository.

    ``platforms``: an index needs all its children (``all``), none (``none``), or those for the
    platforms of ``platform_list`` (``list``) as distribution's ``validation.manifests.indexes``.
    ``allow_urls``/``deny_urls``: patterns for the ``urls`` of layers kept elsewhere; with neither,
    none are accepted unless they are http(s).
    """

    enabled: bool = True
    platforms: str = "all"
    platform_list: Collection[Platform] = ()
    allow_urls: tuple[re.Pattern[str], ...] = ()
    deny_urls: tuple[re.Pattern[str], ...] = ()
    max_size: int = field(default=4 << 20)

    def required(self, manifest: Manifest) -> list[Descriptor]:
        """What must exist in the repository. Raises ManifestInvalid for urls that are not allowed."""
        if not self.enabled:
            return []
        needed = []
        for descriptor in manifest.blobs:
            if mediatypes.is_distributable(descriptor.media_type):
                needed.append(descriptor)
            else:
                self._check_urls(descriptor)
        needed.extend(child for child in manifest.children if self._needs(child))
        return needed

    def _needs(self, child: Descriptor) -> bool:
        if self.platforms == "none":
            return False
        if self.platforms == "all" or child.platform is None:
            return True
        wanted = {(platform.os, platform.architecture) for platform in self.platform_list}
        return (child.platform.os, child.platform.architecture) in wanted

    def _check_urls(self, descriptor: Descriptor) -> None:
        for url in descriptor.urls:
            refused = (
                not url.startswith(("http://", "https://"))
                or any(pattern.search(url) for pattern in self.deny_urls)
                or (self.allow_urls and not any(p.search(url) for p in self.allow_urls))
            )
            if refused:
                raise ManifestInvalid(
                    f"layer {descriptor.digest} may be fetched from {url[:200]!r}, which "
                    "validation.manifests.urls does not allow"
                )


def refuse_missing(
    name: RepositoryName, manifest: Manifest, missing: Collection[Digest]
) -> ManifestBlobUnknown:
    """The refusal that lists what has to be pushed first."""
    ordered = [entry.digest for entry in _entries(manifest) if entry.digest in missing]
    shown = ", ".join(ordered[:_SHOWN]) + (", ..." if len(ordered) > _SHOWN else "")
    what = "manifests" if manifest.is_index else "blobs"
    return ManifestBlobUnknown(
        f"the manifest refers to {len(ordered)} {what} that repository {name!r} does not hold: "
        f"{shown}; push or mount them first",
        detail=[{"digest": digest} for digest in ordered[:100]],
    )


def _entries(manifest: Manifest) -> Iterable[Descriptor]:
    yield from manifest.blobs
    yield from manifest.children
