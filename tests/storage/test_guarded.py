"""The guard: what is checked, measured and limited in time for every driver."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from pathlib import Path

import pytest

from longshore.storage.driver import (
    LocalFiles,
    PathInvalid,
    PathNotFound,
    Redirects,
    Staged,
    StorageDriver,
    StorageUnavailable,
)
from longshore.storage.filesystem import FilesystemDriver
from longshore.storage.guarded import guard
from longshore.storage.inmemory import InMemoryDriver
from longshore.testing.storage_contract import VolatileDriverContract
from longshore.testing.storage_fixtures import content, pieces, stage

pytestmark = pytest.mark.anyio


class TestGuardedDriver(VolatileDriverContract):
    @pytest.fixture
    async def driver(self) -> StorageDriver:
        return guard(InMemoryDriver())


class Measured:
    """An observer that remembers, and a driver behind a guard that tells it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.seconds: list[float] = []
        self.driver = guard(InMemoryDriver(), self)

    def __call__(self, driver: str, action: str, seconds: float) -> None:
        self.calls.append((driver, action))
        self.seconds.append(seconds)


BAD_PATHS = [
    "",
    "/",
    "relative",
    "/a/",
    "//a",
    "/a//b",
    "/.",
    "/..",
    "/a/..",
    "/a/../b",
    "/a/./b",
    "/a b",
    "/a\n",
    "/a\0b",
    "/ä",
    "/longshore+staging/uploads",
    "/a\\b",
    "/%2e%2e/a",
]


@pytest.mark.parametrize("path", BAD_PATHS)
async def test_a_bad_path_never_reaches_the_driver(path: str) -> None:
    driver = guard(FilesystemDriver(Path("/nowhere")))
    staged = Staged("upload")
    for action in ("read", "stat", "delete", "delete_tree", "stream", "list", "local_path"):
        with pytest.raises(PathInvalid, match="not a storage path"):
            await getattr(driver, action)(path)
    with pytest.raises(PathInvalid):
        await driver.write(path, b"")
    with pytest.raises(PathInvalid):
        await driver.publish(staged, path)


@pytest.mark.parametrize("upload", ["", ".", "..", "a/b", "../../etc", "a b", "\0"])
async def test_a_bad_upload_never_reaches_the_driver(upload: str) -> None:
    driver = guard(FilesystemDriver(Path("/nowhere")))
    staged = Staged(upload)
    with pytest.raises(PathInvalid):
        await driver.discard(upload)
    with pytest.raises(PathInvalid):
        await driver.append(staged, pieces(b"x"))
    with pytest.raises(PathInvalid):
        await driver.publish(staged, "/object")
    with pytest.raises(PathInvalid):
        driver.staged_stream(staged)


async def test_every_call_is_measured_under_its_name_in_distribution() -> None:
    measured = Measured()
    driver = measured.driver
    await driver.write("/a/b", b"content")
    await driver.read("/a/b")
    await content(driver.stream("/a/b"))
    await driver.stat("/a/b")
    await driver.publish(await stage(driver, "upload", b"x"), "/a/c")
    assert [entry async for entry in driver.list("/a")]
    await driver.delete("/a/b")
    with pytest.raises(PathNotFound):
        await driver.read("/a/b")
    assert measured.calls == [
        ("inmemory", action)
        for action in (
            "PutContent",
            "GetContent",
            "Reader",
            "Stat",
            "Writer",
            "Move",
            "List",
            "Delete",
            "GetContent",
        )
    ]


async def test_a_stream_that_is_left_early_is_measured_too() -> None:
    measured = Measured()
    await measured.driver.write("/a", b"content")
    stream = measured.driver.stream("/a")
    await anext(stream)
    await stream.aclose()
    assert measured.calls[-1] == ("inmemory", "Reader")


async def test_the_time_of_the_other_side_does_not_count() -> None:
    measured = Measured()
    driver = guard(measured.driver.driver, measured, limit=0.05)

    async def slow_body() -> AsyncIterator[bytes]:
        for _ in range(3):
            await asyncio.sleep(0.1)
            yield b"x"

    staged = await driver.append(Staged("upload"), slow_body())
    await driver.publish(staged, "/object")
    await driver.write("/another", bytes(3 << 20))
    async for _ in driver.stream("/another"):
        await asyncio.sleep(0.1)
    assert staged.size == 3
    assert max(measured.seconds) < 0.1


class SilentDriver(InMemoryDriver):
    """A medium that does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.released = 0

    async def read(self, path: str) -> bytes:
        await asyncio.Event().wait()
        return b""

    async def stream(
        self, path: str, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            self.released += 1

    async def append(self, staged: Staged, chunks: AsyncIterable[bytes]) -> Staged:
        async for _ in chunks:
            await asyncio.Event().wait()
        return staged


async def test_a_medium_that_does_not_answer_is_unavailable() -> None:
    silent = SilentDriver()
    driver = guard(silent, limit=0.05)
    with pytest.raises(StorageUnavailable, match=r"inmemory: /a: no answer to GetContent within"):
        await driver.read("/a")
    stream = driver.stream("/a")
    assert await anext(stream) == b"first"
    with pytest.raises(StorageUnavailable, match="no answer to Reader"):
        await anext(stream)
    assert silent.released == 1
    with pytest.raises(StorageUnavailable, match="upload: no answer to Writer"):
        await driver.append(Staged("upload"), pieces(b"one", b"two"))


async def test_a_time_limit_of_the_body_passes_unchanged() -> None:
    async def late() -> AsyncIterator[bytes]:
        yield b"x"
        raise TimeoutError("the client was too slow")

    with pytest.raises(TimeoutError, match="the client was too slow"):
        await guard(InMemoryDriver()).append(Staged("upload"), late())


async def test_a_cancelled_call_stays_cancelled() -> None:
    call = asyncio.create_task(guard(SilentDriver()).read("/a"))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


class SigningDriver(InMemoryDriver):
    """A driver with the other optional ability."""

    async def presigned_url(self, path: str, method: str, lifetime: float) -> str | None:
        return f"https://store.example{path}?{method}"


async def test_optional_abilities_show_through() -> None:
    plain, signing = guard(InMemoryDriver()), guard(SigningDriver())
    local = guard(FilesystemDriver(Path("/nowhere")))
    assert not isinstance(plain, LocalFiles | Redirects)
    assert isinstance(local, LocalFiles)
    assert not isinstance(local, Redirects)
    assert local.local_path("/a") == Path("/nowhere/a")
    assert isinstance(signing, Redirects)
    assert not isinstance(signing, LocalFiles)
    assert await signing.presigned_url("/a", "GET", 60) == "https://store.example/a?GET"
