"""The directory that the processes of one running server share, below the system's temporary one.

A server that is killed cannot remove it. Its owner therefore holds a lock on it, which ends with
the last process of that server however it ends, and each start removes what nobody holds. Process
ids would not do: they are used again, and containers that share a directory do not share them.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PREFIX: Final = "longshore-serve-"
_ATTEMPTS: Final = 10


@contextlib.contextmanager
def shared_directory() -> Iterator[Path]:
    """A new directory until the block ends; first removes those of servers that were killed.

    Processes forked in the block keep it, too. Raises OSError when none can be made.
    """
    _remove_abandoned(Path(tempfile.gettempdir()))
    path, descriptor = _create()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def _create() -> tuple[Path, int]:
    """A directory and its lock. Another server's start may remove one that is not yet locked."""
    for _ in range(_ATTEMPTS):
        path = Path(tempfile.mkdtemp(prefix=PREFIX))
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            # Where locks do not work, nobody can take it for abandoned either.
            if (_lock(descriptor) is not False) and path.exists():
                return path, descriptor
            os.close(descriptor)
    raise FileExistsError(f"no directory in {tempfile.gettempdir()} stays: who removes them?")


def _remove_abandoned(parent: Path) -> None:
    for path in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if os.fstat(descriptor).st_uid == os.geteuid() and _lock(descriptor):
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Lock a directory until all copies of the descriptor are closed; False when another holds it,
    None when the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
