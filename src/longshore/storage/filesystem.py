"""Objects as files below one directory, laid out as distribution's filesystem driver lays them.

    <root>
    ├── docker/registry/v2/...      object /docker/registry/v2/... is the file of that name
    └── longshore+staging           bytes on their way in (longshore.storage.staging)

Several processes and machines may share the directory, and distribution may read it: whatever has
an object's name is whole and on the disk. Everything below the root must be one file system.
"""

import errno
import logging
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Sequence
from contextlib import aclosing, closing, suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from longshore.storage.driver import (
    Entry,
    PathInvalid,
    PathNotFound,
    Staged,
    Stat,
    StorageError,
    StorageNoSpace,
    StorageUnavailable,
)
from longshore.storage.durable import (
    MAX_BUFFERS,
    DurableTree,
    read_pieces,
    remove_tree,
    sync_directory,
)
from longshore.storage.staging import PartWriter, Staging
from longshore.storage.threads import ThreadPool
from longshore.storage.walk import directories, walk

if TYPE_CHECKING:
    import asyncio

    from longshore.storage.settings import FilesystemSettings

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

NAME: Final = "filesystem"
#: Bytes collected before they are handed to a thread: a hop for every 64 KiB would cost four times
#: as much as the writing.
BATCH: Final = 1 << 20
_ENTRIES: Final = 64

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_MEANINGS: Final = {
    errno.ENOENT: PathNotFound,
    errno.ENOTDIR: PathNotFound,
    errno.EISDIR: PathNotFound,
    errno.EEXIST: PathInvalid,
    errno.ENAMETOOLONG: PathInvalid,
    errno.ELOOP: PathInvalid,
    **dict.fromkeys(FULL, StorageNoSpace),
}


