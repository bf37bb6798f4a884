"""Reading an OCI image layout (OCI Image Specification, image-layout.md), from any `Files`."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

from longshore.client.content import REF_NAME, manifest_from, parse_manifest
from longshore.client.errors import ContentInvalid, NoSuchImage
from longshore.client.files import Files, read_document
from longshore.client.referrers import referrer_entry
from longshore.oci import mediatypes
from longshore.oci.descriptor import Descriptor
from longshore.oci.digest import Digest
from longshore.oci.manifest import Manifest

MARKER: Final = "oci-layout"
INDEX: Final = "index.json"
LAYOUT_VERSION: Final = "1.0.0"
#: Where containerd and docker write the whole reference.
CONTAINERD_NAME: Final = "io.containerd.image.name"


class LayoutSource:
    """One image of a layout. `where` is how messages call it; `selected` is a name, a digest, or
    None for the only image there is."""

    def __init__(self, files: Files, where: str, selected: str | Digest | None = None) -> None:
        self.files = files
        self.where = where
        self.selected = selected
        self._subjects: dict[Digest, list[Descriptor]] | None = None

    def __str__(self) -> str:
        return self.where

    async def entries(self) -> Sequence[Descriptor]:
        """The images that index.json lists. Raises ContentInvalid when this is no layout."""
        marker = await read_document(self.files, MARKER, self.where)
        version = _object(marker).get("imageLayoutVersion")
        if version != LAYOUT_VERSION:
            raise ContentInvalid(
                f"{self.where} is an image layout of version {version!r}; {LAYOUT_VERSION} is known"
            )
        raw = await read_document(self.files, INDEX, self.where)
        return parse_manifest(raw, mediatypes.OCI_INDEX).children

    async def resolve(self) -> Descriptor:
        """The selected image. Raises NoSuchImage naming those there are."""
        entries = await self.entries()
        if isinstance(self.selected, Digest):
            return await self._by_digest(entries, self.selected)
        if self.selected is not None:
            found = [entry for entry in entries if self.selected in names_of(entry)]
        else:
            named = [entry for entry in entries if names_of(entry)]
            found = named or list(entries)
        if len({entry.digest for entry in found}) == 1:
            return found[0]
        names = (
            ", ".join(sorted(entry.annotations.get(REF_NAME, "") for entry in entries)) or "none"
        )
        if not found:
            raise NoSuchImage(f"{self.where} has no image {self.selected!r}; it has: {names}")
        raise NoSuchImage(f"{self.where} has several images, name one of them: {names}")

    async def _by_digest(self, entries: Sequence[Descriptor], digest: Digest) -> Descriptor:
        for entry in entries:
            if entry.digest == digest:
                return entry
        raw = await read_document(self.files, blob_path(digest), self.where)
        return Descriptor(parse_manifest(raw, "").media_type, digest, len(raw))

    async def manifest(self, descriptor: Descriptor) -> Manifest:
        """As the protocol says."""
        raw = await read_document(self.files, blob_path(descriptor.digest), self.where)
        return manifest_from(raw, descriptor)

    async def blob(self, descriptor: Descriptor, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """As the protocol says."""
        name = blob_path(descriptor.digest)
        size = await self.files.size(name)
        if size != descriptor.size:
            has = "is missing" if size is None else f"has {size} bytes"
            raise ContentInvalid(
                f"blob {descriptor.digest} {has} in {self.where}; it should have {descriptor.size}"
            )
        async with aclosing(self.files.stream(name, offset)) as pieces:
            async for piece in pieces:
                yield piece

    async def referrers(self, digest: Digest) -> Sequence[Descriptor]:
        """The manifests listed in index.json whose subject is this one."""
        if self._subjects is None:
            self._subjects = await self._read_subjects()
        return self._subjects.get(digest, [])

    async def _read_subjects(self) -> dict[Digest, list[Descriptor]]:
        subjects: dict[Digest, list[Descriptor]] = {}
        for entry in await self.entries():
            manifest = await self.manifest(entry)
            if manifest.subject:
                listed = subjects.setdefault(manifest.subject.digest, [])
                listed.append(referrer_entry(manifest, entry))
        return subjects


def blob_path(digest: Digest) -> str:
    """Where a layout keeps a blob."""
    return f"blobs/{digest.algorithm}/{digest.hex}"


def names_of(entry: Descriptor) -> set[str]:
    """Every name under which an entry of index.json may be asked for: whole, and the tag alone."""
    names = {entry.annotations.get(REF_NAME, ""), entry.annotations.get(CONTAINERD_NAME, "")}
    tags = {name.rpartition("/")[2].partition(":")[2] for name in names}
    return (names | tags) - {""}


def _object(raw: bytes) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
