"""Storage of another registry, and registries in process that take it over."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from longshore.adoption.upstream import OnDemand
from longshore.storage.filesystem import FilesystemDriver
from longshore.storage.guarded import guard
from tests.adoption.legacy import Legacy
from tests.services.in_process import Cluster


@pytest.fixture
async def legacy(tmp_path: Path) -> AsyncIterator[Legacy]:
    """A directory as another registry left it; in-process registries of the test serve it."""
    driver = guard(FilesystemDriver(tmp_path / "data"))
    await driver.open()
    yield Legacy(driver)
    await driver.close()


@pytest.fixture
def cluster(database_url: str, tmp_path: Path) -> Cluster:
    """Registries that ask an adoption for what they do not know."""
    return Cluster(database_url, tmp_path / "data", upstream=OnDemand)
