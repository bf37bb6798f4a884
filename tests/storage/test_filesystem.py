"""The filesystem driver: the contract, and what is particular to files."""

import asyncio
import errno
import fcntl
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from longshore.storage.driver import (
    PATH_GRAMMAR,
    LocalFiles,
    PathInvalid,
    PathNotFound,
    Redirects,
    Staged,
    StorageDriver,
    StorageError,
    StorageNoSpace,
    StorageUnavailable,
)
from longshore.storage.filesystem import FilesystemDriver, storage_error
from longshore.storage.staging import DIRECTORY, STALE_AFTER
from longshore.telemetry import clock
from longshore.testing.storage_contract import SharedDriverContract
from longshore.testing.storage_fixtures import MIB, content, pieces, stage

pytestmark = pytest.mark.anyio


def files(root: Path) -> list[Path]:
    """Every file below a directory."""
    return [Path(parent, name) for parent, _, names in os.walk(root) for name in names]


def parts(root: Path, upload: str = "upload") -> list[Path]:
    """The staged parts of an upload, the first one first."""
    found = files(root / DIRECTORY / "uploads" / upload)
    return sorted(found, key=lambda part: int(part.name.split(".")[0]))


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[FilesystemDriver]:
    driver = FilesystemDriver(tmp_path / "root")
    await driver.open()
    yield driver
    await driver.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


class TestFilesystemDriver(SharedDriverContract):
    elsewhere_opener = "tests.storage.test_filesystem:opened"

    @pytest.fixture
    def elsewhere(self, root: Path) -> str:
        return str(root)

    @pytest.fixture
    async def driver(self, driver: FilesystemDriver) -> StorageDriver:
        return driver

    @pytest.fixture
    async def other(self, root: Path) -> AsyncIterator[StorageDriver]:
        driver = FilesystemDriver(root)
        await driver.open()
        yield driver
        await driver.close()

    async def leftovers(self, driver: StorageDriver) -> Iterable[str]:
        assert isinstance(driver, LocalFiles)
        root = driver.local_path("/contract").parent
        return [str(file) for file in await asyncio.to_thread(files, root)]


async def test_objects_are_files_of_the_same_name(driver: FilesystemDriver, root: Path) -> None:
    await driver.write("/docker/registry/v2/blobs/x", b"content")
    assert (root / "docker/registry/v2/blobs/x").read_bytes() == b"content"
    assert driver.local_path("/docker/registry/v2/blobs/x") == root / "docker/registry/v2/blobs/x"
    assert isinstance(driver, LocalFiles)
    assert not isinstance(driver, Redirects)


async def test_no_storage_path_leads_to_staging() -> None:
    assert not PATH_GRAMMAR.fullmatch(f"/{DIRECTORY}")


async def test_a_listing_leaves_out_what_has_no_storage_path(
    driver: FilesystemDriver, root: Path
) -> None:
    await driver.write("/a/object", b"")
    await stage(driver, "upload", b"staged")
    (root / "a/lost+found").mkdir()
    (root / "a/lost+found/file").touch()
    (root / "a/not an object").touch()
    os.mkfifo(root / "a/pipe")
    assert [entry.path async for entry in driver.list("/a")] == ["/a/object"]
    assert [entry.path async for entry in driver.list("")] == ["/a/object"]


# Errors


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOENT, PathNotFound),
        (errno.ENOTDIR, PathNotFound),
        (errno.EISDIR, PathNotFound),
        (errno.EEXIST, PathInvalid),
        (errno.ENAMETOOLONG, PathInvalid),
        (errno.ELOOP, PathInvalid),
        (errno.ENOSPC, StorageNoSpace),
        (errno.EDQUOT, StorageNoSpace),
        (errno.EIO, StorageUnavailable),
        (errno.EROFS, StorageUnavailable),
        (errno.EACCES, StorageUnavailable),
        (errno.ESTALE, StorageUnavailable),
        (errno.EMFILE, StorageUnavailable),
    ],
)
async def test_every_error_of_the_system_has_a_meaning(
    number: int, expected: type[StorageError]
) -> None:
    error = storage_error("/path", OSError(number, os.strerror(number)))
    assert type(error) is expected
    assert str(error) == f"filesystem: /path: {os.strerror(number)}"


async def test_a_name_that_is_too_long_is_invalid(driver: FilesystemDriver, root: Path) -> None:
    with pytest.raises(PathInvalid, match="too long"):
        await driver.write("/" + "x" * 300, b"content")
    assert files(root) == []


