"""Files that are whole and survive a crash: write aside, sync, rename, sync the directories.

Everything here blocks and raises OSError; :mod:`longshore.storage.filesystem` runs it in threads.
"""

import errno
import os
import stat
from collections.abc import Generator, Sequence
from contextlib import suppress
from typing import Final

#: Bytes read from a file or copied through memory in one step.
PIECE: Final = 1 << 20
#: Buffers that one writev takes (POSIX: at least 16; Linux: 1024).
MAX_BUFFERS: Final = min(os.sysconf("SC_IOV_MAX"), 1024)
#: After so many new bytes the kernel is asked to begin writing them to the disk.
_WRITEBACK: Final = 8 << 20
_COPY: Final = 64 << 20
#: How often to make a directory again that another process found empty and removed.
_RETRIES: Final = 100
_REMEMBERED_DIRECTORIES: Final = 4096
_ELSEWHERE: Final = (
    "{} is on another file system than {}, so a file cannot move there in one step: keep "
    "everything below the root directory on one file system"
)


class Output:
    """Writes a file from ``offset`` on, and keeps the disk busy meanwhile.

    From time to time the kernel is told to begin writing back, so that the final sync does not
    wait for everything at once (measured: benchmarks/storage_filesystem.py).
    """

    def __init__(self, descriptor: int, offset: int = 0) -> None:
        self.offset = offset
        self._descriptor = descriptor
        self._handed_over = offset

    def write(self, buffers: Sequence[bytes]) -> None:
        """All of at most MAX_BUFFERS non-empty buffers, also when the kernel takes only a part."""
        waiting: list[bytes | memoryview] = list(buffers)
        while waiting:
            written = os.pwritev(self._descriptor, waiting, self.offset)
            self.offset += written
            whole = 0
            while whole < len(waiting) and written >= len(waiting[whole]):
                written -= len(waiting[whole])
                whole += 1
            del waiting[:whole]
            if written:
                waiting[0] = memoryview(waiting[0])[written:]
        self._begin_writeback()

    def copy(self, source: int, length: int) -> None:
        """The first ``length`` bytes of another file, inside the kernel where it can.

        Raises FileNotFoundError when that file is shorter.
        """
        position = 0
        while position < length:
            copied = self._copy_some(source, position, min(length - position, _COPY))
            if copied == 0:
                raise FileNotFoundError(errno.ENOENT, shorter(position, length))
            position += copied
            self.offset += copied
            self._begin_writeback()

    def _copy_some(self, source: int, position: int, length: int) -> int:
        with suppress(OSError):
            copied = os.copy_file_range(source, self._descriptor, length, position, self.offset)
            if copied:
                return copied
        # Not between these files or not on this kernel. A real fault shows again here.
        content = os.pread(source, min(length, PIECE), position)
        return os.pwrite(self._descriptor, content, self.offset) if content else 0

    def _begin_writeback(self) -> None:
        fresh = self.offset - self._handed_over
        if fresh >= _WRITEBACK:
            # Linux starts writing the range and, its pages being dirty, drops none of them: they
            # stay cached for the first pull. (Python does not offer sync_file_range.)
            os.posix_fadvise(self._descriptor, self._handed_over, fresh, os.POSIX_FADV_DONTNEED)
            self._handed_over = self.offset

    def sync(self) -> None:
        """Wait until the content is on the disk."""
        os.fdatasync(self._descriptor)


def create_file(path: str) -> int:
    """The descriptor of a new file. Raises FileExistsError."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


def write_file(path: str, content: bytes) -> None:
    """A new file, on the disk when this returns (its name is not). Nothing is left by a fault."""
    descriptor = create_file(path)
    try:
        output = Output(descriptor)
        if content:
            output.write([content])
        output.sync()
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise
    finally:
        os.close(descriptor)


def read_pieces(path: str, start: int, length: int | None) -> Generator[bytes, None, None]:
    """The bytes of a file from ``start``, at most ``length``.

    Raises FileNotFoundError before the first piece, and OSError (EIO) if the file gets shorter.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        end = size if length is None else min(size, start + length)
        while start < end:
            piece = os.pread(descriptor, min(PIECE, end - start), start)
            if not piece:
                raise OSError(errno.EIO, f"the file ended at byte {start} of {size}")
            start += len(piece)
            yield piece
    finally:
        os.close(descriptor)


