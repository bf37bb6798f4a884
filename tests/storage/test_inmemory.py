"""The in-memory driver."""

import pytest

from longshore.storage.driver import StorageDriver
from longshore.storage.inmemory import InMemoryDriver
from longshore.testing.storage_contract import VolatileDriverContract


class TestInMemoryDriver(VolatileDriverContract):
    @pytest.fixture
    async def driver(self) -> StorageDriver:
        return InMemoryDriver()
