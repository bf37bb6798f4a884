"""Files in a tar archive that nobody vouches for.

The archive is indexed once; contents are then read from where they lie, never unpacked. Refused:
names that lead out of the archive, devices, sparse files, two files of one name, a file that
would reach beyond the archive's end, and headers large enough to fill memory.
"""

import contextlib
import os
import posixpath
import tarfile
import tempfile
import zlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

import anyio.to_thread

from longshore.client.errors import ContentInvalid, LocationInvalid
from longshore.client.wire import CHUNK

_GZIP: Final = b"\x1f\x8b"
#: More files than any image archive has; each costs memory.
_MOST_FILES = 100_000
#: tarfile reads extended headers whole: PAX records and long names, which are short in truth.
_LARGEST_HEADER = 1024 * 1024
_LONGEST_CHAIN = 4


@dataclass(frozen=True, slots=True)
class _Place:
    offset: int
    size: int


class TarFiles:
    """A tar archive, compressed with gzip or not, opened with `async with`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._places: dict[str, _Place] = {}
        self._links: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        await anyio.to_thread.run_sync(self._open)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    async def size(self, name: str) -> int | None:
        """The size of a file, through links; None when there is none of that name."""
        place = self._find(name)
        return place.size if place else None

    async def stream(self, name: str, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """A file's bytes from `offset` on. Raises ContentInvalid when there is no such file."""
        place = self._find(name)
        if place is None:
            raise ContentInvalid(f"{self.path} has no {name}")
        position, end = place.offset + offset, place.offset + place.size
        while position < end:
            length = min(CHUNK, end - position)
            piece = await anyio.to_thread.run_sync(self._read, length, position)
            if not piece:
                raise ContentInvalid(f"{self.path} ends in the middle of {name}")
            position += len(piece)
            yield piece

    def _read(self, length: int, position: int) -> bytes:
        if self._file is None:
            raise RuntimeError("the archive is not open: use it with 'async with'")
        return os.pread(self._file.fileno(), length, position)

    def _find(self, name: str) -> _Place | None:
        for _ in range(_LONGEST_CHAIN):
            if name in self._places or name not in self._links:
                return self._places.get(name)
            name = self._links[name]
        raise ContentInvalid(f"{self.path}: {name} is part of a circle of links")

    def _open(self) -> None:
        try:
            file: BinaryIO = self.path.open("rb")
        except FileNotFoundError:
            raise LocationInvalid(f"{self.path}: no such file") from None
        with contextlib.ExitStack() as opened:
            opened.callback(lambda: file.close())
            if file.read(len(_GZIP)) == _GZIP:
                with file as compressed:
                    file = _inflated(compressed, self.path)
            file.seek(0)
            self._index(file)
            opened.pop_all()
        self._file = file

    def _index(self, file: BinaryIO) -> None:
        end = os.fstat(file.fileno()).st_size
        try:
            with tarfile.open(fileobj=_Bounded(file), mode="r:") as archive:  # type: ignore[call-overload]
                while (member := archive.next()) is not None:
                    archive.members.clear()  # it would keep every header
                    self._take(member, end)
                    if len(self._places) + len(self._links) > _MOST_FILES:
                        raise ContentInvalid(f"{self.path} has more than {_MOST_FILES} files")
        except (tarfile.TarError, ValueError, OverflowError, OSError) as error:
            raise ContentInvalid(f"{self.path} is not a sound tar archive: {error}") from error

    def _take(self, member: tarfile.TarInfo, end: int) -> None:
        name = self._safe(member.name, member.name)
        if member.isdir():
            return
        if name in self._places or name in self._links:
            raise ContentInvalid(f"{self.path} has two files named {member.name!r}")
        if member.issym():
            target = posixpath.join(posixpath.dirname(name), member.linkname)
            self._links[name] = self._safe(target, member.name)
        elif member.islnk():
            self._links[name] = self._safe(member.linkname, member.name)
        elif member.isreg() and not member.issparse():
            if member.size < 0 or member.offset_data + member.size > end:
                raise ContentInvalid(
                    f"{self.path}: {member.name!r} says it has {member.size} bytes, which is more "
                    "than the archive has"
                )
            self._places[name] = _Place(member.offset_data, member.size)
        else:
            raise ContentInvalid(f"{self.path}: {member.name!r} is not a regular file")

    def _safe(self, path: str, named: str) -> str:
        """A name inside the archive; layers of old archives are links to one another."""
        normal = posixpath.normpath(path)
        if path.startswith("/") or normal == ".." or normal.startswith("../") or "\0" in path:
            raise ContentInvalid(f"{self.path}: {named!r} leads out of the archive")
        return normal


class _Bounded:
    """A file for tarfile that refuses to be read in pieces larger than a header can be."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        if size > _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)

    def seek(self, position: int) -> int:
        return self._file.seek(position)

    def tell(self) -> int:
        return self._file.tell()


def _inflated(compressed: BinaryIO, path: Path) -> BinaryIO:
    """The content of a gzip file in a temporary one: images are read at random, gzip is not."""
    compressed.seek(0)
    result = tempfile.TemporaryFile(prefix="longshore-")  # noqa: SIM115 closed by the archive
    try:
        inflate(compressed, result)
    except zlib.error as error:
        result.close()
        raise ContentInvalid(f"{path} is not a sound gzip file: {error}") from error
    except BaseException:
        result.close()
        raise
    return result


def inflate(compressed: BinaryIO, result: BinaryIO) -> None:
    """Decompress gzip, of one or more members, in bounded memory. Raises zlib.error."""
    state = zlib.decompressobj(wbits=31)
    while piece := compressed.read(CHUNK):
        while piece:
            result.write(state.decompress(piece, CHUNK))
            piece = state.unconsumed_tail
            if state.eof:
                piece = state.unused_data.lstrip(b"\0")
                state = zlib.decompressobj(wbits=31) if piece else state
    if not state.eof:
        raise zlib.error("it ends too early")