class _Translated:
    """Around file work for ``path``: an OSError becomes a StorageError of the same meaning."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError):
            raise storage_error(self._path, error) from error


def storage_error(path: str, error: OSError) -> StorageError:
    """What an error of the operating system means for the object or upload ``path``."""
    meaning = _MEANINGS.get(error.errno or 0, StorageUnavailable)
    return meaning(NAME, path, error.strerror or str(error))


class FilesystemDriver:
    """Files below ``root``; at most ``maxthreads`` of its calls run at the same time."""

    name = NAME

    def __init__(self, root: Path, *, maxthreads: int = 100) -> None:
        self._root = os.path.normpath(root)
        self._pool = ThreadPool(maxthreads)
        self._tree = DurableTree(self._root)
        self._staging = Staging(self._root, self._tree)

    async def open(self) -> None:
        """Make the root directory, see that it can be written, remove what crashes left behind."""
        try:
            await self._pool.run(self._prepare)
        except OSError as error:
            raise StorageUnavailable(NAME, self._root, _unusable(error)) from error

    def _prepare(self) -> None:
        if not os.path.isdir(self._root):
            os.makedirs(self._root, exist_ok=True)
            sync_directory(os.path.dirname(os.path.abspath(self._root)))
        try:
            self._staging.prepare()
            self._staging.probe()
        except OSError as error:
            # A full disk can still be pulled from, and emptied by deleting.
            if error.errno not in FULL:
                raise
            logger.warning("%s is full: %s", self._root, error)

    async def close(self) -> None:
        """Wait for the file work that is running; end the threads."""
        await self._pool.close()

    async def read(self, path: str) -> bytes:
        """The whole file."""
        return await self._run(path, _read, self._file(path))

    def stream(
        self, path: str, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The file in pieces of at most 1 MiB."""
        return self._iterate(path, read_pieces(self._file(path), start, length))

    async def stat(self, path: str) -> Stat:
        """Size and modification time of the file."""
        return await self._run(path, _stat, self._file(path))

    async def write(self, path: str, content: bytes) -> None:
        """Write aside, sync, rename, sync the directories: one hop to a thread."""
        await self._run(path, self._staging.write, content, self._file(path))

    async def append(self, staged: Staged, chunks: AsyncIterable[bytes]) -> Staged:
        """Write a new part; a single small chunk costs one hop to a thread."""
        with _Translated(staged.upload):
            writer = self._staging.writer(staged)
        try:
            return await self._append(staged, writer, chunks)
        except Exception:
            await self._pool.run(writer.abandon)
            raise
        except BaseException:
            # Cancelled: there is no time to wait for a disk that perhaps does not answer.
            self._pool.finally_run(writer.abandon)
            raise

    async def _append(
        self, staged: Staged, writer: PartWriter, chunks: AsyncIterable[bytes]
    ) -> Staged:
        batch: list[bytes] = []
        size = 0
        writing: asyncio.Future[None] | None = None
        async for chunk in chunks:
            if not chunk:
                continue
            batch.append(chunk)
            size += len(chunk)
            if size >= BATCH or len(batch) >= MAX_BUFFERS:
                # The next batch is collected while this one is being written.
                if writing:
                    await writing
                writing = self._start(staged.upload, writer.write, batch)
                batch, size = [], 0
        if writing:
            await writing
        elif not batch:
            return staged
        return await self._run(staged.upload, writer.finish, batch)

    def staged_stream(self, staged: Staged) -> AsyncGenerator[bytes, None]:
        """The parts one after the other, in pieces of at most 1 MiB."""
        return self._iterate(staged.upload, self._staging.pieces(staged))

    async def publish(self, staged: Staged, path: str) -> None:
        """Join the parts into one file, rename it, sync the directories."""
        await self._run(staged.upload, self._staging.publish, staged, self._file(path))

    async def discard(self, upload: str) -> None:
        """Remove the upload's directory."""
        await self._run(upload, self._staging.discard, upload)

    async def list(self, prefix: str) -> AsyncGenerator[Entry, None]:
        """Walk the directory. An object is listed only if its path follows PATH_GRAMMAR."""
        batches = self._iterate(prefix, _batched(walk(self._file(prefix), prefix)))
        async with aclosing(batches):
            async for batch in batches:
                for entry in batch:
                    yield entry

    async def directories(self, prefix: str) -> AsyncGenerator[str, None]:
        """The directories there; one may be empty."""
        batches = self._iterate(prefix, _batched(directories(self._file(prefix))))
        async with aclosing(batches):
            async for batch in batches:
                for name in batch:
                    yield name

    async def list_staged(self) -> AsyncGenerator[tuple[str, float], None]:
        """The directories of uploads."""
        batches = self._iterate("uploads", _batched(self._staging.uploads()))
        async with aclosing(batches):
            async for batch in batches:
                for upload in batch:
                    yield upload

    async def delete(self, path: str) -> None:
        """Remove the file, and its directory when that is empty then."""
        await self._run(path, self._delete, self._file(path))

    def _delete(self, file: str) -> None:
        self._refuse_outside(file)
        self._tree.remove(file)

    async def delete_tree(self, prefix: str) -> None:
        """Remove the directory; a symbolic link is removed, not followed."""
        await self._run(prefix, self._delete_tree, self._file(prefix))

    def _delete_tree(self, directory: str) -> None:
        self._refuse_outside(directory)
        if os.path.islink(directory):
            os.unlink(directory)
        else:
            with suppress(NotADirectoryError):
                remove_tree(directory)

    def local_path(self, path: str) -> Path:
        """The file of an object."""
        return Path(self._file(path))

    def _file(self, path: str) -> str:
        return self._root + path

    def _refuse_outside(self, file: str) -> None:
        directory = os.path.realpath(os.path.dirname(file))
        root = os.path.realpath(self._root)
        if os.path.commonpath([directory, root]) != root:
            raise OSError(
                errno.ELOOP,
                f"a symbolic link leads out of the root directory, to {directory}: nothing is "
                "deleted there",
            )

    def _start(
        self, path: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> "asyncio.Future[T]":
        def translated() -> T:
            with _Translated(path):
                return work(*args, **kwargs)

        return self._pool.start(translated)

    async def _run(self, path: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._start(path, work, *args, **kwargs)

    def _iterate(self, path: str, steps: Generator[T, None, None]) -> AsyncGenerator[T, None]:
        return self._pool.iterate(steps, _Translated(path))


def from_settings(settings: "FilesystemSettings") -> FilesystemDriver:
    """The driver that the configuration describes."""
    return FilesystemDriver(settings.rootdirectory, maxthreads=settings.maxthreads)


def _unusable(error: OSError) -> str:
    return (
        f"the root directory cannot be used ({error.strerror}: {error.filename}): give it to user "
        f"{os.getuid()}, who runs this process, or name another one in "
        "storage.filesystem.rootdirectory"
    )


def _read(file: str) -> bytes:
    with open(file, "rb", buffering=0) as content:
        return content.read()


def _stat(file: str) -> Stat:
    found = os.stat(file)
    if not stat.S_ISREG(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "no file lies here")
    return Stat(found.st_size, found.st_mtime)


def _batched(items: Generator[T, None, None]) -> Generator[Sequence[T], None, None]:
    with closing(items):
        while batch := tuple(islice(items, _ENTRIES)):
            yield batch
