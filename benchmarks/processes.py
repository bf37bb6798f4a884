"""What the kernel knows about a server: its processes, their CPU time and memory (proc(5))."""

import os
from collections import defaultdict
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PROC: Final = Path("/proc")


def family(pid: int) -> list[int]:
    """The process and all that descend from it and still run."""
    children = defaultdict(list)
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            children[int(stat[1])].append(int(entry.name))
    found = [pid]
    for one in found:
        found.extend(children[one])
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time of the process, its descendants, and those of them that have ended."""
    total = 0
    for one in family(pid):
        if stat := _stat(one):
            total += sum(int(ticks) for ticks in stat[11:15])  # user, system; of ended children
    return total / _TICKS


def forget_peaks(pid: int) -> None:
    """From now on :func:`peak_memory` tells what comes after."""
    for one in family(pid):
        (_PROC / str(one) / "clear_refs").write_text("5")


def peak_memory(pid: int) -> int:
    """The largest resident size that a process of the family has had, in bytes."""
    peaks = [0]
    for one in family(pid):
        for line in (_PROC / str(one) / "status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "VmHWM":
                peaks.append(int(value.split()[0]) << 10)
    return max(peaks)


def own_memory(pid: int) -> int:
    """Resident bytes of a process that are no file's; 0 when it is gone."""
    try:
        status = (_PROC / str(pid) / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(found[0]) << 10 if found else 0


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third on, or None when the process is gone."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
