"""GET requests by wrk: one URL, many connections, for a while."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.failure import BenchmarkFailed

_SCRIPT: Final = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True)
class Load:
    """What wrk did."""

    requests: int
    seconds: float


def get(url: str, connections: int, seconds: int, headers: Mapping[str, str]) -> Load:
    """Ask for ``url`` again and again, for a second at least.

    A server that answers nothing at all in that time gets ten times as long. Raises
    BenchmarkFailed unless every reply was a success.
    """
    load = _run(url, connections, max(seconds, 1), headers)
    if not load.requests:
        load = _run(url, connections, max(seconds, 1) * 10, headers)
    if not load.requests:
        raise BenchmarkFailed(f"GET {url} was never answered")
    return load


def _run(url: str, connections: int, seconds: int, headers: Mapping[str, str]) -> Load:
    program = shutil.which("wrk")
    if program is None:
        raise BenchmarkFailed("wrk is not installed: run scripts/install-debian-packages")
    given = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    shape = ["-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout", "60s"]
    done = subprocess.run(
        [program, *shape, *given, "-s", str(_SCRIPT), url],
        capture_output=True,
        text=True,
        timeout=seconds + 120,
        check=False,
    )
    if done.returncode:
        raise BenchmarkFailed(f"wrk ended with code {done.returncode}: {done.stderr[-500:]}")
    said = json.loads(done.stdout.splitlines()[-1])
    if said["failed"]:
        raise BenchmarkFailed(
            f"GET {url}: {said['requests']} requests were answered, {said['failed']} failed"
        )
    return Load(said["requests"], said["microseconds"] / 1e6)
