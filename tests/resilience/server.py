"""A running server as a patient: its processes, their memory, and ways to end them."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

from tests.services.registries import Registry


def workers(registry: Registry) -> list[int]:
    """The process ids of the workers, children of the one that was started."""
    pid = registry.service.pid
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def kill_worker(pid: int) -> None:
    """SIGKILL: no handler runs, nothing is flushed."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def kill_server(registry: Registry) -> None:
    """SIGKILL for the server and all its workers at the same moment."""
    os.killpg(registry.service.pid, signal.SIGKILL)
    registry.service.stop(signal.SIGKILL)


def resident_memory(pid: int) -> int:
    """Bytes of memory that a process has to itself (shared pages of files do not count)."""
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return int(fields["RssAnon"].split()[0]) << 10


def eventually(condition: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether ``condition`` becomes true; asked again and again until then."""
    deadline = monotonic() + seconds
    while not (found := condition()) and monotonic() < deadline:
        sleep(0.05)
    return found
