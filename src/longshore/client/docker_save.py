"""Images in the archives that `docker save` wrote before version 25, and kaniko, bazel or podman
write still: `manifest.json` names a config and layers.

Layers there are mostly plain tar files. They are compressed on the way, which gives the image
manifest that `docker push` would make. What is compressed already stays as it is.
"""

import abc
import json
import shutil
import tempfile
import zlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import anyio
import anyio.to_thread

from longshore.client.content import parse_manifest
from longshore.client.errors import ContentInvalid, NoSuchImage, first_error
from longshore.client.files import DirectoryFiles, Files, read_document
from longshore.client.platforms import describe
from longshore.client.tar_files import TarFiles
from longshore.client.wire import CHUNK
from longshore.oci import mediatypes
from longshore.oci.descriptor import Descriptor
from longshore.oci.digest import CANONICAL, Digest, new_hash
from longshore.oci.errors import RegistryError
from longshore.oci.manifest import Manifest
from longshore.oci.reference import Reference

CONTENTS: Final = "manifest.json"
_GZIP: Final = b"\x1f\x8b"
_LEVEL = 6
#: Compressing keeps a processor busy, and several at once are what machines have.
_AT_ONCE = 4


@dataclass(frozen=True)
class _Entry:
    """One image of manifest.json."""

    config: str
    names: Sequence[str]
    layers: Sequence[str]


