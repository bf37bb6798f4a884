"""The filesystem driver."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from longshore.storage.driver import StorageDriver
from longshore.storage.filesystem import FilesystemDriver
from longshore.testing.storage_contract import StorageDriverContract

pytestmark = pytest.mark.anyio


def files(root: Path) -> list[str]:
    """Every file below a directory."""
    return [f"{parent}/{name}" for parent, _, names in os.walk(root) for name in names]


class TestFilesystemDriver(StorageDriverContract):
    large = int(os.environ.get("LONGSHORE_TEST_LARGE_OBJECT", 64 << 20))

    @pytest.fixture
    async def driver(self, tmp_path: Path) -> AsyncIterator[StorageDriver]:
        driver = FilesystemDriver(tmp_path)
        await driver.open()
        yield driver
        await driver.close()

    @pytest.fixture
    async def other(self, tmp_path: Path) -> AsyncIterator[StorageDriver]:
        driver = FilesystemDriver(tmp_path)
        await driver.open()
        yield driver
        await driver.close()

    @pytest.fixture(autouse=True)
    def root(self, tmp_path: Path) -> None:
        self.root_directory = tmp_path

    async def leftovers(self, driver: StorageDriver) -> Iterable[str]:
        return await asyncio.to_thread(files, self.root_directory)
