"""The log of a whole registry: what people do is in it once, with who, where and what came of it; secrets
are not."""

import json
from functools import partial

import anyio
import pytest
from sqlalchemy import text

from longshore.audit import store
from longshore.audit.model import LONGEST, Row, Search, clean
from longshore.identity.model import Role
from longshore.jobs import queue
from longshore.outbox import store as outbox
from tests.services.management import ADMIN, PASSWORD, management_of

pytestmark = pytest.mark.anyio


async def rows(management, count: int, **wanted) -> list[Row]:
    """The oldest first, once there are so many."""
    with anyio.fail_after(20):
        while True:
            work = partial(store.search, wanted=Search(**wanted), limit=1000)
            found = await management.database.read(work)
            if len(found) >= count:
                return list(reversed(found))
            await anyio.sleep(0.05)


@pytest.fixture
async def management(database_url, tmp_path):
    storage = {
        "filesystem": {"rootdirectory": str(tmp_path / "data")},
        "delete": {"enabled": True},
    }
    async with management_of(database_url, tmp_path, storage=storage) as found:
        yield found


async def test_pushes_and_deletes_are_in_it_and_no_secret_is(management):
    assert (await management.push(ADMIN, "library/app")).status_code == 201
    found = await rows(management, 2)

    assert {(row.operation, row.resource_type) for row in found} >= {
        ("create", "artifact"),
        ("create", "tag"),
    }
    tag = next(row for row in found if row.resource_type == "tag")
    assert tag.resource == "library/app:latest"
    assert (tag.actor, tag.project, tag.successful) == (ADMIN, "library", True)
    assert tag.request_id

    assert (await management.ask(ADMIN, "DELETE", "/v2/library/app/manifests/latest")).is_success
    (gone,) = await rows(management, 1, operation="delete", resource_type="tag")
    assert gone.resource == "library/app:latest"

    everything = await management.database.read(_everything)
    assert PASSWORD not in everything


async def test_changes_of_people_are_in_it(management):
    reply = await management.ask(
        ADMIN, "POST", "/projects", json={"project_name": "fresh", "metadata": {"public": "false"}}
    )
    assert reply.status_code == 201
    (made,) = await rows(management, 1, operation="create", resource_type="project")

    assert (made.resource, made.actor) == ("fresh", ADMIN)


async def test_pulls_are_in_it_when_asked_for(database_url, tmp_path):
    options = {"audit": {"pulls": "all"}}
    async with management_of(database_url, tmp_path, longshore=options) as management:
        assert (await management.push(ADMIN, "library/app")).status_code == 201
        assert (await management.ask(ADMIN, "GET", "/v2/library/app/manifests/latest")).is_success
        (pulled,) = await rows(management, 1, operation="pull")

    assert pulled.resource == "library/app:latest"


async def test_it_may_be_switched_off(database_url, tmp_path):
    options = {"audit": {"enabled": False}}
    async with management_of(database_url, tmp_path, longshore=options) as management:
        assert (await management.push(ADMIN, "library/app")).status_code == 201
        waiting = await management.database.read(
            lambda connection: connection.scalar(text("SELECT count(*) FROM outbox"))
        )
        assert waiting == 0


def test_no_text_breaks_a_row():
    assert clean("a\0b") == "a\N{REPLACEMENT CHARACTER}b"
    assert clean("\ud800") == "?"
    assert len(clean("x" * 10_000)) == LONGEST


def _everything(connection) -> str:
    found = store.following(connection, 0, 1000)
    return json.dumps([row.to_json() for row in found])


async def test_harbors_routes_show_what_the_caller_may_see(management):
    await management.add_user("guest")
    await management.add_user("keeper")
    await management.add_user("stranger")
    await management.add_project("team", {"guest": Role.GUEST, "keeper": Role.PROJECT_ADMIN})
    assert (await management.push(ADMIN, "team/app")).status_code == 201
    assert (await management.push(ADMIN, "library/app")).status_code == 201
    await rows(management, 4)

    async def seen(by: str, path: str) -> list[str]:
        reply = await management.ask(by, "GET", path, params={"q": "resource_type=tag"})
        assert reply.headers["x-total-count"] == str(len(reply.json()))
        return [row["resource"] for row in reply.json()]

    both = ["library/app:latest", "team/app:latest"]
    assert await seen(ADMIN, "/audit-logs") == both
    assert await seen(ADMIN, "/auditlog-exts") == both
    assert await seen("guest", "/auditlog-exts") == []
    assert await seen("keeper", "/auditlog-exts") == ["team/app:latest"]
    assert await seen("keeper", "/projects/team/logs") == ["team/app:latest"]
    assert await seen("stranger", "/audit-logs") == []
    refused = await management.ask("stranger", "GET", "/projects/team/auditlog-exts")
    assert refused.status_code == 403


async def test_no_event_is_too_old_for_it(database_url, tmp_path):
    """While the log cannot be written the job that drops old events leaves alone what waits for it."""
    options = {"events": {"retention": "1ms"}}
    async with management_of(database_url, tmp_path, longshore=options) as management:
        await management.add_project("first")
        assert (await management.ask(ADMIN, "PUT", "/projects/first", json={})).is_success
        await rows(management, 1)
        await management.change(_moved_end, by=1)
        assert (await management.ask(ADMIN, "DELETE", "/projects/first")).is_success
        await management.change(_expire_events)
        await _until(management, _no_job_expires_events)
        assert await management.database.read(outbox.backlog)
        await management.change(_moved_end, by=-1)
        (gone,) = await rows(management, 1, operation="delete", resource_type="project")

    assert gone.resource == "first"


def _moved_end(connection, by: int) -> None:
    connection.execute(text("UPDATE audit_state SET last_id = last_id + :by"), {"by": by})


def _expire_events(connection) -> None:
    queue.enqueue(connection, "event-expiry", {}, now=1.0)


def _no_job_expires_events(connection) -> bool:
    query = "SELECT count(*) FROM jobs WHERE kind = 'event-expiry' AND key IS NULL"
    return bool(connection.scalar(text(query)) == 0)


async def _until(management, holds) -> None:
    with anyio.fail_after(20):
        while True:
            if await management.database.read(holds):
                return
            await anyio.sleep(0.05)


async def test_roles_and_rules_are_in_it_in_words(management):
    await management.add_project("team")
    role = {"name": "reader", "permissions": [{"resource": "repository", "action": "pull"}]}
    made = await management.ask(ADMIN, "POST", "/api/longshore/v1/roles", json=role)
    assert made.status_code == 201, made.text
    rule = {"pattern": "secret/**", "effect": "deny", "actions": ["push"]}
    body = {**rule, "subject": {"type": "role", "name": "reader"}}
    path = "/api/longshore/v1/projects/team/repository-rules"
    made = await management.ask(ADMIN, "POST", path, json=body)
    assert made.status_code == 201, made.text
    one = f"{path}/{made.headers['location'].rpartition('/')[2]}"
    assert (await management.ask(ADMIN, "DELETE", one)).status_code == 200

    (changed,) = await rows(management, 1, resource_type="role")
    assert (changed.operation, changed.resource) == ("create", "reader")
    found = await rows(management, 2, resource_type="repository-rule")
    assert [(row.operation, row.resource, row.project) for row in found] == [
        ("create", "secret/**", "team"),
        ("delete", "secret/**", "team"),
    ]
    assert "takes push in 'secret/**' from the role 'reader'" in found[0].description
