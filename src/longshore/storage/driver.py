"""The boundary to whatever holds the bytes: about ten verbs over slash-separated paths.

Anything richer (blobs, links, uploads) is built above it. Optional abilities are separate small
protocols that a caller asks for with ``isinstance``: :class:`LocalFiles`, :class:`Redirects`,
:class:`ObjectKeys`, :class:`AbandonedUploads`, :class:`BatchDeletes`, :class:`Directories`.

Every implementation runs the suite in :mod:`longshore.testing.storage_contract`.

    StorageError
    ├── PathInvalid          not a path of this grammar
    ├── PathNotFound         nothing there
    ├── StorageNoSpace       the medium is full
    └── StorageUnavailable   the medium does not answer; may work later
"""

import re
from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

#: The character set that distribution's layout keeps to, so that its data may be adopted.
PATH_GRAMMAR: Final = re.compile(r"(?:/[A-Za-z0-9._:-]+)+")


class StorageError(Exception):
    """Something went wrong in a driver; ``driver`` and ``path`` say where."""

    def __init__(self, driver: str, path: str, reason: str) -> None:
        super().__init__(f"{driver}: {path}: {reason}")
        self.driver = driver
        self.path = path
        self.reason = reason


class PathInvalid(StorageError):
    """The path does not follow PATH_GRAMMAR, or has a ``.`` or ``..`` segment."""


class PathNotFound(StorageError):
    """Nothing is stored under the path."""


class StorageNoSpace(StorageError):
    """The medium has no room (ENOSPC, EDQUOT); nothing of the write remains visible."""


class StorageUnavailable(StorageError):
    """The medium failed or does not answer in time; the same call may work later."""


@dataclass(frozen=True, slots=True)
class Stat:
    """An object: its size in bytes and when it was last written (POSIX seconds)."""

    size: int
    modified: float


@dataclass(frozen=True, slots=True)
class Entry:
    """An object met while listing."""

    path: str
    stat: Stat


@dataclass(frozen=True, slots=True)
class Staged:
    """Bytes on their way in, invisible until published. Lives in the database between requests.

    ``size`` bytes have arrived; ``state`` is the driver's own (JSON values only). Whoever holds the
    newest ``Staged`` of an upload owns it: bytes written by an attempt whose ``Staged`` was never
    recorded do not belong to the upload and are thrown away by :meth:`StorageDriver.discard`.
    """

    upload: str
    size: int = 0
    state: Mapping[str, Any] = field(default_factory=dict)


class StorageDriver(Protocol):
    """Bytes under slash-separated absolute paths (``/docker/registry/v2/...``).

    Promised by every driver:

    - what :meth:`write` and :meth:`publish` have returned from survives a crash of the process
      and of the machine; before that, either the old or the new content is visible, never a mixture;
    - memory is bounded, whatever the size of an object;
    - errors are those above and name the driver and the path;
    - a cancelled call leaves the old state or the new one, and releases what it holds.

    The generators hold a file or a connection until they are exhausted or closed: whoever may stop
    early closes them (:func:`contextlib.aclosing`).

    Not promised: directories (an empty one may or may not exist), any order of :meth:`list`,
    locks between writers of one path (the last one wins, whole), that a deletion survives a crash
    of the machine.
    """

    name: str

    async def open(self) -> None:
        """Check that the medium is usable; create what is needed. Raises StorageError."""

    async def close(self) -> None:
        """Release connections and threads."""

    async def read(self, path: str) -> bytes:
        """The whole content, for small objects. Raises PathNotFound."""

    def stream(
        self, path: str, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The content from byte ``start``, at most ``length`` bytes, in pieces of bounded size.

        What lies beyond the end of the object is left out, so a ``start`` there gives no piece.
        Raises PathNotFound before the first piece; StorageUnavailable if the object ends early.
        """

    async def stat(self, path: str) -> Stat:
        """Raises PathNotFound."""

    async def write(self, path: str, content: bytes) -> None:
        """Store small content atomically and durably, replacing what was there."""

    async def append(self, staged: Staged, chunks: AsyncIterable[bytes]) -> Staged:
        """Add ``chunks`` after the ``staged.size`` bytes that have arrived; the new state.

        If ``chunks`` ends early what arrived is kept; if it raises, the error passes through
        unchanged and this attempt's bytes are removed. Never changes what ``staged`` already holds:
        two attempts from the same ``staged`` do not disturb each other, and the one whose result
        is not recorded leaves nothing that could be published.

        Once returned, the bytes survive a crash of the process. A crash of the machine may take
        them; later calls then raise PathNotFound and never see other bytes instead.

        Raises PathNotFound if the staged bytes are gone: the upload must start again.
        """

    def staged_stream(self, staged: Staged) -> AsyncGenerator[bytes, None]:
        """The staged bytes from the start, to hash them again. Raises PathNotFound if they are gone."""

    async def publish(self, staged: Staged, path: str) -> None:
        """Make the staged bytes durable and visible under ``path`` in one step; the staging ends.

        A ``staged`` of no bytes gives an empty object. A publish that was interrupted, or whose
        success was not recorded, may be repeated: when the staged bytes are gone and an object of
        ``staged.size`` bytes lies under ``path``, that object is taken for theirs. So ``path`` must
        be one that only this content can have, such as the path of a verified digest.

        Raises PathNotFound if the staged bytes are gone and ``path`` does not have them.
        """

    async def discard(self, upload: str) -> None:
        """Remove whatever is staged for an upload, by any attempt. Nothing there is no error."""

    def list(self, prefix: str) -> AsyncGenerator[Entry, None]:
        """Every object below ``prefix`` (a whole path segment), in no promised order."""

    def list_staged(self) -> AsyncGenerator[tuple[str, float], None]:
        """Uploads that have staged bytes, with the time of their last write (POSIX seconds)."""

    async def delete(self, path: str) -> None:
        """Remove one object. Raises PathNotFound."""

    async def delete_tree(self, prefix: str) -> None:
        """Remove every object below ``prefix``. Nothing there is no error."""


@runtime_checkable
class LocalFiles(Protocol):
    """A driver whose objects are files of this machine, so that a server may send them itself."""

    def local_path(self, path: str) -> Path:
        """Where the object lies; it may not exist."""


@runtime_checkable
class BatchDeletes(Protocol):
    """A driver that removes many objects with few requests."""

    async def delete_all(self, paths: Sequence[str]) -> None:
        """Remove the objects; missing ones are no error. When it raises, any of them may be left."""


@runtime_checkable
class AbandonedUploads(Protocol):
    """A driver whose medium keeps what a killed process was sending, out of sight."""

    async def remove_abandoned(self, before: float) -> int:
        """Free what was begun before that time (POSIX seconds) and never ended; how many. It may
        have to look through the whole medium: for background work only."""


@runtime_checkable
class Directories(Protocol):
    """A driver that can tell what lies directly below a prefix without listing all that lies deeper."""

    def directories(self, prefix: str) -> AsyncGenerator[str, None]:
        """The names of segments directly below ``prefix`` that may have objects below them, each
        once, in no promised order."""


@runtime_checkable
class Redirects(Protocol):
    """A driver whose objects a client may fetch directly with a signed URL."""

    async def presigned_url(self, path: str, method: str, lifetime: float) -> str | None:
        """A URL valid for ``lifetime`` seconds, or None when this object cannot be redirected."""


@runtime_checkable
class ObjectKeys(Protocol):
    """A driver whose objects others find in the same bucket, a CDN for example."""

    def object_key(self, path: str) -> str:
        """The object's key in the bucket, without a slash in front."""
