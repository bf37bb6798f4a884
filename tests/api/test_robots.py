"""Robots: what they may be given, what they may then, and how their secrets end."""

import time

import anyio
import pytest
from sqlalchemy import update

from longshore.access import passwords
from longshore.identity import store
from longshore.identity.model import ROBOT, Role
from longshore.identity.permissions import ROBOT_PROJECT, ROBOT_SYSTEM
from longshore.identity.tables import robots as robots_table
from longshore.system.catalogue import KEYS
from tests.api.test_who_may import ROUTES

pytestmark = pytest.mark.anyio

PULL = [{"resource": "repository", "action": "pull"}]
PUSH = [*PULL, {"resource": "repository", "action": "push"}]
MANIFEST = "/v2/team/app/manifests/latest"


def in_project(project="team", access=PUSH, **more):
    return {
        "name": "ci",
        "level": "project",
        "duration": 30,
        "permissions": [{"kind": "project", "namespace": project, "access": access}],
        **more,
    }


def in_system(*permissions, **more):
    return {"name": "ops", "level": "system", "duration": -1, "permissions": permissions, **more}


async def made(management, body, by="admin"):
    """Name and secret of a new robot, and its id."""
    reply = await management.ask(by, "POST", "/robots", json=body)
    assert reply.status_code == 201, reply.text
    robot = reply.json()
    assert reply.headers["Location"] == f"/api/v2.0/robots/{robot['id']}"
    management.passwords[robot["name"]] = robot["secret"]
    return robot["name"], robot["secret"], robot["id"]


@pytest.fixture
async def team(management):
    for user in ("boss", "dora", "lim"):
        await management.add_user(user)
    members = {"boss": Role.PROJECT_ADMIN, "dora": Role.DEVELOPER, "lim": Role.LIMITED_GUEST}
    management.project = await management.add_project("team", members)
    await management.add_project("other")
    for name in ("team/app", "other/app"):
        assert (await management.push("admin", name)).status_code == 201
    return management


async def test_a_robot_of_a_project_pushes_there_and_nowhere_else(team):
    name, _, id = await made(team, in_project(), by="boss")

    assert name == "robot+team+ci"
    assert (await team.push(name, "team/app", "v1")).status_code == 201
    refused = await team.ask(name, "POST", "/v2/other/app/blobs/uploads/")
    assert refused.status_code == 403
    assert "'robot+team+ci' has no rights in it" in refused.text
    assert (await team.ask(name, "GET", "/v2/other/app/tags/list")).status_code == 404
    assert (await team.ask(name, "DELETE", MANIFEST)).status_code == 403
    assert (await team.ask(name, "GET", "/v2/_catalog")).json()["repositories"] == ["team/app"]
    shown = (await team.ask("boss", "GET", f"/robots/{id}")).json()
    assert shown["last_used_from"] == "127.0.0.1"
    assert "secret" not in shown


@pytest.mark.parametrize("spelled", ["robot+team+ci", "robot$team+ci"])
async def test_harbors_spelling_is_understood_and_the_token_service_too(team, spelled):
    _, secret, _ = await made(team, in_project())
    asked = "/service/token?service=longshore&scope=repository:team/app:pull,push,delete"
    token = (await team.ask(spelled, "GET", asked, password=secret)).json()

    assert token["scope"] == "repository:team/app:pull,push"
    bearer = {"Authorization": f"Bearer {token['token']}"}
    assert (await team.ask("", "GET", MANIFEST, headers=bearer)).status_code == 200


async def test_the_prefix_that_administrators_choose_is_what_the_api_shows(team):
    changed = await team.ask("admin", "PUT", "/configurations", json={"robot_name_prefix": "bot$"})
    assert changed.status_code == 200, changed.text
    name, secret, _ = await made(team, in_project())

    assert name == "bot$team+ci"
    for spelled in (name, "robot$team+ci", "robot+team+ci"):
        found = await team.ask(spelled, "GET", MANIFEST, password=secret)
        assert found.status_code == 200
    for prefix in ("a", "", "robot", "a b$"):
        values = {"robot_name_prefix": prefix}
        assert (await team.ask("admin", "PUT", "/configurations", json=values)).status_code == 400
    assert KEYS["robot_name_prefix"].default == ROBOT


