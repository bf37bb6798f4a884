"""How many workers a server has when nobody says."""

import os
import resource
from pathlib import Path

import pytest

from longshore.http.server.machine import available_cpus, raise_file_limit

CPUS = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, CPUS),
        ({"cpu.max": "max 100000"}, CPUS),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "100000000 100000"}, CPUS),
        ({"cpu.max": "150000 100000"}, min(2, CPUS)),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, CPUS),
        ({"cpu/cpu.cfs_quota_us": "20000", "cpu/cpu.cfs_period_us": "100000"}, 1),
    ],
)
def test_a_container_gets_workers_for_the_time_it_has(
    tmp_path: Path, files: dict[str, str], expected: int
):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")

    assert available_cpus(tmp_path) == expected


def test_as_many_files_may_be_open_as_are_allowed():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        raise_file_limit()

        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
