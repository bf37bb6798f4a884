"""Garbage collection and purging of the audit log over the API: now, by schedule, and what runs say."""

import json

import anyio
import pytest
from sqlalchemy import update

from longshore.db.clock import database_time
from longshore.jobs import store
from longshore.jobs.schedule import KEY
from longshore.jobs.tables import jobs
from tests.services.management import management_of

pytestmark = pytest.mark.anyio

GC = "/system/gc"
PURGE = "/system/purgeaudit"
PARAMETERS = {"audit_retention_hour": 24, "include_event_types": "", "dry_run": True}


async def begin(management, path, parameters):
    body = {"schedule": {"type": "Manual"}, "parameters": parameters}
    reply = await management.ask("admin", "POST", f"{path}/schedule", json=body)
    assert reply.status_code == 201, reply.text
    return reply.headers["Location"]


async def ended(management, location):
    with anyio.fail_after(30):
        while True:
            run = (await management.ask("admin", "GET", location)).json()
            if run["job_status"] not in ("Pending", "Running"):
                return run
            await anyio.sleep(0.05)


@pytest.mark.parametrize(
    ("path", "parameters", "name", "said"),
    [
        (GC, {"dry_run": True, "workers": 2}, "GARBAGE_COLLECTION", "in use: 3 blobs"),
        (GC, {"delete_untagged": True}, "GARBAGE_COLLECTION", "removed"),
        (PURGE, PARAMETERS, "PURGE_AUDIT_LOG", "0 rows would be removed"),
        (
            PURGE,
            {**PARAMETERS, "dry_run": False},
            "PURGE_AUDIT_LOG",
            "0 rows were removed",
        ),
    ],
)
async def test_it_is_done_now_and_says_what_it_did(management, path, parameters, name, said):
    assert (await management.push("admin", "library/app")).status_code == 201
    location = await begin(management, path, parameters)

    run = await ended(management, location)
    assert (run["job_name"], run["job_kind"]) == (name, "MANUAL")
    assert run["job_status"] == "Success"
    log = await management.ask("admin", "GET", f"{location}/log")
    assert said in log.text
    (listed,) = (await management.ask("admin", "GET", path)).json()
    assert listed == run
    assert (await management.ask("admin", "PUT", location)).status_code == 400


@pytest.mark.parametrize(("path", "kind"), [(GC, "gc"), (PURGE, "audit-purge")])
async def test_a_schedule_is_set_changed_and_ended(management, path, kind):
    async def schedule(method, type, cron=""):
        body = {"schedule": {"type": type, "cron": cron}, "parameters": PARAMETERS}
        return await management.ask("admin", method, f"{path}/schedule", json=body)

    async def waiting():
        return await management.database.read(
            lambda connection: store.live_job(connection, kind, KEY)
        )

    nothing = await management.ask("admin", "GET", f"{path}/schedule")
    assert (nothing.status_code, nothing.json()) == (200, {})
    assert (await schedule("POST", "Daily")).status_code == 201
    shown = (await management.ask("admin", "GET", f"{path}/schedule")).json()["schedule"]
    assert (shown["type"], shown["cron"]) == ("Daily", "0 0 0 * * *")
    job = await waiting()
    now = await management.database.read(database_time)
    assert job.run_at % 86400 == 0
    assert 0 < job.run_at - now <= 86400
    assert (await schedule("POST", "Hourly")).status_code == 409
    assert (await schedule("PUT", "Custom", "0 30 3 * * 1")).status_code == 200
    assert (await waiting()).run_at % 86400 == 3.5 * 3600
    shown = (await management.ask("admin", "GET", f"{path}/schedule")).json()["schedule"]
    assert (shown["type"], shown["cron"]) == ("Custom", "0 30 3 * * 1")
    # What waits for its time has not been done.
    assert (await management.ask("admin", "GET", path)).json() == []
    assert (await schedule("PUT", "None")).status_code == 200
    assert await waiting() is None
    for cron in ("", "* * * * *", "5 0 0 * * *", "0 61 0 * * *"):
        assert (await schedule("PUT", "Custom", cron)).status_code == 400, cron
    for type in ("", "Schedule"):
        assert (await schedule("PUT", type)).status_code == 400


