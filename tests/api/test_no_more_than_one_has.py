"""Nobody comes to more than they have been given by way of what they may change, make, copy or keep."""

import time

import pytest
from sqlalchemy import update

from longshore.identity import store
from longshore.identity.model import Role
from longshore.identity.tables import access_tokens
from tests.api.test_repository_rules import SECRET, add_rule, ruled
from tests.api.test_robots import PULL, PUSH, in_project, in_system, made
from tests.api.test_tokens import MANIFEST, TOKENS
from tests.api.test_tokens import made as made_token
from tests.services.management import PASSWORD, management_of
from tests.services.processes import free_port

pytestmark = pytest.mark.anyio

_DENY_PULL = [{"resource": "repository", "action": "pull", "effect": "deny"}]


def project(namespace, access):
    return {"kind": "project", "namespace": namespace, "access": access}


def beside(*permissions):
    access = [{"resource": resource, "action": action} for resource, action in permissions]
    return {"kind": "system", "namespace": "/", "access": access}


@pytest.fixture
async def team(management):
    management.boss = await management.add_user("boss")
    management.dora = await management.add_user("dora")
    members = {"boss": Role.PROJECT_ADMIN, "dora": Role.DEVELOPER}
    management.project = await management.add_project("team", members)
    await management.add_project("second", {"boss": Role.PROJECT_ADMIN})
    for name in ("team/app", "second/app"):
        assert (await management.push("admin", name)).status_code == 201
    return management


async def test_a_robot_that_may_change_users_becomes_no_administrator(team):
    rights = [("user", action) for action in ("create", "read", "list", "update", "delete")]
    robot, _, _ = await made(team, in_system(beside(*rights)))
    fields = {"email": "a@example.com", "realname": "a"}
    password = {"new_password": "Another12"}
    for path, body in (("/users/1/password", password), ("/users/1", fields)):
        refused = await team.ask(robot, "PUT", path, json=body)
        assert refused.status_code == 403, path
    assert (
        await team.ask(robot, "PUT", f"/users/{team.dora}/password", json=password)
    ).status_code == 403
    external = await team.change(store.add_user, name="ext", password_hash=None, now=1.0)
    secret = {"secret": "Chosen1234"}
    assert (
        await team.ask(robot, "PUT", f"/users/{external}/cli_secret", json=secret)
    ).status_code == 403
    second = await team.add_user("second", is_admin=True)
    assert (await team.ask(robot, "DELETE", f"/users/{second}")).status_code == 403

    assert (await team.ask(robot, "GET", "/users/1")).status_code == 200
    assert (await team.ask(robot, "PUT", f"/users/{team.dora}", json=fields)).status_code == 200
    assert (await team.ask(robot, "DELETE", f"/users/{team.dora}")).status_code == 200
    assert (
        await team.ask("admin", "PUT", f"/users/{external}/cli_secret", json=secret)
    ).status_code == 200


async def test_whoever_is_made_or_unmade_an_administrator_logs_in_again(team):
    asked = "/service/token?service=longshore&offline_token=true&scope=repository:team/app:pull"
    reply = (await team.ask("dora", "GET", asked)).json()
    path = f"/users/{team.dora}/sysadmin"
    assert (await team.ask("admin", "PUT", path, json={"sysadmin_flag": True})).status_code == 200

    bearer = {"Authorization": f"Bearer {reply['token']}"}
    assert (await team.ask("", "GET", MANIFEST, headers=bearer)).status_code == 401
    form = {
        "grant_type": "refresh_token",
        "service": "longshore",
        "refresh_token": reply["refresh_token"],
    }
    assert (await team.ask("", "POST", "/service/token", data=form)).status_code == 401
    assert (await team.ask("dora", "GET", MANIFEST)).status_code == 200


async def test_a_token_in_between_does_not_let_guesses_begin_anew(team):
    token, _ = await made_token(team, "dora", "pull")
    statuses = []
    for number in range(8):
        guess = await team.ask("dora", "GET", "/users/current", password=f"Guess{number}x")
        statuses.append(guess.status_code)
        assert (await team.ask("dora", "GET", MANIFEST, password=token)).status_code == 200
    assert statuses[:5] == [401] * 5
    assert statuses[-1] == 429


