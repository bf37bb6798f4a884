"""What uploads have staged, as files of the filesystem driver.

    <root>/longshore+staging        the plus sign is in no storage path: nothing reaches in here
    ├── uploads
    │   └── <upload>
    │       ├── 0.<token>                        the first part
    │       └── <offset>.<token>.<previous>      a later part, from byte <offset> on
    └── writes
        └── <token>                              content on its way to its name

Every attempt to add to an upload writes a part of its own, named with a random token, the offset
at which it begins and the token of the part that it follows. So ``Staged.state`` is the name of the
last part alone, however many there are, and parts of attempts that were never recorded are in
nobody's chain. A part ends where the next one begins, the last at ``Staged.size``: what lies behind
that in its file does not count.

A part is synced before its ``Staged`` is returned, so a recorded part never has other bytes.
"""

import errno
import fcntl
import os
import re
import secrets
import threading
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple

from longshore.storage.driver import Staged
from longshore.storage.durable import (
    DurableTree,
    Output,
    create_file,
    make_directory,
    read_pieces,
    remove_tree,
    require_length,
    shorter,
    write_file,
)
from longshore.telemetry import clock

DIRECTORY: Final = "longshore+staging"
#: A file in ``writes`` that nobody has touched for so long is left over from a crash (seconds).
#: It takes that long because other processes, also of other machines, may be writing there now.
STALE_AFTER: Final = 86_400.0
_RETRIES: Final = 100
_PART_NAME: Final = re.compile(r"([0-9]{1,18})\.([0-9a-f]{16})(?:\.([0-9a-f]{16}))?")
#: Answers of file systems that have no locks.
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


class PartName(NamedTuple):
    """The name of a part's file."""

    offset: int
    token: str
    previous: str

    def __str__(self) -> str:
        return f"{self.offset}.{self.token}" + (f".{self.previous}" if self.previous else "")

    @classmethod
    def parse(cls, name: str) -> "PartName | None":
        """None for the name of any other file."""
        match = _PART_NAME.fullmatch(name)
        return cls(int(match[1]), match[2], match[3] or "") if match else None


@dataclass(frozen=True, slots=True)
class Part:
    """One file of an upload: ``length`` bytes from its start belong to it."""

    path: str
    length: int


