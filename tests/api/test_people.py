"""Users, groups, projects and members, as clients of Harbor use them."""

import pytest

from longshore.identity.model import GroupKind, Role

pytestmark = pytest.mark.anyio

USER = {"username": "dora", "email": "dora@example.org", "realname": "Dora", "password": "Secret12"}


async def created(management, by, path, **body):
    reply = await management.ask(by, "POST", path, json=body)
    assert reply.status_code == 201, reply.text
    return int(reply.headers["location"].rpartition("/")[2])


async def test_a_user_is_made_read_changed_and_removed(management):
    user = await created(management, "admin", "/users", **USER)

    assert (await management.ask("dora", "GET", "/users/current")).json()["user_id"] == user
    one = (await management.ask("dora", "GET", f"/users/{user}")).json()
    assert one.items() >= {"username": "dora", "sysadmin_flag": False, "realname": "Dora"}.items()
    assert "password" not in str(one)
    change = {
        "email": "d@example.org",
        "realname": "D",
        "comment": "on leave",
        "sysadmin_flag": True,
    }
    assert (await management.ask("dora", "PUT", f"/users/{user}", json=change)).status_code == 200
    one = (await management.ask("admin", "GET", f"/users/{user}")).json()
    assert (one["comment"], one["sysadmin_flag"]) == ("on leave", False)
    assert (await management.ask("dora", "GET", "/users/1")).status_code == 403
    flag = {"sysadmin_flag": True}
    path = f"/users/{user}/sysadmin"
    assert (await management.ask("dora", "PUT", path, json=flag)).status_code == 403
    assert (await management.ask("admin", "PUT", path, json=flag)).status_code == 200
    assert (await management.ask("dora", "GET", "/users")).headers["x-total-count"] == "2"
    assert (await management.ask("dora", "DELETE", f"/users/{user}")).status_code == 403
    assert (await management.ask("dora", "DELETE", "/users/1")).status_code == 403
    assert (await management.ask("admin", "DELETE", f"/users/{user}")).status_code == 200
    assert (await management.ask("dora", "GET", "/users/current")).status_code == 401


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"password": "short"}, 400),
        ({"username": "do,ra"}, 400),
        ({"username": ""}, 400),
        ({"email": "nowhere"}, 400),
        ({"realname": ""}, 400),
        ({"comment": "x" * 31}, 400),
        ({"username": "admin"}, 409),
        ({"username": "x" * 256}, 400),
    ],
)
async def test_a_user_that_cannot_be_is_refused(management, wrong, status):
    reply = await management.ask("admin", "POST", "/users", json=USER | wrong)

    assert reply.status_code == status, reply.text
    assert "short" not in reply.text


async def test_two_users_do_not_share_an_address(management):
    await created(management, "admin", "/users", **USER)
    other = await management.ask("admin", "POST", "/users", json=USER | {"username": "dorothy"})
    assert other.status_code == 409


async def test_the_last_administrator_stays(management):
    reply = await management.ask("admin", "PUT", "/users/1/sysadmin", json={"sysadmin_flag": False})

    assert reply.status_code == 412
    assert "last administrator" in reply.json()["errors"][0]["message"]


async def test_whoever_makes_a_project_administers_it(management):
    for user in ("owner", "other"):
        await management.add_user(user)
    project = await created(
        management, "owner", "/projects", project_name="team", metadata={"public": "false"}
    )

    one = (await management.ask("owner", "GET", f"/projects/{project}")).json()
    assert one["current_user_role_id"] == Role.PROJECT_ADMIN
    assert one["owner_name"] == "owner"
    assert one["metadata"] == {"public": "false"}
    assert one["repo_count"] == 0
    assert [p["name"] for p in (await management.ask("other", "GET", "/projects")).json()] == [
        "library"
    ]
    again = await management.ask("other", "POST", "/projects", json={"project_name": "team"})
    assert again.status_code == 409
    assert again.json()["errors"][0]["message"] == "The project named team already exists"
    head = await management.ask("other", "HEAD", "/projects?project_name=team")
    assert head.status_code == 200
    assert (await management.ask("other", "HEAD", "/projects?project_name=t")).status_code == 404


async def test_a_change_of_a_project_keeps_what_it_does_not_name(management):
    await management.add_project("team")
    path = "/projects/team"
    change = {"metadata": {"auto_scan": "TRUE", "severity": "High"}}
    assert (await management.ask("admin", "PUT", path, json=change)).status_code == 200
    change = {"metadata": {"public": "true"}}
    assert (await management.ask("admin", "PUT", path, json=change)).status_code == 200

    metadata = (await management.ask("", "GET", path)).json()["metadata"]
    assert metadata == {"public": "true", "auto_scan": "true", "severity": "high"}
    for wrong in ({"colour": "red"}, {"public": "maybe"}, {"severity": "worse"}):
        refused = await management.ask("admin", "PUT", path, json={"metadata": wrong})
        assert refused.status_code == 400, refused.text


async def test_metadata_is_set_one_by_one(management):
    await management.add_project("team")
    path = "/projects/team/metadatas"

    assert (await management.ask("admin", "POST", path, json={"auto_scan": "true"})).is_success
    again = await management.ask("admin", "POST", path, json={"auto_scan": "false"})
    assert again.status_code == 409
    two = await management.ask("admin", "POST", path, json={"severity": "low", "auto_scan": "true"})
    assert two.status_code == 400
    body = {"auto_scan": "false"}
    assert (await management.ask("admin", "PUT", f"{path}/auto_scan", json=body)).is_success
    assert (await management.ask("admin", "GET", f"{path}/auto_scan")).json() == body
    assert (await management.ask("admin", "PUT", f"{path}/severity", json=body)).status_code == 400
    assert (await management.ask("admin", "DELETE", f"{path}/auto_scan")).is_success
    assert (await management.ask("admin", "GET", f"{path}/auto_scan")).status_code == 404
    assert (await management.ask("admin", "GET", path)).json() == {"public": "false"}


