"""Writing a blob to a file: verified, durable, all or nothing, and continued after a break.

    DIRECTORY/.incomplete/sha256-<hex>    what has arrived so far
    DIRECTORY/blobs/sha256/<hex>          appears when everything has, and was verified

Everything here blocks; call it in a thread.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Self

from longshore.client.content import check_blob
from longshore.oci.descriptor import Descriptor
from longshore.oci.digest import Digest, new_hash

INCOMPLETE: Final = ".incomplete"
_STEP = 1024 * 1024


class BlobFile:
    """A blob that is arriving. `offset` says how many of its bytes are here."""

    def __init__(self, directory: Path, descriptor: Descriptor, file: BinaryIO, path: Path) -> None:
        self._directory = directory
        self._descriptor = descriptor
        self._file = file
        self._path = path
        self._hash = new_hash(descriptor.digest.algorithm)
        self.offset = 0

    @classmethod
    def open(cls, directory: Path, descriptor: Descriptor) -> Self:
        """Go on with what an earlier attempt left, or begin. If somebody else is at work on the
        same blob, begin beside them."""
        kept = directory / INCOMPLETE / str(descriptor.digest).replace(":", "-")
        while True:
            kept.parent.mkdir(exist_ok=True)
            try:
                file, path = _open_alone(kept)
            except FileNotFoundError:
                continue  # whoever finished last has just removed the directory
            blob = cls(directory, descriptor, file, path)
            if blob._is_current():
                blob._take_in()
                return blob
            blob.close()

    def _is_current(self) -> bool:
        """Whether the open file is still the one at its path. The other that was at work may
        have published it in the meantime: then it must not be touched any more."""
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False

    def _take_in(self) -> None:
        """Hash what is here already; more than the whole blob is not part of it."""
        self._file.seek(0)
        while piece := self._file.read(_STEP):
            self._hash.update(piece)
            self.offset += len(piece)
        if self.offset > self._descriptor.size:
            self.restart()

    def restart(self) -> None:
        """Throw away what is here."""
        self._file.truncate(0)
        self._file.seek(0)
        self._hash = new_hash(self._descriptor.digest.algorithm)
        self.offset = 0

    def write(self, piece: bytes) -> None:
        """Append; raises ContentInvalid when that is more than there should be."""
        self.offset += len(piece)
        if self.offset > self._descriptor.size:
            check_blob(self._descriptor, self.offset, self._descriptor.digest)
        self._hash.update(piece)
        self._file.write(piece)

    def publish(self) -> None:
        """Verify the whole and give it its name. Raises ContentInvalid, then nothing is kept."""
        try:
            check_blob(self._descriptor, self.offset, Digest.finish(self._hash))
        except BaseException:
            self._path.unlink(missing_ok=True)
            raise
        self._file.flush()
        os.fsync(self._file.fileno())
        digest = self._descriptor.digest
        final = self._directory / "blobs" / digest.algorithm / digest.hex
        final.parent.mkdir(parents=True, exist_ok=True)
        self._path.chmod(0o644)
        os.replace(self._path, final)
        sync_directory(final.parent)
        with contextlib.suppress(OSError):  # others may be at work there
            self._path.parent.rmdir()

    def close(self) -> None:
        """Keep what has arrived for another attempt, if another can find it."""
        self._file.close()
        if self._path.suffix:  # a file beside the one that is kept
            self._path.unlink(missing_ok=True)


def write_file(path: Path, content: bytes) -> None:
    """Write a whole file so that there is always either the old one or the new one."""
    with _written(path, content) as temporary:
        os.replace(temporary, path)


def publish_new(path: Path, content: bytes) -> None:
    """Write a file that is whole from the moment it is there, unless there is one already."""
    with _written(path, content) as temporary, contextlib.suppress(FileExistsError):
        os.link(temporary, path)


def _open_alone(kept: Path) -> tuple[BinaryIO, Path]:
    """The file that is kept, locked; or a new one beside it if somebody else has the lock."""
    file = kept.open("a+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        number, name = tempfile.mkstemp(prefix=f"{kept.name}.", dir=kept.parent)
        return os.fdopen(number, "w+b"), Path(name)
    return file, kept


@contextlib.contextmanager
def _written(path: Path, content: bytes) -> Iterator[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    number, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as sink:
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())
        Path(temporary).chmod(0o644)
        yield temporary
    finally:
        Path(temporary).unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make a rename in this directory survive a power cut."""
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