async def test_of_several_who_set_a_schedule_at_once_one_does(management):
    body = {"schedule": {"type": "Daily"}, "parameters": PARAMETERS}
    statuses = []

    async def schedule():
        reply = await management.ask("admin", "POST", f"{GC}/schedule", json=body)
        statuses.append(reply.status_code)

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(schedule)
    assert sorted(statuses) == [201] + [409] * 7


async def test_a_schedule_of_the_configuration_is_shown_and_may_be_ended(database_url, tmp_path):
    async with management_of(database_url, tmp_path, longshore={"gc": {"schedule": "24h"}}) as one:
        shown = (await one.ask("admin", "GET", f"{GC}/schedule")).json()["schedule"]
        assert (shown["type"], shown["cron"]) == ("Custom", "24h")
        body = {"schedule": {"type": "None"}}
        assert (await one.ask("admin", "PUT", f"{GC}/schedule", json=body)).status_code == 200
        assert (await one.ask("admin", "GET", f"{GC}/schedule")).json() == {}
        with anyio.fail_after(30):
            while True:
                waiting = await one.database.read(
                    lambda connection: store.live_job(connection, "gc", KEY)
                )
                if waiting is None:
                    break
                await anyio.sleep(0.05)


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        (GC, {"workers": 0}),
        (GC, {"workers": "many"}),
        (GC, {"dry_run": "yes"}),
        (PURGE, {}),
        (PURGE, {"audit_retention_hour": 0}),
        (PURGE, {"audit_retention_hour": True}),
        (PURGE, {"audit_retention_hour": 1, "include_event_types": "create_nonsense"}),
    ],
)
async def test_nonsense_is_refused(management, path, parameters):
    body = {"schedule": {"type": "Manual"}, "parameters": parameters}
    refused = await management.ask("admin", "POST", f"{path}/schedule", json=body)
    assert refused.status_code == 400, refused.text


async def test_a_run_of_one_kind_is_none_of_the_other(management):
    location = await begin(management, GC, {"dry_run": True})
    number = location.rpartition("/")[2]
    assert (await management.ask("admin", "GET", f"{PURGE}/{number}")).status_code == 404
    assert (await management.ask("admin", "GET", f"{PURGE}/{number}/log")).status_code == 404
    assert (await management.ask("admin", "PUT", f"{PURGE}/{number}")).status_code == 404


@pytest.mark.parametrize(
    ("path", "one", "other"),
    [
        (GC, {"dry_run": True}, {"dry_run": False, "delete_untagged": True}),
        (PURGE, PARAMETERS, {**PARAMETERS, "audit_retention_hour": 48, "include_event_types": "*"}),
    ],
)
async def test_a_run_with_other_parameters_is_not_taken_for_the_one_that_waits(
    database_url, tmp_path, path, one, other
):
    async with management_of(
        database_url, tmp_path, longshore={"jobs": {"enabled": False}}
    ) as node:
        first = await begin(node, path, one)
        assert await begin(node, path, one) == first
        body = {"schedule": {"type": "Manual"}, "parameters": other}
        for method in ("POST", "PUT"):
            refused = await node.ask("admin", method, f"{path}/schedule", json=body)
            assert refused.status_code == 409, refused.text
            assert f"run {first.rpartition('/')[2]}, " in refused.text
            assert "waits for its turn" in refused.text
        # With the first out of the way there is room for it.
        assert (await node.ask("admin", "PUT", first)).status_code == 200
        second = await begin(node, path, other)
        assert second != first
        (shown, _) = (await node.ask("admin", "GET", path)).json()
        assert json.loads(shown["job_parameters"]).items() >= other.items()


async def test_a_run_that_waits_to_be_tried_again_is_listed(management):
    def failed_once(connection):
        now = database_time(connection)
        job = store.insert_job(connection, "gc", {}, key=KEY, now=now, run_at=now)
        connection.execute(
            update(jobs)
            .where(jobs.c.id == job)
            .values(attempt=1, started_at=now, run_at=now + 3600)
        )
        return job

    job = await management.database.write(failed_once)

    listed = (await management.ask("admin", "GET", GC)).json()
    assert [(run["id"], run["job_status"]) for run in listed] == [(job, "Pending")]