async def test_a_project_with_images_is_not_removed(management):
    await management.add_project("team")
    assert (await management.push("admin", "team/app")).status_code == 201

    refused = await management.ask("admin", "DELETE", "/projects/team")
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (412, "PRECONDITION")
    said = (await management.ask("admin", "GET", "/projects/team/_deletable")).json()
    assert said["deletable"] is False
    assert "team/app" in said["message"]
    assert (await management.ask("admin", "GET", "/projects/team/summary")).json()[
        "repo_count"
    ] == 1
    await management.add_project("empty")
    assert (await management.ask("admin", "DELETE", "/projects/empty")).status_code == 200
    assert (await management.ask("admin", "GET", "/projects/empty")).status_code == 404


async def test_members_are_users_and_groups(management):
    user = await management.add_user("dora")
    project = await management.add_project("team")
    group = await created(management, "admin", "/usergroups", group_name="devs", group_type=3)
    path = f"/projects/{project}/members"

    member = await created(management, "admin", path, role_id=3, member_user={"username": "dora"})
    other = await created(management, "admin", path, role_id=2, member_group={"id": group})

    listed = (await management.ask("dora", "GET", path)).json()
    assert listed == [
        {
            "id": member,
            "project_id": project,
            "entity_name": "dora",
            "role_name": "guest",
            "role_id": 3,
            "entity_id": user,
            "entity_type": "u",
        },
        {
            "id": other,
            "project_id": project,
            "entity_name": "devs",
            "role_name": "developer",
            "role_id": 2,
            "entity_id": group,
            "entity_type": "g",
        },
    ]
    some = await management.ask("dora", "GET", f"{path}?entityname=DEV")
    assert [one["entity_name"] for one in some.json()] == ["devs"]
    again = await management.ask(
        "admin", "POST", path, json={"role_id": 1, "member_user": {"user_id": user}}
    )
    assert again.status_code == 409
    assert (await management.push("dora", "team/app")).status_code == 403
    one = f"{path}/{member}"
    assert (await management.ask("admin", "PUT", one, json={"role_id": 4})).status_code == 200
    assert (await management.push("dora", "team/app")).status_code == 201
    assert (await management.ask("admin", "DELETE", one)).status_code == 200
    assert (await management.ask("admin", "GET", one)).status_code == 404
    assert (await management.push("dora", "team/app")).status_code == 403


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"role_id": 9, "member_user": {"username": "dora"}}, 400),
        ({"role_id": 1}, 400),
        ({"role_id": 1, "member_user": {"user_id": 2}, "member_group": {"id": 1}}, 400),
        ({"role_id": 1, "member_user": {"username": "nobody"}}, 404),
        ({"role_id": 1, "member_group": {"ldap_group_dn": "cn=x"}}, 404),
        ({"role_id": 1, "member_group": {"group_name": "x", "group_type": 9}}, 400),
        ({"role_id": 1, "member_user": {"user_id": 2**70}}, 422),
    ],
)
async def test_a_member_that_cannot_be_is_refused(management, body, status):
    await management.add_user("dora")
    await management.add_project("team")

    reply = await management.ask("admin", "POST", "/projects/team/members", json=body)

    assert reply.status_code == status, reply.text


async def test_a_member_of_another_project_is_not_found(management):
    await management.add_user("dora")
    await management.add_user("owner")
    await management.add_project("mine", {"owner": Role.PROJECT_ADMIN})
    await management.add_project("theirs", {"dora": Role.GUEST})
    (member,) = (await management.ask("admin", "GET", "/projects/theirs/members")).json()

    for method, body in (("GET", None), ("PUT", {"role_id": 1}), ("DELETE", None)):
        path = f"/projects/mine/members/{member['id']}"
        assert (await management.ask("owner", method, path, json=body)).status_code == 404
    (after,) = (await management.ask("admin", "GET", "/projects/theirs/members")).json()
    assert after == member


async def test_groups_are_made_found_renamed_and_removed(management):
    await management.add_user("dora")
    dn = "cn=devs,dc=example,dc=org"
    missing = await management.ask("admin", "POST", "/usergroups", json={"group_type": 1})
    assert missing.status_code == 400
    group = await created(
        management, "admin", "/usergroups", group_name="devs", group_type=1, ldap_group_dn=dn
    )
    assert (await management.ask("admin", "GET", f"/usergroups/{group}")).json() == {
        "id": group,
        "group_name": "devs",
        "group_type": GroupKind.LDAP,
        "ldap_group_dn": dn,
    }
    again = {"group_name": "x", "group_type": 1, "ldap_group_dn": dn}
    assert (await management.ask("admin", "POST", "/usergroups", json=again)).status_code == 409
    found = (await management.ask("dora", "GET", "/usergroups/search?groupname=DE")).json()
    assert [one["group_name"] for one in found] == ["devs"]
    renamed = {"group_name": "developers"}
    path = f"/usergroups/{group}"
    assert (await management.ask("admin", "PUT", path, json=renamed)).status_code == 200
    listed = await management.ask("admin", "GET", "/usergroups", params={"ldap_group_dn": dn})
    assert [one["group_name"] for one in listed.json()] == ["developers"]
    assert (await management.ask("admin", "DELETE", path)).status_code == 200
    assert (await management.ask("admin", "GET", path)).status_code == 404
