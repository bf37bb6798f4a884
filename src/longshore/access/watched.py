"""A file that is read again when it changes, without ever touching the disk on the event loop."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

import anyio
import anyio.to_thread

from longshore.access.errors import AccessError

logger = logging.getLogger(__name__)

T = TypeVar("T")

_MAX_BYTES: Final = 64 * 1024 * 1024
_Stamp = tuple[int, int, int]


class WatchedFile(Generic[T]):
    """What a file says now. ``load`` before anything else.

    Nobody polls: whoever needs the content asks whether a look at the disk is ``due`` and, if so,
    awaits ``check``. So an idle registry sleeps, and yet nobody is let in by a file that was
    replaced an hour ago.

    A file that vanishes or no longer parses leaves the last good content in force, and the log
    says so once: a half-finished edit must not lock everybody out.
    """

    def __init__(
        self,
        path: Path,
        parse: Callable[[bytes], T],
        *,
        interval: float = 1.0,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``parse`` runs in a thread and raises AccessError. A look is due every ``interval``
        seconds and is given up after ``timeout`` seconds (the old content then stays)."""
        self.path = path
        #: Counts the changes seen; who derives something from the content compares it.
        self.generation = 0
        self._parse = parse
        self._interval = interval
        self._timeout = timeout
        self._clock = clock
        self._lock = anyio.Lock()
        self._checked = 0.0
        self._stamp: _Stamp | None = None
        self._content: T | None = None
        self._complaint = ""

    @property
    def content(self) -> T:
        """The last good content. Raises AccessError before ``load``."""
        if self._content is None:
            raise AccessError(f"{self.path}: not read yet")
        return self._content

    @property
    def due(self) -> bool:
        """Whether the content is too old to be trusted unseen."""
        return self._clock() - self._checked > self._interval

    async def load(self) -> T:
        """Read the file for the first time. Raises AccessError when that fails."""
        self._checked = self._clock()
        self._take(await anyio.to_thread.run_sync(self._read))
        return self.content

    async def check(self, *, now: bool = False) -> None:
        """Read the file again if it changed. Callers share one look at the disk; with ``now``
        one is made that began after this call, whatever was seen before. Never raises."""
        since = self._clock() - (0.0 if now else self._interval)
        async with self._lock:
            if self._checked > since:
                return
            began = self._clock()
            try:
                with anyio.fail_after(self._timeout):
                    self._take(await anyio.to_thread.run_sync(self._read, abandon_on_cancel=True))
                self._complaint = ""
            except (AccessError, TimeoutError) as error:
                self._complain(str(error) or f"{self.path}: no answer in {self._timeout:g} s")
            self._checked = began

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:
            logger.error("%s; what was read before stays in force", complaint)
        self._complaint = complaint

    def _take(self, read: "tuple[_Stamp, T] | None") -> None:
        if read is None:
            return
        if self._content is not None:
            logger.info("%s changed and was read again", self.path)
        self._stamp, self._content = read
        self.generation += 1

    def _read(self) -> "tuple[_Stamp, T] | None":
        """In a thread: the file's stamp and content, None when the stamp is the known one."""
        try:
            if self._stamp is not None and _stamp(os.stat(self.path)) == self._stamp:
                return None
            with self.path.open("rb") as file:
                # Of the open file, and before reading: a change while we read shows next time.
                stamp = _stamp(os.fstat(file.fileno()))
                data = file.read(_MAX_BYTES + 1)
        except OSError as error:
            raise AccessError(f"{self.path}: cannot be read: {error.strerror}") from error
        if len(data) > _MAX_BYTES:
            raise AccessError(f"{self.path}: larger than {_MAX_BYTES} bytes")
        return stamp, self._parse(data)


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_mtime_ns, status.st_size, status.st_ino
