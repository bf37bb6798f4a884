"""What else an artifact has to show: how an image was built, what a chart says of itself.

Charts are archives of strangers: nothing is unpacked to disk, names are compared with what is looked for,
and what comes out is bounded however small it was packed.
"""

import asyncio
import io
import json
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from longshore.catalog.details import Details, list_in
from longshore.catalog.errors import Unfit
from longshore.catalog.model import Artifact
from longshore.identity.errors import Missing
from longshore.oci import mediatypes
from longshore.oci.digest import Digest
from longshore.oci.manifest import Manifest
from longshore.oci.names import RepositoryName
from longshore.registry.manifests import Manifests

HELM_CONTENT: Final = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
#: Bytes of a chart's archive, of it unpacked, and of one file in it.
LARGEST_ARCHIVE: Final = 8 << 20
_LARGEST_UNPACKED: Final = 32 << 20
_LARGEST_FILE: Final = 2 << 20
_MOST_ENTRIES: Final = 10_000

#: Names of files in charts by the name of the addition.
_FILES: Final[Mapping[str, str]] = {"values.yaml": "values.yaml", "readme.md": "readme.md"}
#: What configs have by the name of the addition.
_LISTS: Final[Mapping[str, str]] = {"build_history": "history", "dependencies": "dependencies"}
_OF: Final[Mapping[str, Sequence[str]]] = {
    "IMAGE": ("build_history",),
    "CHART": ("values.yaml", "readme.md", "dependencies"),
}


@dataclass(frozen=True, slots=True)
class Addition:
    """Bytes to show, and what they are."""

    content: bytes
    media_type: str


def additions_of(artifact: Artifact) -> Sequence[str]:
    """The names of an artifact's additions."""
    if artifact.config is None or artifact.media_type in mediatypes.INDEXES:
        return ()
    return _OF.get(artifact.kind, ())


@dataclass(frozen=True, slots=True)
class Additions:
    """One per process."""

    manifests: Manifests
    details: Details

    async def read(self, artifact: Artifact, name: str) -> Addition:
        """Raises Unfit for what this kind of artifact does not have, or when its archive is no chart;
        Missing when this one does not have it."""
        if name not in additions_of(artifact):
            raise Unfit(
                f"an artifact of type {artifact.kind} has no addition {name[:100]!r}; it has: "
                + (", ".join(additions_of(artifact)) or "none")
            )
        if name in _LISTS:
            config = await self.details.config(artifact)
            if config is None:
                raise Missing(f"the config of {artifact.digest} cannot be read: push it again")
            found = await asyncio.to_thread(list_in, config, _LISTS[name])
            return Addition(json.dumps(found).encode(), "application/json; charset=utf-8")
        return await self._file(artifact, _FILES[name])

    async def _file(self, artifact: Artifact, name: str) -> Addition:
        repository = RepositoryName(artifact.repository)
        stored = await self.manifests.get(repository, Digest(artifact.digest))
        raw = await self.manifests.content(repository, stored)
        manifest = Manifest.parse(raw, stored.media_type)
        layer = next((one for one in manifest.blobs if one.media_type == HELM_CONTENT), None)
        if layer is None or layer.size > LARGEST_ARCHIVE:
            raise Missing(f"{artifact.digest} has no chart of at most {LARGEST_ARCHIVE} bytes")
        archive = await self.details.blob(layer.digest, LARGEST_ARCHIVE)
        if archive is None:
            raise Missing(f"the chart {layer.digest} cannot be read: push it again")
        content = await asyncio.to_thread(file_in_chart, archive, name)
        kind = "text/markdown" if name.endswith(".md") else "text/plain"
        return Addition(content, f"{kind}; charset=utf-8")


def file_in_chart(archive: bytes, name: str) -> bytes:
    """The file ``name`` (in any case) in the directory of a packed chart. Raises Missing when it has none,
    Unfit when the archive is broken or unpacks to too much. Blocks."""
    try:
        unpacked = _unpacked(archive)
        with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r:") as tar:
            for number, entry in enumerate(tar):
                if number >= _MOST_ENTRIES:
                    raise Unfit(f"the chart has more than {_MOST_ENTRIES} entries")
                parts = entry.name.removeprefix("./").split("/")
                if ".." in parts or not parts[0]:
                    raise Unfit(f"the chart has an entry outside of itself: {entry.name[:100]!r}")
                if len(parts) != 2 or parts[1].lower() != name or not entry.isreg():
                    continue
                if entry.size > _LARGEST_FILE:
                    raise Unfit(f"{name} in the chart has more than {_LARGEST_FILE} bytes")
                found = tar.extractfile(entry)
                if found is not None:
                    return found.read(_LARGEST_FILE)
    except (tarfile.TarError, zlib.error, EOFError, ValueError, RecursionError, OSError) as error:
        raise Unfit(f"the chart's archive is broken: {error}") from error
    raise Missing(f"the chart has no {name}")


def _unpacked(archive: bytes) -> bytes:
    """Bounded, however much it would be."""
    stream = zlib.decompressobj(wbits=31)
    found = stream.decompress(archive, _LARGEST_UNPACKED)
    if stream.unconsumed_tail:
        raise Unfit(f"the chart unpacks to more than {_LARGEST_UNPACKED} bytes")
    return found
