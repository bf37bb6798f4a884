"""Uploads that nobody continues end, and their bytes are freed."""

import pytest

from longshore.registry.expiry import UploadExpiry

pytestmark = pytest.mark.anyio


def expiry(registry, age, **options):
    return UploadExpiry(registry.database, registry.driver, age, 1000, **options)


async def staged(registry):
    return [upload async for upload, _ in registry.driver.list_staged()]


async def test_an_idle_upload_is_removed_with_its_bytes(registry):
    location = await registry.begin("team/app")
    await registry.client.patch(location, content=b"x" * 1000)

    assert await expiry(registry, age=-1).once() == 1
    assert (await registry.client.get(location)).status_code == 404
    assert await staged(registry) == []


async def test_an_upload_in_use_stays(registry):
    location = await registry.begin("team/app")
    await registry.client.patch(location, content=b"x" * 1000)

    assert await expiry(registry, age=60).once() == 0
    assert (await registry.client.get(location)).status_code == 204


async def test_a_dry_run_removes_nothing(registry):
    location = await registry.begin("team/app")

    assert await expiry(registry, age=-1, dry_run=True).once() == 1
    assert (await registry.client.get(location)).status_code == 204


async def test_bytes_that_no_upload_knows_are_removed(registry):
    location = await registry.begin("team/app")
    await registry.client.patch(location, content=b"x" * 1000)
    await registry.database.write(
        lambda connection: connection.exec_driver_sql("DELETE FROM uploads") and None
    )

    assert len(await staged(registry)) == 1
    assert await expiry(registry, age=-1).once() == 1
    assert await staged(registry) == []
