"""An OCI image layout directory, as a source and as a target."""

import contextlib
import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

import anyio.to_thread

from longshore.client.blob_file import BlobFile, publish_new, write_file
from longshore.client.content import REF_NAME, Advance, OpenBlob, Source
from longshore.client.errors import ContentInvalid, LocationInvalid
from longshore.client.files import DirectoryFiles
from longshore.client.layout_source import INDEX, LAYOUT_VERSION, MARKER, LayoutSource, blob_path
from longshore.oci import mediatypes
from longshore.oci.descriptor import Descriptor
from longshore.oci.digest import Digest
from longshore.oci.manifest import Manifest

#: Other programs do not hold the lock longer than it takes to write index.json.
_LONGEST_WAIT: Final = 30.0
_MARKER: Final = json.dumps({"imageLayoutVersion": LAYOUT_VERSION}).encode()
_EMPTY_INDEX: Final = {"schemaVersion": 2, "mediaType": mediatypes.OCI_INDEX, "manifests": []}


class OciLayout(LayoutSource):
    """A layout directory. As a target it is made when the first blob arrives.

    Blobs may be written by several processes at once; index.json is rewritten under a lock on
    `oci-layout`, so that no image's name is lost.
    """

    def __init__(self, path: Path, selected: str | Digest | None = None) -> None:
        super().__init__(DirectoryFiles(path), str(path), selected)
        self.path = path

    async def resolve(self) -> Descriptor:
        """As the protocol says. Raises LocationInvalid for a path that is no layout."""
        if await self.files.size(MARKER) is None:
            raise LocationInvalid(f"{self.path} is not an image layout: it has no {MARKER}")
        return await super().resolve()

    async def has_manifest(self, descriptor: Descriptor) -> bool:
        """False: a manifest that is here does not prove that its blobs are."""
        return False

    async def has_blob(self, descriptor: Descriptor) -> bool:
        """Whether a file of the blob's size is here."""
        return await self.files.size(blob_path(descriptor.digest)) == descriptor.size

    async def mount(self, descriptor: Descriptor, source: Source) -> bool:
        """False: there is nothing to take over."""
        return False

    async def put_blob(self, descriptor: Descriptor, content: OpenBlob, advance: Advance) -> None:
        """As the protocol says; what an interrupted attempt left is verified and continued."""
        await anyio.to_thread.run_sync(self._create)
        blob = await anyio.to_thread.run_sync(BlobFile.open, self.path, descriptor)
        try:
            resumed = blob.offset > 0
            try:
                await self._fill(blob, content, advance)
            except ContentInvalid:
                if not resumed:
                    raise
                # The part that lay here may have been the wrong one: once more, all of it.
                await anyio.to_thread.run_sync(blob.close)
                blob = await anyio.to_thread.run_sync(BlobFile.open, self.path, descriptor)
                await anyio.to_thread.run_sync(blob.restart)
                await self._fill(blob, content, advance)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(blob.close)

    async def _fill(self, blob: BlobFile, content: OpenBlob, advance: Advance) -> None:
        advance(blob.offset)
        async with aclosing(content(blob.offset)) as pieces:
            async for piece in pieces:
                await anyio.to_thread.run_sync(blob.write, piece)
                advance(blob.offset)
        await anyio.to_thread.run_sync(blob.publish)

    async def put_manifest(
        self, manifest: Manifest, descriptor: Descriptor, *, name: str | None, top: bool
    ) -> None:
        """As the protocol says; `top` lists it in index.json, where a name moves if it is there."""

        def write() -> None:
            self._create()
            write_file(self.path / blob_path(descriptor.digest), manifest.raw)
            if top:
                with self._locked():
                    self._list(manifest, descriptor, name)

        await anyio.to_thread.run_sync(write)

    def _create(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not (self.path / MARKER).exists():
                self._check_empty()
                publish_new(self.path / MARKER, _MARKER)
        except (FileExistsError, NotADirectoryError):
            raise LocationInvalid(f"{self.path} is not a directory") from None

    def _check_empty(self) -> None:
        strangers = [path for path in self.path.iterdir() if not path.name.startswith(".")]
        # The marker may have come in between: others write here at the same time.
        if strangers and not (self.path / MARKER).exists():
            raise LocationInvalid(
                f"{self.path} is not empty and not an image layout: choose a new directory"
            )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.path / MARKER).open("r+b") as marker:
            deadline = time.monotonic() + _LONGEST_WAIT
            while True:
                try:
                    fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise LocationInvalid(
                            f"{self.path} has been locked by another program for "
                            f"{_LONGEST_WAIT:g} s: try again when it is done"
                        ) from None
                    time.sleep(0.02)
            yield

    def _list(self, manifest: Manifest, descriptor: Descriptor, name: str | None) -> None:
        index = self._index()
        entries: list[dict[str, Any]] = index["manifests"]
        entry = Descriptor(
            manifest.media_type,
            descriptor.digest,
            manifest.size,
            platform=descriptor.platform,
            artifact_type=manifest.artifact_type if manifest.subject else None,
            annotations={REF_NAME: name} if name else {},
        ).to_json()
        if name is None and any(known.get("digest") == descriptor.digest for known in entries):
            return
        kept = [known for known in entries if name is None or _ref_name(known) != name]
        # A name for an image that had none: one entry, not two.
        kept = [k for k in kept if _ref_name(k) or k.get("digest") != descriptor.digest]
        index["manifests"] = [*kept, entry]
        write_file(self.path / INDEX, json.dumps(index, separators=(",", ":")).encode())

    def _index(self) -> dict[str, Any]:
        try:
            index = json.loads((self.path / INDEX).read_bytes())
        except FileNotFoundError:
            return dict(_EMPTY_INDEX)
        except ValueError as error:
            raise ContentInvalid(f"{self.path / INDEX} is not valid JSON: {error}") from error
        if not isinstance(index, dict) or not isinstance(index.get("manifests"), list):
            raise ContentInvalid(f"{self.path / INDEX} is not an image index")
        return index


def _ref_name(entry: dict[str, Any]) -> str | None:
    annotations = entry.get("annotations") or {}
    name = annotations.get(REF_NAME)
    return name if isinstance(name, str) else None
