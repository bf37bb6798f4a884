"""Writing an archive that is two things at once: an image layout in a tar file, and what
`docker load` reads (the form that `docker save` has written since version 25).

    blobs/sha256/<hex>   manifests, configs and layers, as they are in the registry
    oci-layout, index.json                  the layout
    manifest.json                           docker's list, with paths into blobs/
"""

import json
import os
import tarfile
import tempfile
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self

import anyio
import anyio.to_thread

from longshore.client.blob_file import sync_directory
from longshore.client.content import REF_NAME, Advance, OpenBlob, Source, verified
from longshore.client.docker_save import CONTENTS
from longshore.client.image_config import IMAGE_CONFIGS
from longshore.client.layout_source import (
    CONTAINERD_NAME,
    INDEX,
    LAYOUT_VERSION,
    MARKER,
    blob_path,
)
from longshore.oci import mediatypes
from longshore.oci.descriptor import Descriptor
from longshore.oci.manifest import Manifest

if TYPE_CHECKING:
    from longshore.oci.digest import Digest

_BLOCK: Final = 512


class ArchiveTarget:
    """An archive that appears at `path`, whole, when the `async with` block ends well.

    `repository` is the image's name in docker's list, without its tag; None leaves it nameless.
    A tar file has one end to write at, so blobs go in one after the other.
    """

    def __init__(self, path: Path, repository: str | None = None) -> None:
        self.path = path
        self._repository = repository
        self._file: BinaryIO | None = None
        self._temporary = ""
        self._written: set[Digest] = set()
        self._top: list[dict[str, Any]] = []
        self._docker: list[dict[str, Any]] = []
        self._lock = anyio.Lock()

    def __str__(self) -> str:
        return str(self.path)

    async def __aenter__(self) -> Self:
        await anyio.to_thread.run_sync(self._open)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._close, error is None)

    # The protocol of a target

    async def has_manifest(self, descriptor: Descriptor) -> bool:
        """Whether it was written already."""
        return descriptor.digest in self._written

    async def has_blob(self, descriptor: Descriptor) -> bool:
        """Whether it was written already."""
        return descriptor.digest in self._written

    async def mount(self, descriptor: Descriptor, source: Source) -> bool:
        """False: there is nothing to take over."""
        return False

    async def put_blob(self, descriptor: Descriptor, content: OpenBlob, advance: Advance) -> None:
        """As the protocol says. After a failure the archive cannot be finished."""
        position = 0
        async with self._lock, aclosing(verified(descriptor, content(0))) as pieces:
            header = _header(blob_path(descriptor.digest), descriptor.size)
            await anyio.to_thread.run_sync(self._write, header)
            async for piece in pieces:
                await anyio.to_thread.run_sync(self._write, piece)
                position += len(piece)
                advance(position)
            await anyio.to_thread.run_sync(self._write, _padding(descriptor.size))
            self._written.add(descriptor.digest)

    async def put_manifest(
        self, manifest: Manifest, descriptor: Descriptor, *, name: str | None, top: bool
    ) -> None:
        """As the protocol says; images with a name appear in docker's list."""
        async with self._lock:
            if descriptor.digest not in self._written:
                await anyio.to_thread.run_sync(
                    self._add, blob_path(descriptor.digest), manifest.raw
                )
                self._written.add(descriptor.digest)
        if top:
            self._list(manifest, descriptor, name)

    def _list(self, manifest: Manifest, descriptor: Descriptor, name: str | None) -> None:
        whole = f"{self._repository}:{name}" if self._repository and name else None
        annotations = {REF_NAME: name, CONTAINERD_NAME: whole}
        entry = Descriptor(
            manifest.media_type,
            descriptor.digest,
            manifest.size,
            platform=descriptor.platform,
            annotations={key: value for key, value in annotations.items() if value},
        )
        self._top.append(entry.to_json())
        if manifest.config and manifest.config.media_type in IMAGE_CONFIGS:
            layers = [blob for blob in manifest.blobs if blob is not manifest.config]
            self._docker.append(
                {
                    "Config": blob_path(manifest.config.digest),
                    "RepoTags": [whole] if whole else [],
                    "Layers": [blob_path(layer.digest) for layer in layers],
                }
            )

    # The file

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        number, self._temporary = tempfile.mkstemp(
            prefix=f".{self.path.name}.", dir=self.path.parent
        )
        self._file = os.fdopen(number, "wb")
        self._add(MARKER, json.dumps({"imageLayoutVersion": LAYOUT_VERSION}).encode())

    def _write(self, content: bytes) -> None:
        if self._file is None:
            raise RuntimeError("the archive is not open: use it with 'async with'")
        self._file.write(content)

    def _add(self, name: str, content: bytes) -> None:
        self._write(_header(name, len(content)) + content + _padding(len(content)))

    def _close(self, finished: bool) -> None:
        if self._file is None:
            return
        try:
            if finished:
                self._finish(self._file)
        finally:
            self._file.close()
            Path(self._temporary).unlink(missing_ok=True)

    def _finish(self, file: BinaryIO) -> None:
        index = {"schemaVersion": 2, "mediaType": mediatypes.OCI_INDEX, "manifests": self._top}
        self._add(INDEX, json.dumps(index).encode())
        if self._docker:
            self._add(CONTENTS, json.dumps(self._docker).encode())
        self._write(bytes(2 * _BLOCK))
        file.flush()
        os.fsync(file.fileno())
        Path(self._temporary).chmod(0o644)
        os.replace(self._temporary, self.path)
        sync_directory(self.path.parent)


def _header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size = size
    entry.mode = 0o444
    return entry.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)
