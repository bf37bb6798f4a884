"""Who sees which rows of the audit log, however many projects there are."""

import pytest

from longshore.audit import store
from longshore.identity import store as people
from longshore.identity.model import GroupKind, Role
from longshore.identity.permissions import Permission
from tests.audit.test_chain import KEYS, entry
from tests.services.management import ADMIN, HASH, management_of

pytestmark = pytest.mark.anyio

LOG = Permission("log", "list")
#: Projects in which keeper may see the log, half by a role and half by the custom role of a team.
KEPT = 520


def fill(connection) -> None:
    keeper = people.add_user(connection, "keeper", HASH, 1.0)
    people.add_user(connection, "guest", HASH, 1.0)
    people.add_role(connection, "auditor", frozenset({LOG}), 1.0)
    people.add_role(connection, "reader", frozenset(), 1.0)
    auditor = people.any_role(connection, name="auditor")
    reader = people.any_role(connection, name="reader")
    team = people.add_group(connection, GroupKind.TEAM, "auditors", 1.0)
    people.add_to_group(connection, team, keeper)
    for number in range(KEPT):
        name = f"kept-{number}"
        people.add_project(connection, name, now=1.0)
        people.set_member(connection, name, "guest", reader if number % 3 else Role.GUEST)
        if number % 2:
            people.set_member(connection, name, "keeper", Role.PROJECT_ADMIN)
        else:
            people.set_group_member(connection, name, team, auditor)
    for number in range(KEPT):  # earlier in every list than the others
        people.add_project(connection, f"a-public-{number}", now=1.0, public=True)
    places = [*(f"kept-{number}" for number in range(KEPT)), "a-public-7", "library", "gone", ""]
    entries = [entry(number, project=name) for number, name in enumerate(places)]
    store.append(connection, KEYS, entries)


@pytest.fixture
async def management(database_url, tmp_path):
    options = {"audit": {"enabled": False}}
    async with management_of(database_url, tmp_path, longshore=options) as found:
        await found.change(fill)
        yield found


async def seen(management, by: str, **parts: str) -> list[str]:
    """The projects of the rows, the newest first; as many as there are said to be."""
    reply = await management.ask(by, "GET", "/audit-logs", params={"page_size": "3"}, **parts)
    assert reply.status_code == 200
    return [reply.headers["x-total-count"], *(row["resource"] for row in reply.json())]


async def test_users_see_the_log_of_every_project_where_a_role_lets_them(management):
    assert (await seen(management, ADMIN))[0] == str(KEPT + 4)
    assert await seen(management, "keeper") == [
        str(KEPT),
        *(f"app/web:{number}" for number in (KEPT - 1, KEPT - 2, KEPT - 3)),
    ]
    assert await seen(management, "guest") == ["0"]


async def robot(management, **effects: str) -> str:
    """The name of one with ``log/list`` in projects, allowed or denied; ``everywhere`` is all of them."""
    access = {"resource": "log", "action": "list"}
    permissions = [
        {
            "kind": "project",
            "namespace": "*" if name == "everywhere" else name.replace("_", "-"),
            "access": [{**access, "effect": effect}],
        }
        for name, effect in effects.items()
    ]
    body = {"name": "ops", "level": "system", "duration": -1, "permissions": permissions}
    reply = await management.ask(ADMIN, "POST", "/robots", json=body)
    assert reply.status_code == 201, reply.text
    management.passwords[reply.json()["name"]] = reply.json()["secret"]
    return str(reply.json()["name"])


async def test_robots_see_what_is_written_down_for_them(management):
    one = await robot(management, kept_7="allow")
    assert await seen(management, one) == ["1", "app/web:7"]
    assert (await management.ask(ADMIN, "DELETE", "/robots/1")).is_success

    all_but_one = await robot(management, everywhere="allow", kept_7="deny")
    assert (await seen(management, all_but_one))[0] == str(KEPT + 2 - 1)


async def test_access_tokens_see_no_more_than_they_are_for(management):
    async def token(scopes: list[str], projects: list[str]) -> str:
        body = {"name": f"{scopes}{projects}", "scopes": scopes, "projects": projects}
        reply = await management.ask("keeper", "POST", "/api/longshore/v1/tokens", json=body)
        assert reply.status_code == 201, reply.text
        return str(reply.json()["token"])

    whole, some = await token(["manage"], []), await token(["manage"], ["kept-7", "library"])
    pulls = await token(["pull"], [])

    assert (await seen(management, "keeper", password=whole))[0] == str(KEPT)
    assert await seen(management, "keeper", password=some) == ["1", "app/web:7"]
    assert await seen(management, "keeper", password=pulls) == ["0"]
