"""Teams: who makes them, who says who is in them, and what they are to projects."""

import pytest

from longshore.identity.model import Role

pytestmark = pytest.mark.anyio

TEAMS = "/api/longshore/v1/teams"


async def make(management, name="builders"):
    reply = await management.ask("admin", "POST", TEAMS, json={"name": name})
    assert reply.status_code == 201, reply.text
    return reply.headers["location"]


async def put_in(management, team, by="admin", expected=201, **member):
    reply = await management.ask(by, "POST", f"{team}/members", json=member)
    assert reply.status_code == expected, reply.text
    return reply.headers.get("location", "")


async def give_role(management, team, project, role):
    group = {"id": int(team.rpartition("/")[2])}
    json = {"role_id": role.value, "member_group": group}
    reply = await management.ask("admin", "POST", f"/projects/{project}/members", json=json)
    assert reply.status_code == 201, reply.text


async def test_who_is_in_a_team_has_its_roles_at_once_and_only_as_long(management):
    await management.add_user("dora")
    await management.add_project("shop")
    team = await make(management)
    await give_role(management, team, "shop", Role.DEVELOPER)
    assert (await management.push("dora", "shop/app")).status_code == 403

    dora = await put_in(management, team, username="dora")
    assert (await management.push("dora", "shop/app")).status_code == 201

    assert (await management.ask("admin", "DELETE", dora)).status_code == 200
    assert (await management.push("dora", "shop/app", "other")).status_code == 403
    await put_in(management, team, username="dora")
    assert (await management.ask("admin", "DELETE", team)).status_code == 200
    assert (await management.push("dora", "shop/app", "other")).status_code == 403
    assert (await management.ask("admin", "GET", "/projects/shop/members")).json() == []


async def test_a_team_is_a_group_of_harbors_kind_two(management):
    team = await make(management)
    id = int(team.rpartition("/")[2])
    as_group = {"id": id, "group_name": "builders", "group_type": 2}

    assert (await management.ask("admin", "GET", f"/usergroups/{id}")).json() == as_group
    made = await management.ask(
        "admin", "POST", "/usergroups", json={"group_name": "testers", "group_type": 2}
    )
    other = made.headers["location"].rpartition("/")[2]
    listed = (await management.ask("admin", "GET", TEAMS)).json()
    assert [one["name"] for one in listed] == ["builders", "testers"]
    again = await management.ask(
        "admin", "POST", "/usergroups", json={"group_name": "builders", "group_type": 2}
    )
    assert again.status_code == 409
    renamed = await management.ask("admin", "PUT", team, json={"name": "makers"})
    assert renamed.status_code == 200
    assert (await management.ask("admin", "GET", f"/usergroups/{id}")).json()[
        "group_name"
    ] == "makers"
    taken = await management.ask("admin", "PUT", team, json={"name": "testers"})
    assert taken.status_code == 409
    assert (await management.ask("admin", "DELETE", f"/usergroups/{other}")).status_code == 200
    assert (await management.ask("admin", "GET", f"{TEAMS}/{other}")).status_code == 404
    unknown = await management.ask(
        "admin", "POST", "/usergroups", json={"group_name": "x", "group_type": 4}
    )
    assert unknown.status_code == 400


async def test_a_project_takes_a_team_by_its_name(management):
    await management.add_user("dora")
    await management.add_project("shop")
    await put_in(management, await make(management), username="dora")
    json = {"role_id": 2, "member_group": {"group_name": "builders", "group_type": 2}}

    made = await management.ask("admin", "POST", "/projects/shop/members", json=json)

    assert made.status_code == 201, made.text
    assert (await management.push("dora", "shop/app")).status_code == 201


async def test_the_group_of_a_directory_is_no_team(management):
    json = {"group_name": "x", "group_type": 1, "ldap_group_dn": "cn=x,dc=y"}
    made = await management.ask("admin", "POST", "/usergroups", json=json)
    id = made.headers["location"].rpartition("/")[2]

    assert (await management.ask("admin", "GET", TEAMS)).json() == []
    assert (await management.ask("admin", "GET", f"{TEAMS}/{id}")).status_code == 404
    assert (await management.ask("admin", "DELETE", f"{TEAMS}/{id}")).status_code == 404
    rename = await management.ask("admin", "PUT", f"{TEAMS}/{id}", json={"name": "y"})
    assert rename.status_code == 404
    await put_in(management, f"{TEAMS}/{id}", expected=404, username="admin")