async def test_no_user_has_the_name_of_a_robot(team):
    body = {
        "username": "robot+x",
        "password": "Secret12",
        "email": "a@b.c",
        "realname": "x",
    }
    refused = await team.ask("admin", "POST", "/users", json=body)
    assert refused.status_code == 400
    assert "is a robot" in refused.text


async def test_nobody_gives_a_robot_more_than_they_have(team):
    # A developer makes none; a project admin none of the registry, and none of another project.
    assert (await team.ask("dora", "POST", "/robots", json=in_project())).status_code == 403
    everywhere = {"kind": "project", "namespace": "*", "access": PULL}
    refused = [
        in_project("other"),
        in_project("nowhere"),
        in_system({"kind": "project", "namespace": "team", "access": PULL}),
        in_system(everywhere),
    ]
    for body in refused:
        assert (await team.ask("boss", "POST", "/robots", json=body)).status_code == 403, body
    whole = [{"resource": one.resource, "action": one.action} for one in sorted(ROBOT_PROJECT)]
    name, _, _ = await made(team, in_project(access=whole), by="boss")

    # A robot that makes robots hands on what it has.
    makes = [*PULL, {"resource": "robot", "action": "create"}]
    maker, _, number = await made(team, in_project(access=makes, name="maker"))
    child = in_project(access=PULL, name="child")
    _, _, id = await made(team, child, by=maker)
    shown = (await team.ask("admin", "GET", f"/robots/{id}")).json()
    assert (shown["creator_type"], shown["creator_ref"]) == ("robot", number)
    denied = await team.ask(maker, "POST", "/robots", json=in_project(name="strong"))
    assert denied.json()["errors"][0]["code"] == "DENIED"
    assert "repository/push" in denied.text
    assert name == "robot+team+ci"


async def test_a_new_secret_is_not_a_way_to_rights_that_one_has_not(team):
    """Whoever may reset a robot's secret is that robot from then on."""
    strong, _, id = await made(team, in_project(name="strong"))
    rights = [{"resource": "robot", "action": action} for action in ("create", "list", "read")]
    weak, _, _ = await made(team, in_project(name="weak", access=rights))
    assert (await team.ask(weak, "GET", f"/robots/{id}")).status_code == 200
    assert (await team.ask(weak, "PATCH", f"/robots/{id}", json={})).status_code == 403
    assert (await team.ask("lim", "PATCH", f"/robots/{id}", json={})).status_code == 403
    assert (await team.ask(strong, "GET", MANIFEST)).status_code == 200


async def test_a_robot_of_the_registry_has_rights_in_projects_and_beside_them(team):
    body = in_system(
        {"kind": "project", "namespace": "*", "access": PULL},
        {
            "kind": "project",
            "namespace": "other",
            "access": [{"resource": "repository", "action": "pull", "effect": "deny"}],
        },
        {
            "kind": "system",
            "namespace": "/",
            "access": [
                {"resource": "user", "action": "list"},
                {"resource": "project", "action": "create"},
            ],
        },
    )
    name, _, _ = await made(team, body)

    assert name == "robot+ops"
    assert (await team.ask(name, "GET", MANIFEST)).status_code == 200
    assert (await team.ask(name, "GET", "/v2/other/app/manifests/latest")).status_code in (403, 404)
    assert (await team.ask(name, "GET", "/users")).status_code == 200
    assert (await team.ask(name, "GET", "/quotas")).status_code == 403
    created = await team.ask(name, "POST", "/projects", json={"project_name": "new"})
    assert created.status_code == 201
    assert (await team.ask("admin", "GET", "/projects/new")).json()["owner_name"] == "admin"
    listed = [one["name"] for one in (await team.ask(name, "GET", "/projects")).json()]
    assert {"team", "new"} <= set(listed)
    assert "other" not in listed
    assert (await team.ask(name, "GET", "/users/current")).status_code == 412


