"""A service that speaks Swift and means something else by a copy: Ceph's gateway."""

import uuid

import pytest
from pydantic import SecretStr

from longshore.storage.driver import AbandonedUploads, PathNotFound, StorageUnavailable
from longshore.storage.swift_settings import SwiftSettings
from longshore.telemetry import clock
from longshore.testing.storage_fixtures import MIB, content, stage
from tests.services.ceph import Ceph
from tests.storage.test_swift import opened

pytestmark = [pytest.mark.anyio, pytest.mark.service]


async def test_copies_that_would_share_segments_are_refused_and_nothing_is_lost(ceph: Ceph):
    ceph.create_swift_key("tests", "a-key")
    driver = await opened(
        SwiftSettings(
            authurl=f"{ceph.url}/auth/v1.0",
            username="tests:swift",
            password=SecretStr("a-key"),
            container="images",
            prefix=uuid.uuid4().hex,
            chunksize=MIB,
        )
    )
    assert isinstance(driver, AbandonedUploads)
    await driver.publish(await stage(driver, "small", b"content"), "/small")
    assert await driver.read("/small") == b"content"
    body = bytes(3 * MIB)
    staged = await stage(driver, "large", body)

    with pytest.raises(StorageUnavailable, match="does not copy as OpenStack Swift does"):
        await driver.publish(staged, "/large")

    with pytest.raises(PathNotFound):
        await driver.stat("/large")
    assert await content(driver.staged_stream(staged)) == body
    await driver.discard("large")
    assert await driver.remove_abandoned(clock.timestamp() + 3600) == 0
    await driver.close()
