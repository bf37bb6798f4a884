"""Listing the objects in a directory tree without ever holding a whole directory."""

import os
import re
import stat
from collections.abc import Generator
from contextlib import suppress
from typing import Final

from longshore.storage.driver import Entry, Stat

#: One segment of PATH_GRAMMAR: a file named otherwise (in staging, in lost+found) is no object.
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._:-]+")


def walk(directory: str, prefix: str) -> Generator[Entry, None, None]:
    """Every object below ``directory``, whose storage path is ``prefix``.

    Symbolic links are followed, but not in circles. What vanishes meanwhile is left out; below a
    file or nothing is nothing. Raises OSError.
    """
    with suppress(FileNotFoundError, NotADirectoryError):
        yield from _walk(directory, prefix, (os.stat(directory),))


def directories(directory: str) -> Generator[str, None, None]:
    """The names of the directories in ``directory``; symbolic links are followed. Raises OSError."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(directory) as entries:
        for entry in entries:
            if _SEGMENT.fullmatch(entry.name) and entry.is_dir():
                yield entry.name


def _walk(
    directory: str, prefix: str, above: tuple[os.stat_result, ...]
) -> Generator[Entry, None, None]:
    with suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            if not _SEGMENT.fullmatch(entry.name):
                continue
            path = f"{prefix}/{entry.name}"
            with suppress(FileNotFoundError):
                found = entry.stat()
                if stat.S_ISREG(found.st_mode):
                    yield Entry(path, Stat(found.st_size, found.st_mtime))
                elif stat.S_ISDIR(found.st_mode) and not _encloses(found, above):
                    yield from _walk(entry.path, path, (*above, found))


def _encloses(directory: os.stat_result, above: tuple[os.stat_result, ...]) -> bool:
    return any(os.path.samestat(directory, other) for other in above)