class DockerSaveSource:
    """One image of such an archive, prepared with `async with`; `selected` is one of its names."""

    def __init__(self, archive: TarFiles, selected: str | None) -> None:
        self._archive = archive
        self._selected = selected
        self._spool = Path()
        self._manifest: Manifest | None = None
        self._places: dict[Digest, tuple[Files, str]] = {}

    async def __aenter__(self) -> Self:
        self._spool = Path(await anyio.to_thread.run_sync(_temporary_directory))
        try:
            await self._prepare()
        except BaseExceptionGroup as group:  # of the tasks that compress layers
            await self._clean()
            raise first_error(group) from None
        except BaseException:
            await self._clean()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._clean()

    async def _clean(self) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(shutil.rmtree, self._spool, True)

    # The protocol of a source

    async def resolve(self) -> Descriptor:
        """The manifest that was made for the image."""
        return describe(self._image())

    async def manifest(self, descriptor: Descriptor) -> Manifest:
        """As the protocol says: there is only one."""
        return self._image()

    def _image(self) -> Manifest:
        if self._manifest is None:
            raise RuntimeError("the image is not prepared: use it with 'async with'")
        return self._manifest

    async def blob(self, descriptor: Descriptor, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """As the protocol says."""
        files, name = self._places[descriptor.digest]
        async with aclosing(files.stream(name, offset)) as pieces:
            async for piece in pieces:
                yield piece

    async def referrers(self, digest: Digest) -> Sequence[Descriptor]:
        """None: this format has no place for them."""
        return []

    # Making the manifest

    async def _prepare(self) -> None:
        where = str(self._archive.path)
        entry = self._choose(_entries(await read_document(self._archive, CONTENTS, where), where))
        raw = await read_document(self._archive, entry.config, where)
        diff_ids = _diff_ids(raw, where)
        if len(diff_ids) != len(entry.layers):
            raise ContentInvalid(
                f"{where}: the config lists {len(diff_ids)} layers, {CONTENTS} {len(entry.layers)}"
            )
        config = Descriptor(mediatypes.DOCKER_CONFIG, Digest.of(raw), len(raw))
        self._places[config.digest] = (self._archive, entry.config)
        made: dict[Digest, Descriptor] = {}
        limit = anyio.CapacityLimiter(_AT_ONCE)

        async def layer(name: str, diff_id: Digest) -> None:
            async with limit:
                made[diff_id] = await self._layer(name, diff_id)

        async with anyio.create_task_group() as group:
            for diff_id, name in dict(zip(diff_ids, entry.layers, strict=True)).items():
                group.start_soon(layer, name, diff_id)
        document = {
            "schemaVersion": 2,
            "mediaType": mediatypes.DOCKER_MANIFEST,
            "config": config.to_json(),
            "layers": [made[diff_id].to_json() for diff_id in diff_ids],
        }
        raw = json.dumps(document, separators=(",", ":")).encode()
        self._manifest = parse_manifest(raw, mediatypes.DOCKER_MANIFEST)

    async def _layer(self, name: str, diff_id: Digest) -> Descriptor:
        """The descriptor of a layer, compressed, after its content was verified."""
        size = await self._archive.size(name)
        if size is None:
            raise ContentInvalid(f"{self._archive.path} has no {name}")
        async with aclosing(self._archive.stream(name)) as pieces:
            start = await anext(pieces, b"")
        compressed = start.startswith(_GZIP)
        path = self._spool / diff_id.hex
        layer = _Compressed(diff_id) if compressed else _Plain(diff_id, path)
        async with aclosing(self._archive.stream(name)) as pieces:
            async for piece in pieces:
                await anyio.to_thread.run_sync(layer.take, piece)
        found = await anyio.to_thread.run_sync(layer.finish)
        if not found.matches(diff_id):
            raise ContentInvalid(
                f"{self._archive.path}: layer {name} is damaged: the config calls for {diff_id}, "
                f"its content is {found}"
            )
        spooled = (DirectoryFiles(path.parent), path.name)
        self._places[layer.digest] = (self._archive, name) if compressed else spooled
        return Descriptor(mediatypes.DOCKER_LAYER, layer.digest, layer.size)

    def _choose(self, entries: Sequence[_Entry]) -> _Entry:
        names = (
            ", ".join(name for entry in entries for name in entry.names) or "images without names"
        )
        if self._selected is None:
            if len(entries) == 1:
                return entries[0]
            raise NoSuchImage(f"{self._archive.path} has several images, name one of them: {names}")
        for entry in entries:
            if any(same_name(name, self._selected) for name in entry.names):
                return entry
        raise NoSuchImage(f"{self._archive.path} has no image {self._selected!r}; it has: {names}")


class _Layer(abc.ABC):
    """A layer on its way: hashed as it is stored and as its content is. Blocks."""

    def __init__(self, diff_id: Digest) -> None:
        self._content = new_hash(diff_id.algorithm)
        self._stored = new_hash(CANONICAL)
        self.size = 0

    @abc.abstractmethod
    def take(self, piece: bytes) -> None:
        """Take in the next bytes from the archive."""

    def finish(self) -> Digest:
        """The digest of the content."""
        return Digest.finish(self._content)

    @property
    def digest(self) -> Digest:
        """The digest of the layer as it is stored."""
        return Digest.finish(self._stored)


class _Plain(_Layer):
    """A layer that is compressed into a file while its content is hashed."""

    def __init__(self, diff_id: Digest, path: Path) -> None:
        super().__init__(diff_id)
        self._deflate = zlib.compressobj(_LEVEL, wbits=31)  # without a time: the same bytes again
        self._path = path

    def take(self, piece: bytes) -> None:
        self._content.update(piece)
        self._write(self._deflate.compress(piece))

    def _write(self, compressed: bytes) -> None:
        with self._path.open("ab") as sink:
            sink.write(compressed)
        self._stored.update(compressed)
        self.size += len(compressed)

    def finish(self) -> Digest:
        self._write(self._deflate.flush())
        return super().finish()


class _Compressed(_Layer):
    """A layer that is compressed already: it stays as it is."""

    def __init__(self, diff_id: Digest) -> None:
        super().__init__(diff_id)
        self._inflate = zlib.decompressobj(wbits=31)

    def take(self, piece: bytes) -> None:
        self._stored.update(piece)
        self.size += len(piece)
        try:
            while piece:
                self._content.update(self._inflate.decompress(piece, CHUNK))
                piece = self._inflate.unconsumed_tail
                if self._inflate.eof:
                    piece = self._inflate.unused_data
                    self._inflate = zlib.decompressobj(wbits=31)
        except zlib.error as error:
            raise ContentInvalid(f"a layer is not sound gzip: {error}") from error


def _temporary_directory() -> str:
    return tempfile.mkdtemp(prefix="longshore-")


def same_name(name: str, wanted: str) -> bool:
    """Whether two texts name the same image: `app:1` and `docker.io/library/app:1` do."""
    if name == wanted:
        return True
    try:
        one, other = Reference.parse(name), Reference.parse(wanted)
    except RegistryError:
        return False
    return (one.registry, one.repository, one.target) == (
        other.registry,
        other.repository,
        other.target,
    )


def _entries(raw: bytes, where: str) -> list[_Entry]:
    try:
        entries = [
            _Entry(
                _text(item["Config"]),
                [_text(name) for name in item.get("RepoTags") or ()],
                [_text(layer) for layer in item["Layers"] or ()],
            )
            for item in json.loads(raw)
        ]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ContentInvalid(f"{where}: {CONTENTS} is not what docker writes: {error}") from error
    if not entries:
        raise NoSuchImage(f"{where} has no image")
    return entries


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is not a text")
    return value


def _diff_ids(raw: bytes, where: str) -> list[Digest]:
    try:
        return [Digest(_text(value)) for value in json.loads(raw)["rootfs"]["diff_ids"] or ()]
    except (ValueError, LookupError, TypeError, RegistryError, RecursionError) as error:
        raise ContentInvalid(f"{where}: the config lists no layers: {error}") from error