async def test_a_secret_that_is_replaced_counts_until_its_overlap_ends(team, monkeypatch):
    name, old, id = await made(team, in_project())
    asked = "/service/token?service=longshore&scope=repository:team/app:pull"
    token = (await team.ask(name, "GET", asked, password=old)).json()["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    reply = await team.ask("boss", "PATCH", f"/robots/{id}", json={"secret": "", "overlap": 3600})
    new = reply.json()["secret"]

    async def statuses():
        return [
            (await team.ask(name, "GET", MANIFEST, password=old)).status_code,
            (await team.ask(name, "GET", MANIFEST, password=new)).status_code,
            (await team.ask("", "GET", MANIFEST, headers=bearer)).status_code,
        ]

    assert await statuses() == [200, 200, 200]
    # What was remembered of the old secret, and tokens that it was given, end with it.
    ended = update(robots_table).values(former_until=time.time() + 0.5)
    await team.database.write(lambda connection: connection.execute(ended))
    assert await statuses() == [200, 200, 200]
    await anyio.sleep(0.6)
    assert await statuses() == [401, 200, 401]

    reply = await team.ask("boss", "PATCH", f"/robots/{id}", json={"secret": "Chosen1234"})
    assert reply.json() in ({}, {"overlap": 0})
    assert (await team.ask(name, "GET", MANIFEST, password=new)).status_code == 401
    assert (await team.ask(name, "GET", MANIFEST, password="Chosen1234")).status_code == 200
    easy = await team.ask("boss", "PATCH", f"/robots/{id}", json={"secret": "easy"})
    assert easy.status_code == 400


async def test_an_end_comes_without_anything_being_committed(team):
    name, _, _ = await made(team, in_project())
    ends = update(robots_table).values(expires_at=time.time() + 0.5)
    await team.database.write(lambda connection: connection.execute(ends))
    assert (await team.ask(name, "GET", MANIFEST)).status_code == 200
    await anyio.sleep(0.6)
    refused = await team.ask(name, "GET", MANIFEST)
    assert refused.status_code == 401
    assert "has expired" in refused.text


async def test_networks_are_looked_at_with_every_request(team):
    name, _, id = await made(team, in_project(allowed_networks=["10.0.0.0/8"]))
    refused = await team.ask(name, "GET", MANIFEST)
    assert refused.status_code == 401
    assert "not for use from 127.0.0.1" in refused.text
    shown = (await team.ask("boss", "GET", f"/robots/{id}")).json()
    # What was refused was no use.
    assert shown.get("last_used_from", "") == ""
    changed = {**shown, "allowed_networks": ["127.0.0.0/8", "::1"]}
    assert (await team.ask("boss", "PUT", f"/robots/{id}", json=changed)).status_code == 200
    assert (await team.ask(name, "GET", MANIFEST)).status_code == 200
    nonsense = {**shown, "allowed_networks": ["everywhere"]}
    assert (await team.ask("boss", "PUT", f"/robots/{id}", json=nonsense)).status_code == 400


async def test_a_robot_that_is_disabled_or_removed_is_out_at_once(team):
    name, _, id = await made(team, in_project())
    shown = (await team.ask("boss", "GET", f"/robots/{id}")).json()
    body = {**shown, "disable": True}
    assert (await team.ask("boss", "PUT", f"/robots/{id}", json=body)).status_code == 200
    assert "disabled" in (await team.ask(name, "GET", MANIFEST)).text
    unused = (await team.ask("boss", "GET", f"/robots/{id}")).json()
    assert unused.get("last_used_from", "") == ""
    assert (await team.ask("boss", "PUT", f"/robots/{id}", json=shown)).status_code == 200
    assert (await team.ask(name, "GET", MANIFEST)).status_code == 200
    assert (await team.ask("boss", "DELETE", f"/robots/{id}")).status_code == 200
    assert (await team.ask(name, "GET", MANIFEST)).status_code == 401

    # Another robot of the same name is another.
    again, _, _ = await made(team, in_project())
    assert again == name
    assert (await team.ask(name, "GET", MANIFEST, password="lsb_" + "x" * 43)).status_code == 401


async def test_robots_go_with_their_project(team):
    await team.add_project("brief", {"boss": Role.PROJECT_ADMIN})
    _, _, id = await made(team, in_project("brief"), by="boss")
    assert (await team.ask("boss", "DELETE", "/projects/brief")).status_code == 200
    assert (await team.ask("admin", "GET", f"/robots/{id}")).status_code == 404


async def test_lists_are_of_the_registry_or_of_one_project(team):
    await made(team, in_project())
    await made(team, in_system({"kind": "project", "namespace": "team", "access": PULL}))

    async def names(by="admin", **parameters):
        reply = await team.ask(by, "GET", "/robots", params=parameters)
        return [one["name"] for one in reply.json()] if reply.is_success else reply.status_code

    of_team = f"Level=project,ProjectID={team.project}"
    assert await names() == ["robot+ops"]
    assert await names(q=of_team) == ["robot+team+ci"]
    assert await names("lim", q=of_team) == 403
    assert await names("dora", q=of_team) == ["robot+team+ci"]
    assert await names("boss") == 403
    assert await names(q=f"{of_team},name=~ci") == ["robot+team+ci"]
    assert await names(q="Level=project") == 400
    assert await names("boss", q="Level=project,ProjectID=999999") == 403


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"duration": 0}, "duration is 0"),
        ({"duration": -2}, "duration is -2"),
        ({"name": "Upper"}, "is no name of a robot"),
        ({"name": "a+b"}, "is no name of a robot"),
        ({"level": "galaxy"}, "project or system"),
        ({"permissions": []}, "one entry"),
    ],
)
async def test_nonsense_is_refused_with_what_is_wrong(team, change, told):
    refused = await team.ask("boss", "POST", "/robots", json=in_project(**change))
    assert refused.status_code == 400
    assert told in refused.text