async def test_maintainers_say_who_is_in_their_team_and_nobody_else_does(management):
    for user in ("mia", "dora", "emil"):
        await management.add_user(user)
    team, other = await make(management), await make(management, "others")
    mia = await put_in(management, team, username="mia", maintainer=True)
    dora = await put_in(management, team, by="mia", username="dora")
    strangers = await put_in(management, other, username="emil", maintainer=True)

    # Members and strangers do not; to strangers there is no such team.
    for who in ("dora", "emil"):
        await put_in(management, team, by=who, expected=403, username="emil")
        refused = await management.ask(who, "PUT", dora, json={"maintainer": True})
        assert refused.status_code == 403
        assert (await management.ask(who, "DELETE", mia)).status_code == 403
    hidden = await management.ask("emil", "GET", team)
    missing = await management.ask("emil", "GET", f"{TEAMS}/999999")
    assert hidden.status_code == missing.status_code == 403
    assert hidden.text.replace(team.rpartition("/")[2], "999999") == missing.text
    # Nor does a maintainer beyond their team: numbers of other teams lead nowhere.
    assert (await management.ask("mia", "DELETE", strangers)).status_code == 403
    mixed = f"{team}/members/{strangers.rpartition('/')[2]}"
    assert (await management.ask("mia", "DELETE", mixed)).status_code == 404
    for method, path, json in (
        ("POST", TEAMS, {"name": "mine"}),
        ("PUT", team, {"name": "mine"}),
        ("DELETE", team, None),
    ):
        assert (await management.ask("mia", method, path, json=json)).status_code == 403

    promoted = await management.ask("mia", "PUT", dora, json={"maintainer": True})
    assert promoted.status_code == 200
    assert (await management.ask("dora", "DELETE", mia)).status_code == 200
    await put_in(management, team, by="mia", expected=403, username="mia")
    demoted = await management.ask("admin", "PUT", dora, json={"maintainer": False})
    assert demoted.status_code == 200
    await put_in(management, team, by="dora", expected=403, username="emil")


async def test_members_see_their_teams_and_may_leave(management):
    for user in ("mia", "dora"):
        await management.add_user(user)
    team, _ = await make(management), await make(management, "others")
    await put_in(management, team, username="mia", maintainer=True)
    dora = await put_in(management, team, username="dora")

    (hers,) = (await management.ask("dora", "GET", TEAMS)).json()
    assert (hers["name"], hers["maintainer"]) == ("builders", False)
    assert (await management.ask("mia", "GET", TEAMS)).json()[0]["maintainer"] is True
    assert len((await management.ask("admin", "GET", TEAMS)).json()) == 2
    listed = await management.ask("dora", "GET", f"{team}/members", params={"page_size": 1})
    assert listed.headers["x-total-count"] == "2"
    assert [one["username"] for one in listed.json()] == ["dora"]
    sought = await management.ask("dora", "GET", f"{team}/members", params={"username": "mi"})
    assert [(one["username"], one["maintainer"]) for one in sought.json()] == [("mia", True)]
    assert (await management.ask("dora", "GET", dora)).json()["username"] == "dora"
    assert (await management.ask("dora", "DELETE", dora)).status_code == 200
    assert (await management.ask("dora", "GET", TEAMS)).json() == []
    assert (await management.ask("dora", "GET", f"{team}/members")).status_code == 403


async def test_what_cannot_be_is_said_clearly(management):
    await management.add_user("dora")
    team = await make(management)
    await put_in(management, team, username="dora")

    for status, member in (
        (409, {"username": "dora"}),
        (404, {"username": "nobody"}),
        (404, {"user_id": 999999}),
        (400, {}),
        (400, {"username": "dora", "user_id": 1}),
        (422, {"username": "dora", "maintainer": "maybe"}),
    ):
        await put_in(management, team, expected=status, **member)
    for name in ("", "  ", "a\tb", "x\x7fy"):
        reply = await management.ask("admin", "POST", TEAMS, json={"name": name})
        assert reply.status_code == 400, name
        assert "name of a team" in reply.text
    again = await management.ask("admin", "POST", TEAMS, json={"name": " builders "})
    assert again.status_code == 409
