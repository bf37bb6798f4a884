"""The files of an image layout, wherever they lie."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import BinaryIO, Protocol

import anyio.to_thread

from longshore.client.errors import ContentInvalid
from longshore.client.wire import CHUNK, LARGEST_DOCUMENT


class Files(Protocol):
    """Read-only files under slash-separated relative names."""

    async def size(self, name: str) -> int | None:
        """The size in bytes of a regular file, or None when there is none of that name."""
        ...

    def stream(self, name: str, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """A file's bytes from `offset` on. Raises ContentInvalid when there is no such file."""
        ...


async def read_document(files: Files, name: str, where: str) -> bytes:
    """A whole small file. Raises ContentInvalid when it is missing or too large for a document."""
    size = await files.size(name)
    if size is None:
        raise ContentInvalid(f"{where} has no {name}")
    if size > LARGEST_DOCUMENT:
        raise ContentInvalid(
            f"{where}: {name} has {size} bytes; documents of up to {LARGEST_DOCUMENT} are read"
        )
    return b"".join([piece async for piece in files.stream(name)])


class DirectoryFiles:
    """Files below a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    async def size(self, name: str) -> int | None:
        """As the protocol says."""

        def stat() -> int | None:
            path = self.root / name
            return path.stat().st_size if path.is_file() else None

        return await anyio.to_thread.run_sync(stat)

    async def stream(self, name: str, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """As the protocol says."""
        source = await anyio.to_thread.run_sync(self._open, name, offset)
        try:
            while piece := await anyio.to_thread.run_sync(source.read, CHUNK):
                yield piece
        finally:
            source.close()

    def _open(self, name: str, offset: int) -> BinaryIO:
        try:
            source = (self.root / name).open("rb", buffering=0)
        except FileNotFoundError:
            raise ContentInvalid(f"{self.root} has no {name}") from None
        source.seek(offset)
        return source
