"""The driver of all object stores, over a dictionary."""

from collections.abc import AsyncGenerator, AsyncIterable, Sequence

import pytest

from longshore.storage.driver import PathNotFound, Stat, StorageDriver
from longshore.storage.object_store import Source, StoredObject
from longshore.storage.objects import ObjectDriver
from longshore.telemetry import clock
from longshore.testing.storage_contract import VolatileDriverContract


class DictionaryStore:
    """Objects in a dictionary."""

    name = "dictionary"

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, float]] = {}

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def get(self, key: str) -> bytes:
        if key not in self.objects:
            raise PathNotFound(self.name, key, "no such key")
        return self.objects[key][0]

    async def stream(
        self, key: str, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        content = await self.get(key)
        end = len(content) if length is None else min(len(content), start + length)
        for position in range(start, end, 1 << 20):
            yield content[position : min(position + (1 << 20), end)]

    async def stat(self, key: str) -> Stat:
        return Stat(len(await self.get(key)), self.objects[key][1])

    async def put(self, key: str, content: bytes) -> None:
        self.objects[key] = bytes(content), clock.timestamp()

    async def upload(self, key: str, pieces: AsyncIterable[bytes]) -> int:
        content = b"".join([piece async for piece in pieces])
        if content:
            await self.put(key, content)
        return len(content)

    async def join(self, sources: Sequence[Source], destination: str) -> None:
        await self.put(destination, b"".join([await self.get(source.key) for source in sources]))

    async def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.objects.pop(key, None)

    async def list(self, prefix: str) -> AsyncGenerator[StoredObject, None]:
        for key in [key for key in self.objects if key.startswith(prefix)]:
            if key in self.objects:
                yield StoredObject(key, await self.stat(key))

    async def presigned_url(self, key: str, method: str, lifetime: float) -> str | None:
        return None

    async def remove_abandoned(self, prefix: str, before: float) -> int:
        return 0


class TestObjectDriver(VolatileDriverContract):
    @pytest.fixture(params=["", "some/root"])
    async def driver(self, request: pytest.FixtureRequest) -> StorageDriver:
        return ObjectDriver(DictionaryStore(), request.param)


@pytest.mark.anyio
async def test_keys_are_paths_below_the_root() -> None:
    store = DictionaryStore()
    await ObjectDriver(store, "/a/b/").write("/docker/registry/v2/x", b"x")
    await ObjectDriver(store, "").write("/docker/registry/v2/y", b"y")
    assert [*store.objects] == ["a/b/docker/registry/v2/x", "docker/registry/v2/y"]
