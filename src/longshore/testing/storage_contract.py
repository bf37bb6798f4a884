"""What every storage driver promises, as tests. A driver's own test file is a few lines:

    class TestMyDriver(StorageDriverContract):
        @pytest.fixture
        async def driver(self) -> AsyncIterator[StorageDriver]:
            driver = MyDriver(...)
            await driver.open()
            yield driver
            await driver.close()

The medium need not be empty, but what lies below ``/contract`` and all that is staged is removed.
pytest is needed, and imported nowhere else in the package.
"""

from longshore.testing.storage_elsewhere import ElsewhereContract
from longshore.testing.storage_objects import ObjectContract
from longshore.testing.storage_staging import MemoryContract, StagingContract


class VolatileDriverContract(ObjectContract, StagingContract):
    """For a driver that keeps its objects in this process' memory."""


class StorageDriverContract(VolatileDriverContract, MemoryContract):
    """Subclass it, name the class Test..., and provide the ``driver`` fixture, opened."""


class SharedDriverContract(StorageDriverContract, ElsewhereContract):
    """The same for a medium that several processes share; provide ``elsewhere``, too."""
