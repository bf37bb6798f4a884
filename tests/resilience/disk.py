"""A small disk that can be filled to its last byte, and emptied again."""

import errno
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.services.programs import missing, root_only


@dataclass(frozen=True)
class SmallDisk:
    """A file system of its own."""

    path: Path

    @property
    def free(self) -> int:
        """Bytes that are left."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"

    def fill(self, *, leave: int = 0) -> None:
        """Take all room but so many bytes."""
        piece = bytes(4096)
        with self._ballast.open("ab", buffering=0) as file:
            while self.free > leave:
                try:
                    file.write(piece)
                except OSError as error:
                    assert error.errno == errno.ENOSPC
                    return

    def make_room(self) -> None:
        """Give back what :meth:`fill` took."""
        self._ballast.unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """24 MiB of tmpfs."""
    root_only("it mounts a small tmpfs to fill it")
    path = tmp_path / "small-disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "small", str(path)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        missing(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
