"""Drivers are found by name and made from their settings."""

from pathlib import Path

import pytest

from longshore.storage.driver import LocalFiles, PathInvalid
from longshore.storage.drivers import FACTORIES, DriverUnknown, create, factory
from longshore.storage.settings import (
    DRIVERS,
    FilesystemSettings,
    InMemorySettings,
    StorageSettings,
)

pytestmark = pytest.mark.anyio


def test_every_driver_that_can_be_configured_can_be_made() -> None:
    assert set(FACTORIES) == set(DRIVERS)
    for name in FACTORIES:
        assert callable(factory(name))


async def test_the_configured_driver_is_made_behind_its_guard(tmp_path: Path) -> None:
    calls: list[str] = []
    settings = StorageSettings(filesystem=FilesystemSettings(rootdirectory=tmp_path))
    driver = create(settings, lambda name, action, seconds: calls.append(f"{name} {action}"))
    await driver.open()
    await driver.write("/a/object", b"content")
    assert (tmp_path / "a/object").read_bytes() == b"content"
    assert isinstance(driver, LocalFiles)
    with pytest.raises(PathInvalid):
        await driver.read("/../etc/passwd")
    await driver.close()
    assert calls == ["filesystem Open", "filesystem PutContent", "filesystem Close"]


def test_the_memory_of_a_process_can_be_configured() -> None:
    assert create(StorageSettings(inmemory=InMemorySettings())).name == "inmemory"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("filesytem", "did you mean 'filesystem'"), ("tape", "use one of filesystem, inmemory")],
)
def test_an_unknown_driver_is_refused_with_a_suggestion(name: str, hint: str) -> None:
    with pytest.raises(DriverUnknown, match=hint):
        factory(name)
