"""Uploads that nobody continues end, and their bytes are freed."""

from functools import partial

import anyio
import pytest

from longshore.config.recurrence import Every
from longshore.jobs import store as jobs
from longshore.jobs.model import Status
from longshore.jobs.schedule import Schedule
from longshore.jobs.worker import Worker, WorkerOptions
from longshore.registry.expiry import UploadExpiry

pytestmark = pytest.mark.anyio


def expiry(registry, age, **options):
    return UploadExpiry(registry.database, registry.backends, age, **options)


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


async def test_it_is_a_job_that_comes_back(registry):
    location = await registry.begin("team/app")
    await registry.client.patch(location, content=b"x" * 1000)
    task = expiry(registry, age=-1)
    schedule = Schedule(task.kind, Every(0.5))
    worker = Worker(registry.database, [task], [schedule], WorkerOptions(poll=0.05))

    async with worker.running():
        done = await two_done(registry)

    assert (await registry.client.get(location)).status_code == 404
    assert await staged(registry) == []
    log = await registry.database.read(partial(jobs.read_log, job=done[-1].id))
    assert [line.line for line in log] == ["1 uploads were removed"]


async def two_done(registry):
    listed = partial(jobs.list_jobs, status=Status.DONE, kind="upload-purge", limit=10)
    with anyio.fail_after(60):
        while True:
            done = await registry.database.read(listed)
            if len(done) >= 2:
                return done
            await anyio.sleep(0.05)
