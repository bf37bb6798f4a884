"""What the machine, or the container, lets this process have."""

import math
import os
import resource
from pathlib import Path
from typing import Final

_CGROUP: Final = Path("/sys/fs/cgroup")


def available_cpus(cgroup: Path = _CGROUP) -> int:
    """CPUs that may be used at the same time: fewer than there are when the process is bound to
    some (affinity), or its container is given the time of some (``docker run --cpus``)."""
    try:
        found = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        found = os.cpu_count() or 1
    share = _cgroup_share(cgroup)
    return max(1, min(found, math.ceil(share)) if share else found)


def _cgroup_share(cgroup: Path) -> float | None:
    """CPUs' worth of time for the control group, version 2 then 1; None when there is no limit."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not (quota.isdigit() and period.isdigit() and int(period)):
        return None  # "max", or -1
    return int(quota) / int(period)


def raise_file_limit() -> None:
    """Allow as many open files, and so connections, as the administrator lets us have: the usual
    soft limit of 1024 is for programs that use select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