def require_length(descriptor: int, length: int) -> int:
    """The file's size. Raises FileNotFoundError when it is less than the recorded ``length``."""
    size = os.fstat(descriptor).st_size
    if size < length:
        raise FileNotFoundError(errno.ENOENT, shorter(size, length))
    return size


def shorter(size: int, length: int) -> str:
    """What is wrong with a file that should have ``length`` bytes."""
    return f"only {size} of the {length} bytes recorded are there"


def sync_directory(path: str) -> None:
    """Wait until the names in a directory are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(directory: str) -> None:
    """Remove everything below ``directory`` and itself, following no symbolic link.

    What vanishes meanwhile is fine; a directory in which somebody writes meanwhile stays.
    """
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    remove_tree(entry.path)
                else:
                    with suppress(FileNotFoundError):
                        os.unlink(entry.path)
        os.rmdir(directory)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise


class DurableTree:
    """Puts finished files under their names in a tree, so that the names survive a crash.

    A name survives when its directory has been synced, and that directory's name in its parent,
    and so on. The directory of an object and its parent are synced every time, because the first
    may just have been made by somebody who crashed before syncing the second. Higher directories
    stay once made (:meth:`remove` takes away only an object's own), so once each is enough.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._durable: set[str] = set()

    def place(self, source: str, destination: str) -> None:
        """Move a synced file to its name, replacing what is there; durable when this returns.

        Raises FileNotFoundError if ``source`` is gone, FileExistsError if a directory lies where
        the file should, or a file where a directory should.
        """
        directory = os.path.dirname(destination)
        for _ in range(_RETRIES):
            try:
                make_directory(directory)
                os.rename(source, destination)
                break
            except FileNotFoundError:
                # Either somebody has removed the directory, being empty, or the source.
                os.stat(source)
            except (IsADirectoryError, NotADirectoryError, FileExistsError) as error:
                raise FileExistsError(
                    errno.EEXIST, "a file and a directory cannot have the same name"
                ) from error
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                raise OSError(errno.EXDEV, _ELSEWHERE.format(directory, source)) from error
        else:
            raise OSError(errno.EIO, f"directory {directory} is removed again and again")
        self.sync(destination)

    def sync(self, path: str) -> None:
        """Make the name of an object durable: in its directory, and in those above."""
        directory = os.path.dirname(path)
        # An object that is removed meanwhile may take directories along.
        with suppress(FileNotFoundError):
            sync_directory(directory)
            if len(directory) > len(self._root):
                sync_directory(os.path.dirname(directory))
                self._sync_above(os.path.dirname(directory))

    def _sync_above(self, directory: str) -> None:
        while len(directory) > len(self._root) and directory not in self._durable:
            above = os.path.dirname(directory)
            sync_directory(above)
            if len(self._durable) >= _REMEMBERED_DIRECTORIES:
                self._durable.clear()
            self._durable.add(directory)
            directory = above

    def remove(self, path: str) -> None:
        """Remove a file, and its directory if that is empty now. Raises FileNotFoundError."""
        os.unlink(path)
        with suppress(OSError):
            os.rmdir(os.path.dirname(path))


def make_directory(path: str) -> None:
    """Make a directory, and those above it, unless they are there.

    Raises FileExistsError if a file has the name. What somebody else removes at the same moment may
    be missing afterwards: whoever misses it then calls again.
    """
    try:
        os.mkdir(path)
    except FileExistsError:
        # Between the two calls somebody may remove the directory and a third make it again, so
        # one look at what is there has to decide (os.makedirs takes two).
        with suppress(FileNotFoundError):
            if not stat.S_ISDIR(os.stat(path).st_mode):
                raise
    except FileNotFoundError:
        make_directory(os.path.dirname(path))
        with suppress(FileExistsError, FileNotFoundError):
            os.mkdir(path)
