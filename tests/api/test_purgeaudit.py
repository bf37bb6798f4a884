"""What a purge over Harbor's routes removes, and what it leaves."""

import json
from functools import partial

import anyio
import pytest
from sqlalchemy import text

from longshore.audit import store
from longshore.audit.verification import verify
from tests.audit.test_audit_command import BLOCKS
from tests.audit.test_chain import KEYS, add, entry
from tests.services.management import ADMIN, management_of

pytestmark = pytest.mark.anyio

PATH = "/system/purgeaudit"
NOW = {"schedule": {"type": "Manual"}}


@pytest.fixture
async def management(database_url, tmp_path):
    """A log of twelve old rows (create_tag), a login and two more, that nothing else is added to."""
    options = {"audit": {"enabled": False, "sealkey": "outside"}, "jobs": {"poll": "50ms"}}
    async with management_of(database_url, tmp_path, longshore=options) as found:
        await found.change(partial(add, first=1, count=12))
        login = entry(13, operation="login", resource_type="user")
        await found.change(partial(store.append, sealing=KEYS, entries=[login]))
        await found.change(partial(add, first=14, count=2))
        yield found


def of(kinds: str = "*", **more: object) -> dict[str, object]:
    return {"parameters": {"audit_retention_hour": 24, "include_event_types": kinds, **more}}


async def ended(management, path: str) -> dict[str, object]:
    """The removal, when it has ended."""
    with anyio.fail_after(20):
        while True:
            found = (await management.ask(ADMIN, "GET", path)).json()
            if found["job_status"] not in ("Pending", "Running"):
                return dict(found)
            await anyio.sleep(0.05)


async def purge(management, **body: object) -> tuple[dict[str, object], list[str]]:
    """What came of a removal, and what it said."""
    reply = await management.ask(ADMIN, "POST", f"{PATH}/schedule", json={**NOW, **body})
    assert reply.status_code == 201, reply.text
    where = reply.headers["Location"]
    found = await ended(management, where)
    log = await management.ask(ADMIN, "GET", f"{where}/log")
    assert log.headers["content-type"].startswith("text/plain")
    return found, [line.partition("Z ")[2] for line in log.text.splitlines()]


async def left(management) -> list[int]:
    """The ids of the rows that are there; they verify."""

    def look(connection):
        assert verify(connection, KEYS).problems == ()
        return [row.id for row in store.following(connection, 0, 100)]

    return list(await management.database.read(look))


async def test_a_dry_run_counts_and_a_purge_removes(management):
    found, said = await purge(management, **of(dry_run=True))
    assert said == ["15 rows would be removed"]
    assert len(await left(management)) == 15
    found, said = await purge(management, **of())
    assert said == ["15 rows were removed"]
    assert await left(management) == []

    parameters = json.loads(str(found.pop("job_parameters")))
    assert parameters == {
        "audit_retention_hour": 24,
        "include_event_types": "*",
        "dry_run": False,
    }
    assert found["job_name"] == "PURGE_AUDIT_LOG"
    assert (found["job_kind"], found["job_status"]) == ("MANUAL", "Success")
    assert found["schedule"] == {"type": "Manual"}
    history = await management.ask(ADMIN, "GET", PATH, params={"page_size": "1"})
    assert history.headers["x-total-count"] == "2"
    assert [one["id"] for one in history.json()] == [found["id"]]


async def test_a_purge_of_some_kinds_removes_nothing_else(management):
    kept = (
        "row 13 (login_user) is older and stays, and all behind it: a purge of create_tag leaves it"
    )
    _, said = await purge(management, **of("create_tag", dry_run=True))
    assert said == ["12 rows would be removed", kept]
    _, said = await purge(management, **of(" create_tag, "))
    assert said == ["12 rows were removed", kept]
    assert await left(management) == [13, 14, 15]
    operations = {"audit_retention_hour": 24, "include_operations": "create,login"}
    _, said = await purge(management, parameters=operations)

    assert said == ["3 rows were removed"]


async def test_young_rows_stay(management):
    everything = {"audit_retention_hour": 240_000}
    _, said = await purge(management, parameters=everything)

    assert said == ["15 rows were removed"]  # they are older than that: of 1970
    await management.change(partial(store.append, sealing=KEYS, entries=[entry(16, at=4e9)]))
    _, said = await purge(management, **of())
    assert said == ["0 rows were removed"]


async def waiting(management) -> list[list[str]]:
    """Of which kinds of rows are the removals that wait for their time."""
    query = "SELECT payload FROM jobs WHERE kind = 'audit-purge' AND key = 'scheduled' AND status = 'queued'"

    def look(connection):
        found = [row.payload for row in connection.execute(text(query))]
        return [(json.loads(one) if isinstance(one, str) else one)["kinds"] for one in found]

    return list(await management.database.read(look))


async def test_a_schedule_removes_rows_and_comes_back(management):
    daily = {"schedule": {"type": "Daily"}, **of()}
    assert (await management.ask(ADMIN, "POST", f"{PATH}/schedule", json=daily)).status_code == 201
    due = "UPDATE jobs SET run_at = 1 WHERE kind = 'audit-purge' AND key = 'scheduled'"
    await management.change(lambda connection: connection.execute(text(due)) and None)
    with anyio.fail_after(20):
        while True:
            history = (await management.ask(ADMIN, "GET", PATH)).json()
            if history and history[0]["job_status"] == "Success" and await waiting(management):
                break
            await anyio.sleep(0.05)

    assert [one["job_kind"] for one in history] == ["SCHEDULE"]
    assert await left(management) == []
    assert await waiting(management) == [["*"]]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_schedule_of_the_documentation_is_taken(management):
    (body,) = [block for kind, block in BLOCKS if kind == "json"]
    reply = await management.ask(ADMIN, "POST", f"{PATH}/schedule", json=json.loads(body))

    assert reply.status_code == 201
