"""Where log lines go. Writing may block (a full pipe, a slow disk), so workers write in a thread."""

import os
import threading
from contextlib import suppress
from typing import Final, Protocol

#: Lines that wait because nobody reads our output. Beyond this they are counted and dropped.
_WAITING: Final = 100_000
#: How long lines gather before they are written together, in seconds.
_GATHER: Final = 0.05


class Sink(Protocol):
    """Takes whole lines, from any thread, at any time."""

    def write(self, line: bytes) -> None:
        """Never blocks for long and never raises."""

    def close(self) -> None:
        """Write what waits; lines that come later may be lost."""


class DirectSink:
    """Writes at once: for the supervisor, which has no thread, and for short commands."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, line: bytes) -> None:
        _write_all(self._descriptor, line)

    def close(self) -> None:
        pass


class GatheringSink:
    """Gathers lines and writes them from a thread of its own: twenty writes a second at most,
    however many requests are logged. A reader that stops reading costs lines, never requests."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: list[bytes] = []
        self._lost = 0
        self._wanted = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="log", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        lines = self._lines
        if len(lines) >= _WAITING:
            self._lost += 1
            return
        lines.append(line)
        if not self._wanted.is_set():
            self._wanted.set()

    def _work(self) -> None:
        while not self._closed.is_set():
            self._wanted.wait()
            self._closed.wait(_GATHER)
            self._flush()

    def _flush(self) -> None:
        self._wanted.clear()
        lines, self._lines = self._lines, []
        if self._lost:
            lost, self._lost = self._lost, 0
            lines.append(b"%d log lines were lost: nobody read them in time\n" % lost)
        if lines:
            _write_all(self._descriptor, b"".join(lines))

    def close(self) -> None:
        self._closed.set()
        self._wanted.set()
        self._thread.join(2)
        if not self._thread.is_alive():
            self._flush()


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    # Nobody can be told that the log cannot be written.
    with suppress(OSError):
        while view:
            view = view[os.write(descriptor, view) :]
