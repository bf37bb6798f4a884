"""A backend that does not answer is a warning that ends by itself."""

import logging

import pytest

from longshore.storage.driver import StorageUnavailable
from longshore.storage.filesystem import FilesystemDriver
from longshore.storage.watching import BackendWatch
from longshore.telemetry.health import Health

pytestmark = pytest.mark.anyio


async def test_a_backend_that_is_away_is_warned_of_until_it_is_back(tmp_path, caplog):
    class Moody(FilesystemDriver):
        away = True

        async def stat(self, path):
            if Moody.away:
                raise StorageUnavailable("s3", path, "the bucket does not exist")
            return await super().stat(path)

    health = Health()
    health.started = True
    driver = Moody(tmp_path)
    await driver.open()
    watch = BackendWatch("cold", driver, health.warn)
    with caplog.at_level(logging.INFO):
        await watch.once()
        await watch.once()
        during = dict(health.warnings)
        Moody.away = False
        await watch.once()
    await driver.close()

    assert during == {"storage cold": "s3: /docker/registry/v2: the bucket does not exist"}
    assert health.warnings == {}
    assert await health.readiness() == {}
    assert caplog.text.count("backend cold does not answer") == 1
    assert "backend cold answers again" in caplog.text
