"""Processes that are killed while they write, and disks that are full."""

import asyncio
import hashlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from longshore.storage.driver import Staged, StorageNoSpace
from longshore.storage.filesystem import FilesystemDriver
from longshore.storage.staging import DIRECTORY
from longshore.testing.storage_fixtures import MIB, content, pieces, stage
from tests.services.programs import missing, program, root_only

pytestmark = pytest.mark.anyio

_ROUNDS = 5


def push_until_killed(root: Path, seconds: float) -> list[str]:
    """What a process that was killed after some time had been promised to be stored."""
    pushing = Path(__file__).with_name("pushing.py")
    with subprocess.Popen([sys.executable, pushing, root], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        time.sleep(seconds)
        child.kill()
        lines = (first + child.stdout.read()).decode().split("\n")
    return lines[:-1]  # behind the last newline is what it was killed in


async def test_a_kill_at_any_moment_loses_nothing_promised_and_leaves_nothing_half(
    tmp_path: Path,
) -> None:
    driver = FilesystemDriver(tmp_path)
    await driver.open()
    promised: set[str] = set()
    for _ in range(_ROUNDS):
        moment = secrets.randbelow(250) / 1000
        promised |= {*await asyncio.to_thread(push_until_killed, tmp_path, moment)}
        found = {entry.path async for entry in driver.list("/blobs")}
        assert promised <= found
        for path in found:
            digest = hashlib.sha256(await driver.read(path)).hexdigest()
            assert path.endswith(f"/{digest}"), f"{path} is not whole"
        for upload in [upload async for upload, _ in driver.list_staged()]:
            await driver.discard(upload)
        await driver.close()
        age(tmp_path / DIRECTORY / "writes", days=2)
        driver = FilesystemDriver(tmp_path)
        await driver.open()
        assert not any(names for _, _, names in os.walk(tmp_path / DIRECTORY))
    assert len(promised) > _ROUNDS
    await driver.close()


def age(directory: Path, days: float) -> None:
    """Make files look as if nobody had touched them for some days."""
    for file in directory.iterdir():
        then = file.stat().st_mtime - days * 86_400
        os.utime(file, (then, then))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 16 MiB."""
    root_only("a small file system is to be mounted")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(
        [program("mount"), "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk],
        check=False,
        capture_output=True,
        text=True,
    )
    if mount.returncode:
        missing(f"this test needs the right to mount a tmpfs: {mount.stderr.strip()}")
    yield disk
    subprocess.run([program("umount"), disk], check=True)


@pytest.fixture
async def full(small_disk: Path) -> AsyncIterator[FilesystemDriver]:
    """A driver on a disk that 12 objects of 1 MiB leave room for no more than 4 more."""
    driver = FilesystemDriver(small_disk)
    await driver.open()
    for number in range(12):
        await driver.write(f"/object/{number}", bytes(MIB))
    yield driver
    await driver.close()


def bytes_on(disk: Path) -> int:
    """What all files of a disk take."""
    return sum(file.stat().st_size for file in disk.rglob("*") if file.is_file())


async def test_a_write_to_a_full_disk_leaves_nothing_and_works_when_there_is_room(
    full: FilesystemDriver, small_disk: Path
) -> None:
    with pytest.raises(StorageNoSpace, match="/large: No space left"):
        await full.write("/large", bytes(5 * MIB))
    assert bytes_on(small_disk) == 12 * MIB
    await full.delete("/object/0")
    await full.delete("/object/1")
    await full.write("/large", bytes(5 * MIB))
    assert (await full.stat("/large")).size == 5 * MIB


async def test_an_upload_that_fills_the_disk_keeps_what_was_staged_before(
    full: FilesystemDriver, small_disk: Path
) -> None:
    staged = await stage(full, "upload", b"kept " * 1000)
    body = pieces(*[bytes(256 << 10)] * 20)
    with pytest.raises(StorageNoSpace, match="upload: No space left"):
        await full.append(staged, body)
    assert bytes_on(small_disk) == 12 * MIB + staged.size
    with pytest.raises(StorageNoSpace):
        await full.append(Staged("another"), pieces(bytes(5 * MIB)))
    assert [upload async for upload, _ in full.list_staged()] == ["upload"]
    await full.delete("/object/0")
    await full.delete("/object/1")
    staged = await full.append(staged, pieces(*[bytes(256 << 10)] * 20))
    assert staged.size == 5000 + 5 * MIB


async def test_a_publish_that_fills_the_disk_can_be_repeated_when_there_is_room(
    full: FilesystemDriver, small_disk: Path
) -> None:
    bodies = (b"1" * MIB, b"2" * MIB, b"3" * MIB)
    staged = await stage(full, "upload", *bodies)
    with pytest.raises(StorageNoSpace, match="No space left"):
        await full.publish(staged, "/blob")
    assert bytes_on(small_disk) == 15 * MIB
    assert await content(full.staged_stream(staged)) == b"".join(bodies)
    await full.delete("/object/0")
    await full.publish(staged, "/blob")
    assert await full.read("/blob") == b"".join(bodies)
    assert bytes_on(small_disk) == 14 * MIB


async def test_a_full_disk_can_be_opened_read_and_emptied(
    full: FilesystemDriver, small_disk: Path
) -> None:
    with pytest.raises(StorageNoSpace):
        for number in range(100):
            await full.write(f"/filler/{number}", bytes(MIB // 8))
    with pytest.raises(StorageNoSpace):
        for number in range(100):
            await full.write(f"/filler/small/{number}", bytes(4096))
    again = FilesystemDriver(small_disk)
    await again.open()
    assert await again.read("/object/3") == bytes(MIB)
    await again.delete_tree("/object")
    await again.write("/object", bytes(MIB))
    await again.close()
