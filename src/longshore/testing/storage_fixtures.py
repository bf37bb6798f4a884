"""Fixtures and bodies for the tests of storage drivers."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable

import pytest

from longshore.storage.driver import Staged, StorageDriver

MIB = 1 << 20


async def pieces(*chunks: bytes) -> AsyncGenerator[bytes, None]:
    """A body that arrives in these chunks."""
    for chunk in chunks:
        yield chunk


async def content(stream: AsyncIterator[bytes]) -> bytes:
    """Everything that a stream gives."""
    return b"".join([piece async for piece in stream])


async def stage(driver: StorageDriver, upload: str, *bodies: bytes) -> Staged:
    """An upload to which the bodies were appended, one by one."""
    staged = Staged(upload)
    for body in bodies:
        staged = recorded(await driver.append(staged, pieces(body)))
    return staged


def recorded(staged: Staged) -> Staged:
    """As it comes back from the database."""
    return Staged(staged.upload, staged.size, json.loads(json.dumps(dict(staged.state))))


class StorageDriverFixtures:
    """What the tests of a driver start from. ``driver`` is to be overridden."""

    pytestmark = pytest.mark.anyio

    #: How large "large" is in bytes, and how much memory it may take.
    large = 192 * MIB
    memory = 24 * MIB
    #: Objects in one list: several pages of it in every service.
    many = 10_000

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    async def driver(self) -> StorageDriver:
        """The driver under test, opened."""
        raise NotImplementedError("the class that runs the contract provides the driver fixture")

    @pytest.fixture
    async def other(self, driver: StorageDriver) -> StorageDriver:
        """Another instance on the same medium, as on another node; overridden where one can be."""
        return driver

    async def leftovers(self, driver: StorageDriver) -> Iterable[str]:
        """Called when objects and uploads are removed: whatever the medium still holds."""
        return [upload async for upload, _ in driver.list_staged()]

    @pytest.fixture(autouse=True)
    async def nothing_is_left_behind(self, driver: StorageDriver) -> AsyncIterator[None]:
        """Every test fails that leaves something which nobody could remove."""
        yield
        for upload in [upload async for upload, _ in driver.list_staged()]:
            await driver.discard(upload)
        await driver.delete_tree("/contract")
        left = [*await self.leftovers(driver)]
        for _ in range(500):
            if not left:
                break
            await asyncio.sleep(0.01)  # a cancelled call may still be cleaning up
            left = [*await self.leftovers(driver)]
        assert not left