class Staging:
    """The staging directory below ``root``. All methods block and raise OSError."""

    def __init__(self, root: str, tree: DurableTree) -> None:
        self._tree = tree
        self._uploads = f"{root}/{DIRECTORY}/uploads"
        self._writes = f"{root}/{DIRECTORY}/writes"

    def prepare(self, stale_after: float = STALE_AFTER) -> None:
        """Make the directories; remove what crashes have left in ``writes``."""
        os.makedirs(self._uploads, exist_ok=True)
        os.makedirs(self._writes, exist_ok=True)
        before = clock.timestamp() - stale_after
        with os.scandir(self._writes) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.stat(follow_symlinks=False).st_mtime < before:
                        os.unlink(entry.path)

    def probe(self) -> None:
        """Write a file and remove it again."""
        path = self._new_write()
        write_file(path, b"probe")
        os.unlink(path)

    def write(self, content: bytes, destination: str) -> None:
        """Make ``content`` a file, whole and durable. Nothing is left by a fault."""
        path = self._new_write()
        write_file(path, content)
        self._place(path, destination)

    def _new_write(self) -> str:
        return f"{self._writes}/{secrets.token_hex(8)}"

    def _place(self, path: str, destination: str) -> None:
        try:
            self._tree.place(path, destination)
        except BaseException:
            with suppress(OSError):
                os.unlink(path)
            raise

    def writer(self, staged: Staged) -> "PartWriter":
        """Takes the bytes that follow ``staged``."""
        return PartWriter(f"{self._uploads}/{staged.upload}", staged)

    def pieces(self, staged: Staged) -> Generator[bytes, None, None]:
        """The staged bytes from the start. Raises FileNotFoundError if not all are there."""
        for part in self._parts(staged):
            read = 0
            for piece in read_pieces(part.path, 0, part.length):
                read += len(piece)
                yield piece
            if read < part.length:
                raise FileNotFoundError(errno.ENOENT, shorter(read, part.length))

    def publish(self, staged: Staged, destination: str) -> None:
        """Make one file of the parts and move it to its name; then remove the upload's directory.

        Raises FileNotFoundError if bytes are gone and ``destination`` does not have them either.
        """
        try:
            self._publish(staged, destination)
        except FileNotFoundError:
            with suppress(FileNotFoundError):
                if os.stat(destination).st_size == staged.size:
                    # An earlier call got this far, though perhaps not to the end of it.
                    self._tree.sync(destination)
                    self.discard(staged.upload)
                    return
            raise
        self.discard(staged.upload)

    def _publish(self, staged: Staged, destination: str) -> None:
        parts = self._parts(staged)
        if not parts:
            self.write(b"", destination)
            return
        first, later = parts[0], parts[1:]
        descriptor = os.open(first.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            size = require_length(descriptor, first.length)
            complete = not later and size == first.length
            lock = _lock(descriptor, first.path)
            if complete and lock is not Lock.ANOTHERS:
                self._tree.place(first.path, destination)
            elif lock is Lock.OURS:
                _complete(descriptor, first.length, later)
                self._tree.place(first.path, destination)
            else:
                whole = self._copy(descriptor, first.length, later)
                self._place(whole, destination)
        finally:
            os.close(descriptor)

    def _copy(self, first: int, length: int, later: Sequence[Part]) -> str:
        """A file of its own with all parts, for when the first one may not be appended to."""
        path = self._new_write()
        descriptor = create_file(path)
        try:
            Output(descriptor).copy(first, length)
            _complete(descriptor, length, later)
        except BaseException:
            os.unlink(path)
            raise
        finally:
            os.close(descriptor)
        return path

    def discard(self, upload: str) -> None:
        """Remove everything of an upload; nothing there is no error."""
        remove_tree(f"{self._uploads}/{upload}")

    def uploads(self) -> Generator[tuple[str, float], None, None]:
        """Every upload, and when something was last written for it (POSIX seconds)."""
        with os.scandir(self._uploads) as entries:
            for entry in entries:
                with suppress(FileNotFoundError, NotADirectoryError):
                    yield entry.name, _last_write(entry.path)

    def _parts(self, staged: Staged) -> Sequence[Part]:
        """The chain that ends with the recorded part, in order."""
        if staged.size == 0:
            return []
        directory = f"{self._uploads}/{staged.upload}"
        names: Mapping[str, PartName] = {}
        parts: deque[Part] = deque()
        name, end = _recorded(staged), staged.size
        while True:
            if not 0 <= name.offset < end:
                raise FileNotFoundError(errno.ENOENT, f"part {name} cannot end at byte {end}")
            parts.appendleft(Part(f"{directory}/{name}", end - name.offset))
            if not name.previous:
                return list(parts)
            names = names or _names(directory)
            if name.previous not in names:
                raise FileNotFoundError(errno.ENOENT, f"the part before byte {end} is gone")
            name, end = names[name.previous], name.offset


class PartWriter:
    """One attempt to add to an upload. Its methods run in threads, one after the other."""

    def __init__(self, directory: str, staged: Staged) -> None:
        self._directory = directory
        self._staged = staged
        previous = _recorded(staged) if staged.size else None
        self._previous = previous
        self._name = PartName(staged.size, secrets.token_hex(8), previous.token if previous else "")
        self._descriptor: int | None = None
        self._output: Output | None = None
        # Whoever waited for a step may be gone while it still runs: abandon() comes after it.
        self._lock = threading.Lock()
        self._abandoned = False

    def write(self, buffers: Sequence[bytes]) -> None:
        """Add at most MAX_BUFFERS non-empty buffers. A fault leaves nothing of the attempt.

        Raises FileNotFoundError if the bytes that these should follow are gone.
        """
        with self._lock, self._removed_on_fault():
            self._opened().write(buffers)

    def finish(self, buffers: Sequence[bytes]) -> Staged:
        """Add the last bytes (there must have been some) and wait until all are on the disk."""
        with self._lock, self._removed_on_fault():
            output = self._opened()
            output.write(buffers)
            output.sync()
            self._close()
        size = self._staged.size + output.offset
        return Staged(self._staged.upload, size, {"part": str(self._name)})

    def abandon(self) -> None:
        """End the attempt and remove what it has written."""
        with self._lock:
            self._remove()

    @contextmanager
    def _removed_on_fault(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._remove()
            raise

    def _remove(self) -> None:
        self._abandoned = True
        self._close()
        if self._output:
            with suppress(OSError):
                os.unlink(f"{self._directory}/{self._name}")
        with suppress(OSError):
            os.rmdir(self._directory)

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _opened(self) -> Output:
        if self._abandoned:
            raise OSError(errno.ECANCELED, "this attempt was abandoned")
        if self._output is None:
            self._check_previous()
            self._descriptor = self._create()
            self._output = Output(self._descriptor)
        return self._output

    def _check_previous(self) -> None:
        """Raise FileNotFoundError early rather than after another gigabyte."""
        if self._previous:
            length = self._staged.size - self._previous.offset
            size = os.stat(f"{self._directory}/{self._previous}").st_size
            if size < length:
                raise FileNotFoundError(errno.ENOENT, shorter(size, length))

    def _create(self) -> int:
        path = f"{self._directory}/{self._name}"
        for _ in range(_RETRIES):
            if not self._previous:
                make_directory(self._directory)
            try:
                return create_file(path)
            except FileNotFoundError:
                # An earlier attempt that failed has taken the empty directory away.
                if self._previous:
                    raise
        raise OSError(errno.EIO, f"directory {self._directory} is removed again and again")


def _recorded(staged: Staged) -> PartName:
    name = PartName.parse(str(staged.state.get("part", "")))
    if name is None:
        raise FileNotFoundError(errno.ENOENT, f"no part is recorded, but {staged.size} bytes are")
    return name


def _names(directory: str) -> Mapping[str, PartName]:
    found = (PartName.parse(name) for name in os.listdir(directory))
    return {name.token: name for name in found if name}


def _complete(descriptor: int, length: int, later: Sequence[Part]) -> None:
    """Make a file exactly its first ``length`` bytes and the later parts, on the disk.

    May be interrupted and done again: it changes nothing before ``length``.
    """
    output = Output(descriptor, length)
    try:
        for part in later:
            source = os.open(part.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                output.copy(source, part.length)
            finally:
                os.close(source)
        os.ftruncate(descriptor, output.offset)
        output.sync()
    except BaseException:
        # A full disk needs the room more than a next try needs what was copied.
        with suppress(OSError):
            os.ftruncate(descriptor, length)
        raise


class Lock(Enum):
    """Who may append to the first part of an upload, to make the object of it."""

    OURS = auto()
    ANOTHERS = auto()
    NOBODYS = auto()


def _lock(descriptor: int, path: str) -> Lock:
    """Try to lock a part until the descriptor is closed (a crash closes it).

    Raises FileNotFoundError if another publisher has moved the part to its name meanwhile.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return Lock.ANOTHERS
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return Lock.NOBODYS
        raise
    if not os.path.samestat(os.fstat(descriptor), os.stat(path)):
        raise FileNotFoundError(errno.ENOENT, "another request has published these bytes")
    return Lock.OURS


def _last_write(directory: str) -> float:
    latest = os.stat(directory).st_mtime
    with os.scandir(directory) as parts:
        for part in parts:
            with suppress(FileNotFoundError):
                latest = max(latest, part.stat(follow_symlinks=False).st_mtime)
    return latest