async def test_only_what_the_catalogue_has_is_given_and_levels_and_names_stay(team):
    body = in_project(access=[{"resource": "member", "action": "conquer"}])
    refused = await team.ask("boss", "POST", "/robots", json=body)
    assert "bad request permission: member:conquer" in refused.text
    _, _, id = await made(team, in_project())
    assert (await team.ask("boss", "POST", "/robots", json=in_project())).status_code == 409
    shown = (await team.ask("boss", "GET", f"/robots/{id}")).json()
    for change in ({"name": "robot+team+other"}, {"level": "system"}):
        reply = await team.ask("boss", "PUT", f"/robots/{id}", json={**shown, **change})
        assert "cannot update the level or name" in reply.text
    system = in_system(
        {"kind": "system", "namespace": "/", "access": [{"resource": "moon", "action": "read"}]}
    )
    assert (await team.ask("admin", "POST", "/robots", json=system)).status_code == 400
    assert len(ROBOT_SYSTEM) > 50


async def test_without_a_duration_a_robot_lasts_as_administrators_configured(team):
    changed = await team.ask("admin", "PUT", "/configurations", json={"robot_token_duration": 7})
    assert changed.status_code == 200
    body = in_project()
    del body["duration"]
    reply = (await team.ask("boss", "POST", "/robots", json=body)).json()
    assert 6.9 < (reply["expires_at"] - time.time()) / 86400 < 7.1


async def test_an_ordinary_robot_gets_into_no_more_routes_than_its_rights_say(team):
    """Everything that needs no more than a login is looked at by itself: robots are nobody there."""
    name, _, _ = await made(team, in_project(access=PULL))
    entered = set()
    for row in ROUTES:
        method, path = row.split(" ", 1)
        if method == "GET":
            continue
        filled = path.replace("{project}", "team")
        for parameter in (
            "user_id",
            "robot_id",
            "label_id",
            "group_id",
            "id",
            "mid",
            "token_id",
            "session_id",
        ):
            filled = filled.replace(f"{{{parameter}}}", "1")
        if "{" in filled:
            continue
        reply = await team.ask(name, method, filled, json={}, params={"project_name": "team"})
        assert reply.status_code < 500, (row, reply.text)
        if reply.status_code not in (401, 403):
            entered.add(row)
    assert entered == {"POST /c/login", "HEAD /projects", "POST /labels", "POST /robots"}


async def test_unknown_robots_take_as_long_as_those_with_a_chosen_secret(team, monkeypatch):
    name, _, id = await made(team, in_project())
    verified: list[bool] = []
    verify = passwords.verify

    def counted(hashed: str, password: bytes) -> bool:
        verified.append(True)
        return verify(hashed, password)

    monkeypatch.setattr(passwords, "verify", counted)
    hashed = passwords.hash_argon2(b"Chosen1234")
    await team.change(store.rotate_robot, id=id, secret_hash=hashed, now=1.0, former_until=None)
    for login in (name, "robot+nobody"):
        verified.clear()
        assert (await team.ask(login, "GET", MANIFEST, password="Wrong1234")).status_code == 401
        assert len(verified) == 1, login
