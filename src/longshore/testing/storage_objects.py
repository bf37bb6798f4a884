"""What every storage driver promises about objects: reading, writing, listing, deleting."""

import asyncio
import time
from contextlib import aclosing

import pytest

from longshore.storage.driver import (
    BatchDeletes,
    Directories,
    PathNotFound,
    StorageDriver,
    StorageError,
)
from longshore.testing.storage_fixtures import MIB, StorageDriverFixtures, content


class ObjectContract(StorageDriverFixtures):
    """Each test is a promise."""

    @pytest.mark.parametrize("size", [0, 1, 65_537, 3 * MIB + 1])
    async def test_what_was_written_is_read(self, driver: StorageDriver, size: int) -> None:
        expected = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        await driver.write("/contract/object", expected)
        assert await driver.read("/contract/object") == expected
        assert await content(driver.stream("/contract/object")) == expected
        assert (await driver.stat("/contract/object")).size == size

    async def test_a_write_replaces_all_that_was_there(self, driver: StorageDriver) -> None:
        await driver.write("/contract/object", b"a long content")
        await driver.write("/contract/object", b"short")
        assert await driver.read("/contract/object") == b"short"
        assert (await driver.stat("/contract/object")).size == 5

    async def test_a_path_may_use_every_character_of_the_grammar(
        self, driver: StorageDriver
    ) -> None:
        path = "/contract/_a.B-9:z/..dots/-/" + "x" * 200
        await driver.write(path, b"content")
        assert await driver.read(path) == b"content"
        assert [entry.path async for entry in driver.list("/contract")] == [path]

    @pytest.mark.parametrize("path", ["/contract/absent", "/contract/absent/deeper"])
    @pytest.mark.parametrize("action", ["read", "stream", "stat", "delete"])
    async def test_a_missing_path_is_not_found_and_the_error_names_driver_and_path(
        self, driver: StorageDriver, action: str, path: str
    ) -> None:
        with pytest.raises(PathNotFound) as caught:
            await self.call(driver, action, path)
        assert (caught.value.driver, caught.value.path) == (driver.name, path)
        assert driver.name in str(caught.value)
        assert path in str(caught.value)

    @pytest.mark.parametrize("action", ["read", "stream", "stat", "delete"])
    async def test_the_path_above_an_object_is_no_object(
        self, driver: StorageDriver, action: str
    ) -> None:
        await driver.write("/contract/above/object", b"content")
        with pytest.raises(PathNotFound):
            await self.call(driver, action, "/contract/above")
        assert await driver.read("/contract/above/object") == b"content"

    async def call(self, driver: StorageDriver, action: str, path: str) -> None:
        if action == "stream":
            await content(driver.stream(path))
        else:
            await getattr(driver, action)(path)

    async def test_stat_tells_when_an_object_was_written(self, driver: StorageDriver) -> None:
        await driver.write("/contract/object", b"content")
        # Media have clocks of their own.
        assert (await driver.stat("/contract/object")).modified == pytest.approx(
            time.time(), abs=300
        )

    @pytest.mark.parametrize(
        ("start", "length"),
        [(0, None), (0, 0), (0, 1), (1, 3), (9, 1), (9, None), (5, 100), (10, None), (11, 5)],
    )
    async def test_a_range_gives_the_bytes_that_exist_in_it(
        self, driver: StorageDriver, start: int, length: int | None
    ) -> None:
        await driver.write("/contract/object", b"0123456789")
        end = None if length is None else start + length
        got = await content(driver.stream("/contract/object", start, length))
        assert got == b"0123456789"[start:end]

    async def test_a_range_may_begin_in_any_piece(self, driver: StorageDriver) -> None:
        whole = b"".join(number.to_bytes(4, "big") for number in range(MIB))
        await driver.write("/contract/object", whole)
        got = await content(driver.stream("/contract/object", MIB - 2, 2 * MIB + 5))
        assert got == whole[MIB - 2 : 3 * MIB + 3]

    async def test_a_stream_may_be_left_before_its_end(self, driver: StorageDriver) -> None:
        await driver.write("/contract/object", bytes(4 * MIB))
        async with aclosing(driver.stream("/contract/object")) as stream:
            assert await anext(stream)
        assert (await driver.stat("/contract/object")).size == 4 * MIB

    async def test_a_stream_gives_one_content_though_the_object_is_replaced(
        self, driver: StorageDriver
    ) -> None:
        await driver.write("/contract/object", b"a" * 4 * MIB)
        async with aclosing(driver.stream("/contract/object")) as stream:
            first = await anext(stream)
            await driver.write("/contract/object", b"b" * 4 * MIB)
            try:
                got = first + await content(stream)
            except StorageError:
                return
        assert got == b"a" * 4 * MIB

    async def test_of_concurrent_writers_one_wins_whole(self, driver: StorageDriver) -> None:
        contents = [bytes([number]) * 100_000 for number in range(8)]
        await asyncio.gather(*(driver.write("/contract/object", one) for one in contents))
        assert await driver.read("/contract/object") in contents

    async def test_another_instance_sees_what_was_written(
        self, driver: StorageDriver, other: StorageDriver
    ) -> None:
        await driver.write("/contract/object", b"content")
        assert await other.read("/contract/object") == b"content"

    async def test_a_listing_has_every_object_below_the_prefix_with_its_size(
        self, driver: StorageDriver
    ) -> None:
        expected = {f"/contract/{n % 3}/{n % 7}/{n}/data": n for n in range(300)}
        expected["/contract/shallow"] = 3
        for batch in range(0, 301, 50):
            some = [*expected.items()][batch : batch + 50]
            await asyncio.gather(*(driver.write(path, bytes(size)) for path, size in some))
        found = [(entry.path, entry.stat.size) async for entry in driver.list("/contract")]
        assert sorted(found) == sorted(expected.items())

    async def test_many_objects_are_removed_in_one_call_whether_they_are_there_or_not(
        self, driver: StorageDriver
    ) -> None:
        if not isinstance(driver, BatchDeletes):
            return  # an ability that a driver may lack
        paths = [f"/contract/batch/{number}" for number in range(7)]
        for path in paths[:-1]:
            await driver.write(path, b"x")
        await driver.write("/contract/kept", b"x")

        await driver.delete_all(paths)

        assert [entry.path async for entry in driver.list("/contract")] == ["/contract/kept"]

    @pytest.mark.timeout(600)
    async def test_very_many_objects_are_listed_and_removed(self, driver: StorageDriver) -> None:
        await self._list_and_remove(driver, self.many)

    @pytest.mark.large
    @pytest.mark.timeout(900)
    async def test_ten_thousand_objects_are_listed_and_removed(self, driver: StorageDriver) -> None:
        await self._list_and_remove(driver, 10_000)

    async def _list_and_remove(self, driver: StorageDriver, count: int) -> None:
        names = iter(range(count))

        async def write() -> None:
            for number in names:
                await driver.write(f"/contract/many/{number % 7}/{number:05}", b"x")

        await asyncio.gather(*(write() for _ in range(32)))
        found = [entry.path async for entry in driver.list("/contract/many")]
        assert len(found) == count
        assert set(found) == {f"/contract/many/{n % 7}/{n:05}" for n in range(count)}
        assert len([entry async for entry in driver.list("/contract/many/3")]) == len(
            range(3, count, 7)
        )
        await driver.delete_tree("/contract/many")
        assert [entry async for entry in driver.list("/contract")] == []

    async def test_a_prefix_is_made_of_whole_segments(self, driver: StorageDriver) -> None:
        for path in ("/contract/a/b", "/contract/a/b.c", "/contract/a/bc", "/contract/ab/b"):
            await driver.write(path, b"")
        assert {entry.path async for entry in driver.list("/contract/a")} == {
            "/contract/a/b",
            "/contract/a/b.c",
            "/contract/a/bc",
        }

    @pytest.mark.parametrize("prefix", ["/contract/object", "/contract/none", "/contract/o"])
    async def test_below_an_object_or_nothing_is_nothing(
        self, driver: StorageDriver, prefix: str
    ) -> None:
        await driver.write("/contract/object", b"content")
        assert [entry async for entry in driver.list(prefix)] == []
        await driver.delete_tree(prefix)
        assert await driver.read("/contract/object") == b"content"

    async def test_directories_are_the_segments_below_a_prefix_that_lead_on(
        self, driver: StorageDriver
    ) -> None:
        if not isinstance(driver, Directories):
            return
        for path in ("a/one", "a/two/three", "b.c/_d/four", "object", "ab/five"):
            await driver.write(f"/contract/{path}", b"")
        assert sorted([name async for name in driver.directories("/contract")]) == [
            "a",
            "ab",
            "b.c",
        ]
        assert [name async for name in driver.directories("/contract/a")] == ["two"]
        assert [name async for name in driver.directories("/contract/object")] == []
        assert [name async for name in driver.directories("/contract/none")] == []

    async def test_a_listing_may_be_left_before_its_end(self, driver: StorageDriver) -> None:
        for number in range(5):
            await driver.write(f"/contract/{number}/object", b"")
        async with aclosing(driver.list("/contract")) as listing:
            assert (await anext(listing)).stat.size == 0

    async def test_what_a_listing_gives_may_be_deleted_meanwhile(
        self, driver: StorageDriver
    ) -> None:
        for number in range(20):
            await driver.write(f"/contract/{number}/object", b"")
        async for entry in driver.list("/contract"):
            await driver.delete(entry.path)
        assert [entry async for entry in driver.list("/contract")] == []

    async def test_a_deleted_object_is_gone_and_its_neighbours_stay(
        self, driver: StorageDriver
    ) -> None:
        await driver.write("/contract/a/one", b"1")
        await driver.write("/contract/a/two", b"2")
        await driver.delete("/contract/a/one")
        with pytest.raises(PathNotFound):
            await driver.read("/contract/a/one")
        assert await driver.read("/contract/a/two") == b"2"

    async def test_a_path_can_be_written_again_after_it_was_deleted(
        self, driver: StorageDriver
    ) -> None:
        for _ in range(2):
            await driver.write("/contract/a/b/object", b"content")
            await driver.delete("/contract/a/b/object")

    async def test_deleting_does_not_disturb_who_writes_beside_it(
        self, driver: StorageDriver
    ) -> None:
        async def come_and_go(name: str) -> None:
            for _ in range(15):
                await driver.write(f"/contract/shared/{name}", b"content")
                await driver.delete(f"/contract/shared/{name}")

        await asyncio.gather(*(come_and_go(name) for name in "abcdef"))

    async def test_a_tree_is_deleted_by_whole_segments(self, driver: StorageDriver) -> None:
        kept = {"/contract/ab", "/contract/a.b/object"}
        for path in {"/contract/a/one", "/contract/a/b/c/two", *kept}:
            await driver.write(path, b"")
        await driver.delete_tree("/contract/a")
        assert {entry.path async for entry in driver.list("/contract")} == kept
        await driver.delete_tree("/contract/a")