@pytest.mark.parametrize("path", ["/a/b", "/a/b/c/d"])
async def test_a_file_and_a_directory_cannot_have_one_name(
    driver: FilesystemDriver, root: Path, path: str
) -> None:
    await driver.write("/a/b/c", b"content")
    with pytest.raises(PathInvalid, match="same name"):
        await driver.write(path, b"content")
    staged = await stage(driver, "upload", b"content")
    with pytest.raises(PathInvalid, match="same name"):
        await driver.publish(staged, path)
    await driver.publish(staged, "/elsewhere")
    assert set(files(root)) == {root / "a/b/c", root / "elsewhere"}


async def test_a_root_that_cannot_be_used_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    driver = FilesystemDriver(tmp_path / "file")
    with pytest.raises(StorageUnavailable, match=r"cannot be used .*File exists.*rootdirectory"):
        await driver.open()
    await driver.close()


# Staging


async def test_what_lies_behind_the_recorded_size_is_cut_off(
    driver: FilesystemDriver, root: Path
) -> None:
    """A publish that was killed has copied later parts behind the first one."""
    for name, bodies in {"one": (b"first",), "more": (b"first", b"second", b"third")}.items():
        staged = await stage(driver, name, *bodies)
        for part in parts(root, name):
            with part.open("ab") as file:
                file.write(b"half of something")
        assert await content(driver.staged_stream(staged)) == b"".join(bodies)
        await driver.publish(staged, f"/{name}")
        assert await driver.read(f"/{name}") == b"".join(bodies)


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("left", [None, 2])
async def test_bytes_that_a_machine_lost_are_missed(
    driver: FilesystemDriver, root: Path, which: int, left: int | None
) -> None:
    staged = await stage(driver, "upload", b"first", b"second", b"third")
    lost = parts(root)[which]
    if left is None:
        lost.unlink()
    else:
        os.truncate(lost, left)
    with pytest.raises(PathNotFound, match="upload"):
        await content(driver.staged_stream(staged))
    with pytest.raises(PathNotFound):
        await driver.publish(staged, "/object")
    if which == 2:
        with pytest.raises(PathNotFound):
            await driver.append(staged, pieces(b"more"))
    with pytest.raises(PathNotFound):
        await driver.stat("/object")


@pytest.mark.parametrize(
    "state", [{}, {"part": "0.0123456789abcdef"}, {"part": "../../etc"}, {"part": 7}]
)
async def test_a_state_that_fits_nothing_is_not_found(
    driver: FilesystemDriver, state: dict[str, object]
) -> None:
    await stage(driver, "upload", b"content")
    staged = Staged("upload", 7, state)
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: driver.append(staged, pieces(b"more")),
        lambda: content(driver.staged_stream(staged)),
        lambda: driver.publish(staged, "/object"),
    ]
    for attempt in attempts:
        with pytest.raises(PathNotFound):
            await attempt()


@pytest.mark.parametrize("bodies", [(b"one",), (b"one", b"two", b"three")])
async def test_a_part_that_another_process_is_publishing_is_copied_instead(
    driver: FilesystemDriver, root: Path, bodies: tuple[bytes, ...]
) -> None:
    staged = await stage(driver, "upload", *bodies)
    first = parts(root)[0]
    with first.open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        await driver.publish(staged, "/object")
        assert held.read() == b"one"
    assert await driver.read("/object") == b"".join(bodies)
    assert files(root) == [root / "object"]


async def test_parts_are_copied_where_the_kernel_cannot_do_it(
    driver: FilesystemDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> int:
        raise OSError(errno.EXDEV, "not here")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    bodies = (b"a" * 3 * MIB, b"b" * (2 * MIB + 1), b"c")
    await driver.publish(await stage(driver, "upload", *bodies), "/object")
    assert await driver.read("/object") == b"".join(bodies)


async def test_opening_removes_only_old_files_that_nobody_finished(
    driver: FilesystemDriver, root: Path
) -> None:
    old, young = root / DIRECTORY / "writes/old", root / DIRECTORY / "writes/young"
    old.touch()
    young.touch()
    then = clock.timestamp() - STALE_AFTER - 60
    os.utime(old, (then, then))
    staged = await stage(driver, "upload", b"one")
    await driver.open()
    assert not old.exists()
    assert young.exists()
    assert await content(driver.staged_stream(staged)) == b"one"


# Symbolic links


async def test_nothing_is_deleted_through_a_link_that_leads_out_of_the_root(
    driver: FilesystemDriver, root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"precious")
    (root / "a").mkdir()
    (root / "a/link").symlink_to(outside)
    (root / "a/file").symlink_to(outside / "file")
    assert {entry.path async for entry in driver.list("/a")} == {"/a/link/file", "/a/file"}
    for attempt in (driver.delete("/a/link/file"), driver.delete_tree("/a/link/below")):
        with pytest.raises(PathInvalid, match="leads out of the root directory"):
            await attempt
    await driver.delete("/a/file")
    await driver.delete_tree("/a")
    assert not (root / "a").exists()
    assert (outside / "file").read_bytes() == b"precious"


async def test_deleting_a_tree_that_is_a_link_removes_the_link(
    driver: FilesystemDriver, root: Path
) -> None:
    await driver.write("/real/object", b"content")
    (root / "link").symlink_to(root / "real")
    await driver.delete_tree("/link")
    assert not (root / "link").is_symlink()
    assert await driver.read("/real/object") == b"content"


async def test_a_listing_does_not_run_in_circles(driver: FilesystemDriver, root: Path) -> None:
    await driver.write("/a/b/object", b"")
    (root / "a/b/up").symlink_to(root / "a")
    (root / "a/b/itself").symlink_to(root / "a/b")
    (root / "a/dangling").symlink_to(root / "nowhere")
    assert [entry.path async for entry in driver.list("/a")] == ["/a/b/object"]


async def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "real")
    driver = FilesystemDriver(tmp_path / "root")
    await driver.open()
    await driver.write("/a/object", b"")
    await driver.delete("/a/object")
    await driver.close()


