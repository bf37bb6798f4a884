"""What every storage driver promises about uploads: staging, resuming, publishing, discarding."""

import asyncio
import json
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from longshore.storage.driver import PathNotFound, Staged, StorageDriver
from longshore.testing.storage_fixtures import (
    MIB,
    StorageDriverFixtures,
    content,
    pieces,
    recorded,
    stage,
)


class StagingContract(StorageDriverFixtures):
    """Each test is a promise."""

    @pytest.mark.parametrize(
        "bodies",
        [(), (b"",), (b"x",), (b"one", b"two"), (b"one", b"", b"three"), (b"x" * MIB, b"y")],
        ids=["nothing", "empty", "one byte", "two", "an empty one between", "large and small"],
    )
    async def test_what_was_staged_is_published(
        self, driver: StorageDriver, bodies: tuple[bytes, ...]
    ) -> None:
        staged = await stage(driver, "upload", *bodies)
        assert staged.size == len(b"".join(bodies))
        assert await content(driver.staged_stream(staged)) == b"".join(bodies)
        await driver.publish(staged, "/contract/blob/data")
        assert await driver.read("/contract/blob/data") == b"".join(bodies)
        assert [upload async for upload in driver.list_staged()] == []

    async def test_a_body_may_come_in_chunks_of_any_size(self, driver: StorageDriver) -> None:
        chunks = [b"", b"a", b"b" * 3 * MIB, b"", *[b"c"] * 3000, b"d" * 70_000]
        staged = await driver.append(Staged("upload"), pieces(*chunks))
        await driver.publish(staged, "/contract/blob")
        assert await driver.read("/contract/blob") == b"".join(chunks)

    async def test_an_upload_may_have_very_many_parts(self, driver: StorageDriver) -> None:
        bodies = [b"%d;" % number for number in range(150)]
        staged = await stage(driver, "upload", *bodies)
        assert len(json.dumps(dict(staged.state))) < 50_000
        await driver.publish(staged, "/contract/blob")
        assert await driver.read("/contract/blob") == b"".join(bodies)

    async def test_staged_bytes_are_listed_as_uploads_only(self, driver: StorageDriver) -> None:
        await driver.write("/contract/object", b"")
        await stage(driver, "upload-1", b"one")
        await stage(driver, "upload-10", b"ten")
        assert [entry.path async for entry in driver.list("/contract")] == ["/contract/object"]
        found = {name: modified async for name, modified in driver.list_staged()}
        assert found.keys() == {"upload-1", "upload-10"}
        assert found["upload-1"] == pytest.approx(time.time(), abs=300)

    async def test_another_instance_continues_and_publishes(
        self, driver: StorageDriver, other: StorageDriver
    ) -> None:
        staged = await stage(driver, "upload", b"here ")
        staged = recorded(await other.append(staged, pieces(b"and there ")))
        staged = recorded(await driver.append(staged, pieces(b"and here")))
        await other.publish(staged, "/contract/blob")
        assert await driver.read("/contract/blob") == b"here and there and here"

    async def test_of_two_attempts_the_one_that_is_not_recorded_leaves_nothing(
        self, driver: StorageDriver, other: StorageDriver
    ) -> None:
        start = await stage(driver, "upload", b"start ")
        await driver.append(start, pieces(b"of an attempt that lost, and was longer"))
        winner = recorded(await other.append(start, pieces(b"of the winner")))
        await driver.append(start, pieces(b"of one that came late"))
        assert await content(driver.staged_stream(winner)) == b"start of the winner"
        assert await content(driver.staged_stream(start)) == b"start "
        await driver.publish(winner, "/contract/blob")
        assert await driver.read("/contract/blob") == b"start of the winner"
        assert [upload async for upload in driver.list_staged()] == []

    async def test_simultaneous_attempts_do_not_disturb_each_other(
        self, driver: StorageDriver, other: StorageDriver
    ) -> None:
        start = await stage(driver, "upload", b"start ")
        attempts = await asyncio.gather(
            *(
                (driver, other)[number % 2].append(
                    start, pieces(*[bytes([number]) * 50_000] * (number + 1))
                )
                for number in range(6)
            )
        )
        for number, staged in enumerate(attempts):
            expected = b"start " + bytes([number]) * 50_000 * (number + 1)
            assert await content(driver.staged_stream(recorded(staged))) == expected

    async def test_the_first_attempts_of_an_upload_may_be_simultaneous(
        self, driver: StorageDriver
    ) -> None:
        names = [b"%d" % number for number in range(8)]
        attempts = await asyncio.gather(
            *(driver.append(Staged("upload"), pieces(name)) for name in names)
        )
        await driver.publish(attempts[3], "/contract/blob")
        assert await driver.read("/contract/blob") == b"3"

    async def test_an_error_of_the_body_passes_unchanged_and_what_was_staged_stays(
        self, driver: StorageDriver
    ) -> None:
        staged = await stage(driver, "upload", b"kept ")

        async def broken() -> AsyncIterator[bytes]:
            yield b"lost"
            yield b"x" * 2 * MIB
            raise ConnectionResetError("the client is gone")

        with pytest.raises(ConnectionResetError, match="the client is gone"):
            await driver.append(staged, broken())
        staged = await driver.append(staged, pieces(b"and continued"))
        await driver.publish(staged, "/contract/blob")
        assert await driver.read("/contract/blob") == b"kept and continued"

    async def test_a_first_body_that_fails_leaves_nothing(self, driver: StorageDriver) -> None:
        async def broken() -> AsyncIterator[bytes]:
            yield b"x" * 2 * MIB
            raise ConnectionResetError("the client is gone")

        with pytest.raises(ConnectionResetError):
            await driver.append(Staged("upload"), broken())
        assert [upload async for upload in driver.list_staged()] == []

    async def test_a_cancelled_attempt_leaves_what_was_staged(self, driver: StorageDriver) -> None:
        staged = await stage(driver, "upload", b"kept ")
        waiting = asyncio.Event()

        async def stuck() -> AsyncIterator[bytes]:
            yield b"x" * 2 * MIB
            waiting.set()
            await asyncio.Event().wait()

        attempt = asyncio.create_task(driver.append(staged, stuck()))
        await waiting.wait()
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        staged = await driver.append(staged, pieces(b"and continued"))
        await driver.publish(staged, "/contract/blob")
        assert await driver.read("/contract/blob") == b"kept and continued"

    async def test_publishing_replaces_what_was_there(self, driver: StorageDriver) -> None:
        await driver.write("/contract/blob", b"a longer content")
        await driver.publish(await stage(driver, "upload", b"new"), "/contract/blob")
        assert await driver.read("/contract/blob") == b"new"

    @pytest.mark.parametrize("bodies", [(), (b"one",), (b"one", b"two")])
    async def test_a_publish_may_be_repeated(
        self, driver: StorageDriver, other: StorageDriver, bodies: tuple[bytes, ...]
    ) -> None:
        staged = await stage(driver, "upload", *bodies)
        for instance in (driver, other, driver):
            await instance.publish(staged, "/contract/blob")
            assert await driver.read("/contract/blob") == b"".join(bodies)

    @pytest.mark.parametrize("bodies", [(b"x" * MIB,), (b"x" * MIB, b"two", b"z" * MIB)])
    async def test_one_upload_may_be_published_by_several_at_once(
        self, driver: StorageDriver, other: StorageDriver, bodies: tuple[bytes, ...]
    ) -> None:
        staged = await stage(driver, "upload", *bodies)
        publishers = [driver, other] * 3
        await asyncio.gather(*(each.publish(staged, "/contract/blob") for each in publishers))
        assert await driver.read("/contract/blob") == b"".join(bodies)

    async def test_several_uploads_may_be_published_to_one_path_at_once(
        self, driver: StorageDriver
    ) -> None:
        uploads = [await stage(driver, f"upload-{n}", b"same ", b"content") for n in range(8)]
        await asyncio.gather(*(driver.publish(each, "/contract/a/blob") for each in uploads))
        assert await driver.read("/contract/a/blob") == b"same content"

    @pytest.mark.parametrize("action", ["append", "staged_stream", "publish"])
    async def test_after_a_discard_nothing_of_the_upload_can_be_used(
        self, driver: StorageDriver, action: str
    ) -> None:
        staged = await stage(driver, "upload", b"one", b"two")
        await driver.append(staged, pieces(b"of another attempt"))
        await driver.write("/contract/blob", b"another content")
        await driver.discard("upload")
        attempts: dict[str, Callable[[], Awaitable[object]]] = {
            "append": lambda: driver.append(staged, pieces(b"three")),
            "staged_stream": lambda: content(driver.staged_stream(staged)),
            "publish": lambda: driver.publish(staged, "/contract/blob"),
        }
        with pytest.raises(PathNotFound) as caught:
            await attempts[action]()
        assert caught.value.driver == driver.name
        assert await driver.read("/contract/blob") == b"another content"
        assert [upload async for upload in driver.list_staged()] == []

    async def test_discarding_what_is_not_there_is_no_error(self, driver: StorageDriver) -> None:
        await driver.discard("unknown")
        await stage(driver, "upload", b"one")
        await driver.discard("upload")
        await driver.discard("upload")


class MemoryContract(StorageDriverFixtures):
    """For every driver whose medium is not this process' memory."""

    async def test_a_large_object_takes_little_memory(self, driver: StorageDriver) -> None:
        chunk = bytes(256 << 10)

        async def body(size: int) -> AsyncIterator[bytes]:
            for _ in range(size // len(chunk)):
                yield chunk

        tracemalloc.start()
        try:
            staged = await driver.append(Staged("upload"), body(self.large))
            staged = await driver.append(staged, body(4 * MIB))
            hashed = sum([len(piece) async for piece in driver.staged_stream(staged)])
            await driver.publish(staged, "/contract/blob")
            read = sum([len(piece) async for piece in driver.stream("/contract/blob")])
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert hashed == read == self.large + 4 * MIB
        assert peak < self.memory, f"{peak >> 20} MiB"
