"""Changes that were refused are in the audit log, and logins once in a while: with who, what and from where, and
without a write for each request."""

import pytest

from longshore.identity.model import Role
from longshore.identity.noticing import LoginNotices, RefusalNotices
from longshore.telemetry.exchange import Exchange
from tests.audit.test_recording import rows
from tests.services.management import ADMIN, PASSWORD, management_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def management(database_url, tmp_path):
    async with management_of(database_url, tmp_path) as found:
        for name in ("guest", "stranger"):
            await found.add_user(name)
        await found.add_project("team", {"guest": Role.GUEST})
        yield found


async def refused(management, count: int) -> list[tuple[str, ...]]:
    return [
        (row.actor, row.operation, row.resource_type, row.resource, row.project)
        for row in await rows(management, count, successful=False)
    ]


async def test_a_change_that_a_caller_may_not_make_is_in_it_with_the_reason(management):
    team = (await management.ask(ADMIN, "GET", "/projects/team")).json()["project_id"]
    change = {"metadata": {"public": "true"}}
    for by, method, path in (
        ("guest", "PUT", f"/projects/{team}"),
        ("stranger", "DELETE", "/projects/team"),
        ("stranger", "DELETE", "/projects/imagined"),
        ("guest", "POST", "/users"),
        ("guest", "PUT", "/configurations"),
    ):
        assert (await management.ask(by, method, path, json=change)).status_code == 403

    assert await refused(management, 5) == [
        ("guest", "update", "project", f"/api/v2.0/projects/{team}", "team"),
        ("stranger", "delete", "project", "/api/v2.0/projects/team", "team"),
        ("stranger", "delete", "project", "/api/v2.0/projects/imagined", ""),
        ("guest", "create", "user", "/api/v2.0/users", ""),
        ("guest", "update", "configuration", "/api/v2.0/configurations", ""),
    ]
    first = (await rows(management, 5, successful=False))[0]
    assert first.description == (
        "user 'guest' lacks the permission project/update in project '"
        f"{team}', or there is no such project"
    )
    assert first.address
    assert first.request_id


async def test_a_change_that_contradicts_what_is_there_is_in_it(management):
    made = await management.ask(ADMIN, "POST", "/projects", json={"project_name": "team"})
    assert made.status_code == 409

    assert await refused(management, 1) == [(ADMIN, "create", "project", "/api/v2.0/projects", "")]


async def test_what_another_site_made_a_browser_send_is_in_it(management):
    form = {"principal": "guest", "password": PASSWORD}
    opened = await management.client.post("/c/login", data=form)
    assert opened.status_code == 200
    foreign = {"Sec-Fetch-Site": "cross-site"}
    reply = await management.client.delete("/api/v2.0/projects/team", headers=foreign)
    assert reply.status_code == 403

    assert await refused(management, 1) == [
        ("guest", "delete", "project", "/api/v2.0/projects/team", "")
    ]


async def test_who_does_not_log_in_and_what_makes_no_sense_cannot_fill_it(management):
    assert (await management.ask("", "DELETE", "/projects/team")).status_code == 401
    assert (await management.ask(ADMIN, "DELETE", "/projects/imagined")).status_code == 404
    assert (await management.ask(ADMIN, "POST", "/projects", json=[])).status_code == 422
    assert (await management.ask("guest", "GET", "/users")).status_code == 403
    assert (await management.ask("guest", "DELETE", "/users/1")).status_code == 403

    assert await refused(management, 1) == [("guest", "delete", "user", "/api/v2.0/users/1", "")]


async def test_a_push_and_a_delete_that_are_refused_are_in_it_once(management):
    assert (await management.push(ADMIN, "team/app")).status_code == 201
    for _ in range(3):
        assert (await management.push("guest", "team/app")).status_code == 403
    path = "/v2/team/app/manifests/latest"
    assert (await management.ask("guest", "DELETE", path)).status_code == 403

    found = await rows(management, 2, successful=False)
    assert [(row.operation, row.resource_type, row.resource, row.project) for row in found] == [
        ("create", "repository", "team/app", "team"),
        ("delete", "artifact", "team/app:latest", "team"),
    ]
    assert {row.actor for row in found} == {"guest"}
    assert "may not do this: push on repository 'team/app'" in found[0].description


async def test_logins_are_in_it_once_for_each_user_and_way(management):
    for _ in range(3):
        assert (await management.ask("guest", "GET", "/users/current")).is_success
        assert (await management.ask("guest", "GET", "/v2/")).is_success
        token = await management.ask("guest", "GET", "/service/token?service=longshore")
        bearer = {"Authorization": f"Bearer {token.json()['token']}"}
        assert (await management.ask("", "GET", "/v2/", headers=bearer)).is_success
    assert (await management.ask("stranger", "GET", "/users/current")).is_success
    wrong = await management.ask("guest", "GET", "/users/current", password="Wrong1234")
    assert wrong.status_code == 401

    found = await rows(management, 3, operation="login", successful=True)
    each = "name and password with each request"
    assert [(row.actor, row.resource, row.description) for row in found] == [
        ("guest", "guest", each),
        ("guest", "guest", "for a token of the registry"),
        ("stranger", "stranger", each),
    ]


async def test_logins_may_be_left_out(database_url, tmp_path):
    options = {"audit": {"logins": 0}}
    async with management_of(database_url, tmp_path, longshore=options) as management:
        assert (await management.ask(ADMIN, "GET", "/users/current")).is_success
        assert (await management.push(ADMIN, "library/app")).status_code == 201
        await rows(management, 2)
        assert await rows(management, 0, operation="login") == []


class Telling:
    """What would be told."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def tell(self, event: object) -> None:
        self.events.append(event)


def test_a_login_is_told_again_after_a_while_and_from_elsewhere():
    now, told = [0.0], Telling()
    notice = LoginNotices(told, 3600.0, lambda: now[0])  # type: ignore[arg-type]
    here, there = (Exchange("1", "GET", "/v2/", client=found) for found in ("10.0.0.1", "10.0.0.2"))
    for seconds, exchange in ((0, here), (1, there), (3599, here), (3601, here)):
        now[0] = seconds
        notice("bob", "somehow", exchange)

    assert [event.origin.address for event in told.events] == [  # type: ignore[attr-defined]
        "10.0.0.1",
        "10.0.0.2",
        "10.0.0.1",
    ]


@pytest.mark.parametrize(
    ("method", "route", "user", "status", "expected"),
    [
        ("PUT", "manifest", "bob", 403, 1),
        ("GET", "manifest", "bob", 403, 0),
        ("PUT", "manifest", "", 403, 0),
        ("PUT", "manifest", "bob", 404, 0),
        ("PUT", "update_user_profile", "bob", 403, 0),
    ],
)
def test_only_refused_changes_of_the_registry_are_noticed(method, route, user, status, expected):
    told = Telling()
    exchange = Exchange("1", method, "/", route=route, user=user, status=status, repository="a/b")
    RefusalNotices(told)(exchange)  # type: ignore[arg-type]

    assert len(told.events) == expected