async def test_guesses_count_while_a_directory_is_away(tmp_path):
    server = {"name": "away", "url": f"ldap://127.0.0.1:{free_port()}", "basedn": "dc=lan"}
    url = f"sqlite:///{tmp_path}/db"
    async with management_of(url, tmp_path, longshore={"ldap": {"servers": [server]}}) as registry:
        await registry.add_user("dora")
        statuses = [
            (await registry.ask("dora", "GET", "/users/current", password=f"Guess{n}x")).status_code
            for n in range(7)
        ]
        right = await registry.ask("dora", "GET", "/users/current", password=PASSWORD)
    assert statuses[0] == 503
    assert statuses[-1] == right.status_code == 429


async def test_a_project_of_the_same_name_owes_robots_of_the_registry_nothing(team):
    await team.add_project("brief")
    rights = in_system(project("brief", PUSH), project("team", PULL))
    robot, _, id = await made(team, rights)
    assert (await team.push(robot, "brief/app")).status_code == 201
    gone = await team.ask("admin", "DELETE", "/projects/brief/repositories/app")
    assert gone.status_code == 200
    assert (await team.ask("admin", "DELETE", "/projects/brief")).status_code == 200

    shown = (await team.ask("admin", "GET", f"/robots/{id}")).json()
    assert [one["namespace"] for one in shown["permissions"]] == ["team"]
    await team.add_project("brief")
    assert (await team.push(robot, "brief/app")).status_code == 403
    unknown = in_system(project("nowhere", PULL), name="other")
    refused = await team.ask("admin", "POST", "/robots", json=unknown)
    assert refused.status_code == 404
    assert "no project 'nowhere'" in refused.text


async def test_a_token_that_was_removed_is_nobody_in_lists_too(team):
    _, id = await made_token(team, "boss", "pull")
    name = f"boss#{id}"

    def seen(connection):
        return store.standings(connection, name, ["team"])["team"]

    assert (await team.database.read(seen)).permissions
    assert (await team.ask("boss", "DELETE", f"{TOKENS}/{id}")).status_code == 200
    after = await team.database.read(seen)
    assert not after.permissions
    assert after == await team.database.read(lambda one: store.standing(one, name, "team"))


async def test_what_is_denied_somewhere_is_not_handed_on_with_everywhere(team):
    rights = in_system(
        project("*", PULL),
        project("second", _DENY_PULL),
        beside(("robot", "create")),
    )
    parent, _, _ = await made(team, rights)
    everywhere = in_system(project("*", PULL), name="child")
    refused = await team.ask(parent, "POST", "/robots", json=everywhere)
    assert refused.status_code == 403
    assert "in 'second'" in refused.text
    same = in_system(project("*", PULL), project("second", _DENY_PULL), name="child")
    child, _, _ = await made(team, same, by=parent)
    assert (await team.ask(child, "GET", MANIFEST)).status_code == 200


async def test_lists_show_no_more_than_a_robot_reads(team):
    rights = in_system(
        project("*", [*PULL, {"resource": "repository", "action": "list"}]),
        project("second", _DENY_PULL),
    )
    robot, _, _ = await made(team, rights)

    listed = (await team.ask(robot, "GET", "/repositories")).json()
    assert [one["name"] for one in listed] == ["team/app"]
    assert (await team.ask(robot, "GET", "/v2/_catalog")).json()["repositories"] == ["team/app"]
    found = (await team.ask(robot, "GET", "/search", params={"q": "app"})).json()
    assert [one["repository_name"] for one in found["repository"]] == ["team/app"]


