"""Objects in the memory of one process, for tests and trials: all is gone when it ends.

One process only: another worker has a memory of its own and would not see the same objects.
"""

import errno
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from longshore.storage.driver import Entry, PathNotFound, Staged, Stat
from longshore.telemetry import clock

if TYPE_CHECKING:
    from longshore.storage.settings import InMemorySettings

NAME: Final = "inmemory"
_PIECE: Final = 1 << 20


@dataclass(slots=True)
class _Upload:
    """What the attempts to add to an upload have left, by their tokens."""

    parts: dict[str, bytes] = field(default_factory=dict)
    modified: float = 0.0


class InMemoryDriver:
    """A dictionary of objects. Nothing here waits, so every step is whole by itself."""

    name = NAME

    def __init__(self) -> None:
        self._objects: dict[str, tuple[bytes, float]] = {}
        self._uploads: dict[str, _Upload] = {}

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do: the objects stay as long as the driver."""

    async def read(self, path: str) -> bytes:
        """The content itself, not a copy."""
        return self._find(path)[0]

    async def stream(
        self, path: str, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Copies of at most 1 MiB."""
        content, _ = self._find(path)
        end = len(content) if length is None else min(len(content), start + length)
        for position in range(start, end, _PIECE):
            yield content[position : min(position + _PIECE, end)]

    async def stat(self, path: str) -> Stat:
        """The size, and the time of the last write."""
        content, modified = self._find(path)
        return Stat(len(content), modified)

    async def write(self, path: str, content: bytes) -> None:
        """Remember ``content``."""
        self._objects[path] = (bytes(content), clock.timestamp())

    async def append(self, staged: Staged, chunks: AsyncIterable[bytes]) -> Staged:
        """Remember the bytes as a new part, named in the new state."""
        self._parts(staged)
        part = b"".join([chunk async for chunk in chunks])
        if not part:
            return staged
        token = secrets.token_hex(8)
        upload = self._uploads.setdefault(staged.upload, _Upload())
        upload.parts[token] = part
        upload.modified = clock.timestamp()
        tokens = [*staged.state.get("parts", []), token]
        return Staged(staged.upload, staged.size + len(part), {"parts": tokens})

    async def staged_stream(self, staged: Staged) -> AsyncGenerator[bytes, None]:
        """Copies of at most 1 MiB."""
        for part in self._parts(staged):
            for position in range(0, len(part), _PIECE):
                yield part[position : position + _PIECE]

    async def publish(self, staged: Staged, path: str) -> None:
        """Join the parts."""
        try:
            content = b"".join(self._parts(staged))
        except PathNotFound:
            if path not in self._objects or len(self._objects[path][0]) != staged.size:
                raise
        else:
            self._objects[path] = (content, clock.timestamp())
        self._uploads.pop(staged.upload, None)

    async def discard(self, upload: str) -> None:
        """Forget the parts."""
        self._uploads.pop(upload, None)

    async def list(self, prefix: str) -> AsyncGenerator[Entry, None]:
        """The objects that were there when the listing began and still are."""
        for path in [path for path in self._objects if path.startswith(f"{prefix}/")]:
            if path in self._objects:
                content, modified = self._objects[path]
                yield Entry(path, Stat(len(content), modified))

    async def directories(self, prefix: str) -> AsyncGenerator[str, None]:
        """Looks at every object."""
        below = f"{prefix}/"
        deeper = (path.removeprefix(below) for path in self._objects if path.startswith(below))
        for name in {rest.partition("/")[0] for rest in deeper if "/" in rest}:
            yield name

    async def list_staged(self) -> AsyncGenerator[tuple[str, float], None]:
        """The uploads that have parts."""
        for name, upload in [*self._uploads.items()]:
            yield name, upload.modified

    async def delete(self, path: str) -> None:
        """Forget the object."""
        self._find(path)
        del self._objects[path]

    async def delete_tree(self, prefix: str) -> None:
        """Forget the objects."""
        for path in [path for path in self._objects if path.startswith(f"{prefix}/")]:
            del self._objects[path]

    def _find(self, path: str) -> tuple[bytes, float]:
        try:
            return self._objects[path]
        except KeyError:
            raise PathNotFound(NAME, path, os.strerror(errno.ENOENT)) from None

    def _parts(self, staged: Staged) -> "tuple[bytes, ...]":
        upload = self._uploads.get(staged.upload, _Upload())
        try:
            return tuple(upload.parts[token] for token in staged.state.get("parts", ()))
        except KeyError:
            raise PathNotFound(NAME, staged.upload, "its staged bytes are gone") from None


def from_settings(settings: "InMemorySettings") -> InMemoryDriver:
    """The driver that the configuration describes; there is nothing to set."""
    return InMemoryDriver()