# Durability


async def test_content_is_synced_before_its_name_and_directories_after(
    driver: FilesystemDriver, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    for name in ("fdatasync", "fsync"):
        monkeypatch.setattr(os, name, _noting(steps, getattr(os, name), root))
    rename = os.rename

    def note_rename(source: str, destination: str) -> None:
        steps.append(f"rename {os.path.relpath(destination, root)}")
        rename(source, destination)

    monkeypatch.setattr(os, "rename", note_rename)
    await driver.write("/a/b/c", b"content")
    assert [step for step in steps if DIRECTORY not in step] == [
        "rename a/b/c",
        "sync a/b",
        "sync a",
        "sync .",
    ]
    assert DIRECTORY in steps[0]
    steps.clear()
    staged = await stage(driver, "upload", b"one")
    assert [step.split("/")[0] for step in steps] == [f"sync {DIRECTORY}"]
    steps.clear()
    await driver.publish(staged, "/a/d/e")
    assert steps == ["rename a/d/e", "sync a/d", "sync a"], "the rest is known to be durable"


def _noting(steps: list[str], sync: Callable[[int], None], root: Path) -> Callable[[int], None]:
    def note(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        steps.append(f"sync {os.path.relpath(path, root)}")
        sync(descriptor)

    return note


# Threads


async def test_a_small_object_takes_one_hop_to_a_thread_per_call(
    driver: FilesystemDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hops = 0
    submit = ThreadPoolExecutor.submit

    def count(self, *args, **kwargs):
        nonlocal hops
        hops += 1
        return submit(self, *args, **kwargs)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", count)
    await driver.write("/a/object", b"content")
    await driver.read("/a/object")
    await driver.stat("/a/object")
    staged = await driver.append(Staged("upload"), pieces(b"small"))
    await driver.publish(staged, "/a/published")
    await driver.delete("/a/object")
    assert hops == 6


async def test_more_calls_than_threads_wait_for_their_turn(root: Path) -> None:
    driver = FilesystemDriver(root, maxthreads=1)
    await driver.open()
    uploads = await asyncio.gather(
        *(stage(driver, f"upload-{n}", bytes([n]) * MIB * 2) for n in range(60))
    )
    await asyncio.gather(*(driver.publish(each, f"/{each.upload}") for each in uploads))
    assert len([entry async for entry in driver.list("")]) == 60
    await driver.close()


async def test_what_is_left_or_cancelled_closes_its_files(root: Path) -> None:
    driver = FilesystemDriver(root)
    await driver.open()
    await driver.write("/object", bytes(4 * MIB))
    before = len(os.listdir("/proc/self/fd"))

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(MIB)
            await asyncio.sleep(0)

    for _ in range(10):
        stream = driver.stream("/object")
        await anext(stream)
        await stream.aclose()
        listing = driver.list("")
        await anext(listing)
        await listing.aclose()
        attempt = asyncio.create_task(driver.append(Staged("upload"), endless()))
        await asyncio.sleep(0.01)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
    await driver.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert files(root) == [root / "object"]


async def test_a_full_medium_can_still_be_opened(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwritev", full)
    driver = FilesystemDriver(root)
    with caplog.at_level(logging.WARNING):
        await driver.open()
    assert "is full" in caplog.text
    await driver.close()


async def opened(argument: str) -> StorageDriver:
    """The driver in a process of its own."""
    driver = FilesystemDriver(Path(argument))
    await driver.open()
    return driver