async def test_rules_bind_robots_that_have_other_rights_than_to_pull(management):
    await management.add_project("open", public=True)
    assert (await management.push("admin", "open/secret", content=SECRET)).status_code == 201
    await ruled(management, "deny", "secret", "pull", project="open", **{"non-member": {}})
    labels = [{"resource": "label", "action": "list"}]
    robot, _, _ = await made(management, in_system(project("open", labels)))
    other, _, _ = await made(management, in_system(project("open", PULL), name="puller"))
    path = "/v2/open/secret/manifests/latest"
    assert (await management.ask(robot, "GET", path)).status_code in (403, 404)
    assert (await management.ask(robot, "GET", "/repositories")).json() == []
    assert (await management.ask(other, "GET", path)).status_code == 200


async def test_a_role_is_given_with_what_rules_give_to_it(team):
    keeper = {("member", action) for action in ("create", "update", "delete", "read", "list")}
    permissions = [{"resource": one, "action": two} for one, two in sorted(keeper)]
    guest = [{"resource": one.resource, "action": one.action} for one in Role.GUEST.permissions]
    body = {"name": "keeper", "permissions": [*permissions, *guest]}
    role = await team.ask("admin", "POST", "/api/longshore/v1/roles", json=body)
    number = int(role.headers["location"].rpartition("/")[2])
    await team.add_user("kim")
    await team.add_user("friend")

    async def give(by, role, user):
        member = {"role_id": role, "member_user": {"username": user}}
        return (await team.ask(by, "POST", "/projects/team/members", json=member)).status_code

    assert await give("admin", number, "kim") == 201
    rule = await add_rule(team, "allow", "app", "push", role={"name": "limited-guest"})
    assert rule.status_code == 201, rule.text
    assert await give("kim", Role.LIMITED_GUEST.value, "friend") == 403
    assert await give("kim", Role.GUEST.value, "friend") == 201
    assert await give("boss", Role.LIMITED_GUEST.value, "friend") == 409


async def test_the_secret_before_lives_no_longer_than_it_would_have(team):
    old, id = await made_token(team, "boss", "pull", days=1)
    body = {"overlap": 90 * 86400, "days": 30}
    rotated = await team.ask("boss", "POST", f"{TOKENS}/{id}/rotate", json=body)
    assert rotated.status_code == 200, rotated.text

    def kept(connection):
        return connection.execute(access_tokens.select().where(access_tokens.c.id == id)).one()

    row = await team.database.read(kept)
    assert row.former_until < time.time() + 86400 + 60
    assert (await team.ask("boss", "GET", MANIFEST, password=old)).status_code == 200
    # One that had ended does not begin again.
    ended = update(access_tokens).values(expires_at=time.time() - 1)
    await team.database.write(lambda connection: connection.execute(ended))
    await team.ask("boss", "POST", f"{TOKENS}/{id}/rotate", json=body)
    assert (await team.database.read(kept)).former_until is None


@pytest.mark.parametrize("limit", [{"projects": ["team"]}, {"allowed_networks": ["127.0.0.0/8"]}])
async def test_a_limited_token_makes_and_renews_no_robot_that_would_outlast_it(team, limit):
    robot, _, id = await made(team, in_project(), by="boss")
    token, _ = await made_token(team, "boss", "manage", **limit)
    for method, path, body in (
        ("POST", "/robots", in_project(name="heir")),
        ("PATCH", f"/robots/{id}", {}),
    ):
        refused = await team.ask("boss", method, path, json=body, password=token)
        assert refused.status_code == 403, path
        assert "would outlast it" in refused.text
    assert (await team.ask("boss", "GET", f"/robots/{id}", password=token)).status_code == 200
    assert (await team.ask(robot, "GET", MANIFEST)).status_code == 200
    assert (await team.ask("boss", "DELETE", f"/robots/{id}", password=token)).status_code == 200


async def test_what_one_may_look_at_but_not_pull_is_not_copied(team):
    looks = [{"resource": "artifact", "action": "read"}, {"resource": "artifact", "action": "list"}]
    makes = [*PUSH, {"resource": "artifact", "action": "create"}]
    robot, _, _ = await made(team, in_system(project("second", looks), project("team", makes)))
    path = "/projects/team/repositories/copy/artifacts"
    refused = await team.ask(robot, "POST", path, params={"from": "second/app:latest"})
    assert refused.status_code == 403
    assert "repository/pull" in refused.text
