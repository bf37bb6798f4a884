"""The in-memory driver."""

import pytest

from longshore.storage.driver import StorageDriver
from longshore.storage.inmemory import InMemoryDriver
from longshore.testing.storage_contract import StorageDriverContract


class TestInMemoryDriver(StorageDriverContract):
    keeps_objects_in_memory = True

    @pytest.fixture
    async def driver(self) -> StorageDriver:
        return InMemoryDriver()
