"""Custom roles, at the management API and at the registry's door, on both databases."""

import anyio
import pytest

from longshore.identity import store
from longshore.identity.model import GroupKind, Role
from longshore.identity.permissions import PROJECT_ADMIN, Permission

pytestmark = pytest.mark.anyio

ROLES = "/api/longshore/v1/roles"
PULL, PUSH, DELETE = "repository/pull", "repository/push", "artifact/delete"


def shaped(permissions):
    return [dict(zip(("resource", "action"), text.split("/"), strict=True)) for text in permissions]


def body(name, *permissions, **more):
    return {"name": name, "permissions": shaped(permissions), **more}


async def made(management, name, *permissions):
    reply = await management.ask("admin", "POST", ROLES, json=body(name, *permissions))
    assert reply.status_code == 201, reply.text
    return int(reply.headers["location"].rpartition("/")[2])


async def give(management, by, project, role, user):
    member = {"role_id": role, "member_user": {"username": user}}
    return await management.ask(by, "POST", f"/projects/{project}/members", json=member)


def message(reply):
    return reply.json()["errors"][0]["message"]


async def test_a_role_is_made_listed_read_changed_and_removed(management):
    role = await made(management, "releaser", PULL, PUSH)
    await made(management, "cleaner", PULL, DELETE)
    assert role > max(Role)

    found = await management.ask("admin", "GET", ROLES)
    assert [one["name"] for one in found.json()] == ["cleaner", "releaser"]
    assert found.headers["x-total-count"] == "2"
    one = (await management.ask("admin", "GET", f"{ROLES}/{role}")).json()
    assert (one["id"], one["custom"]) == (role, True)
    # Whoever is a member may know that the project is there.
    assert one["permissions"] == shaped(["project/read", PULL, PUSH])

    change = {"description": "of releases", "permissions": shaped([PULL])}
    changed = await management.ask("admin", "PUT", f"{ROLES}/{role}", json=change)
    assert changed.status_code == 200, changed.text
    one = (await management.ask("admin", "GET", f"{ROLES}/{role}")).json()
    assert (one["name"], one["description"]) == ("releaser", "of releases")
    assert one["permissions"] == shaped(["project/read", PULL])

    taken = await management.ask("admin", "PUT", f"{ROLES}/{role}", json={"name": "cleaner"})
    assert taken.status_code == 409
    assert (await management.ask("admin", "DELETE", f"{ROLES}/{role}")).status_code == 200
    assert (await management.ask("admin", "GET", f"{ROLES}/{role}")).status_code == 404
    assert (await management.ask("admin", "DELETE", f"{ROLES}/{role}")).status_code == 404


async def test_harbors_roles_are_read_and_never_changed(management):
    for role in Role:
        one = (await management.ask("admin", "GET", f"{ROLES}/{role.value}")).json()
        assert (one["name"], one["custom"]) == (role.word, False)
        assert len(one["permissions"]) == len(role.permissions)
        path = f"{ROLES}/{role.value}"
        for method, json in (("PUT", {"permissions": []}), ("DELETE", None)):
            refused = await management.ask("admin", method, path, json=json)
            assert refused.status_code == 403, refused.text


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        (body("Releaser", PULL), 400),
        (body("", PULL), 400),
        (body("x" * 65, PULL), 400),
        (body("developer", PULL), 400),
        (body("releaser", "repository/sell"), 400),
        # A project administrator has no such permission: lists of metadata are for administrators.
        (body("releaser", "metadata/list"), 400),
        (body("releaser", "user/create"), 400),
        (body("taken", PULL), 409),
        ({"name": "releaser"}, 422),
    ],
)
async def test_a_role_that_cannot_be_is_refused(management, wrong, status):
    await made(management, "taken", PULL)
    reply = await management.ask("admin", "POST", ROLES, json=wrong)

    assert reply.status_code == status, reply.text


async def test_a_member_with_a_custom_role_may_do_what_it_says_and_no_more(management):
    await management.add_user("bob")
    await management.add_project("team")
    assert (await management.push("admin", "team/app")).status_code == 201
    cleaner = await made(management, "cleaner", PULL, DELETE, "artifact/list")
    assert (await give(management, "admin", "team", cleaner, "bob")).status_code == 201

    path = "/projects/team/repositories/app/artifacts"
    assert (await management.ask("bob", "GET", "/v2/team/app/manifests/latest")).status_code == 200
    assert (await management.ask("bob", "GET", path)).status_code == 200
    refused = await management.push("bob", "team/app", "v2")
    assert refused.status_code == 403
    reason = "user 'bob' is 'cleaner' of project 'team', which is to pull and delete"
    assert reason in message(refused)
    assert reason in refused.json()["errors"][0]["detail"][0]["Reason"]
    assert (await management.ask("bob", "GET", "/projects/team/members")).status_code == 403
    assert (await management.ask("bob", "DELETE", f"{path}/latest")).status_code == 200

    shown = (await management.ask("bob", "GET", "/projects/team")).json()
    assert shown["current_user_role_id"] == cleaner
    assert shown["current_user_role_ids"] == [cleaner]


async def test_a_change_of_a_role_counts_at_once_for_its_members(management):
    await management.add_user("bob")
    await management.add_project("team")
    role = await made(management, "changing", PULL)
    await give(management, "admin", "team", role, "bob")
    assert (await management.push("bob", "team/app")).status_code == 403

    change = {"permissions": shaped([PULL, PUSH])}
    await management.ask("admin", "PUT", f"{ROLES}/{role}", json=change)
    assert (await management.push("bob", "team/app")).status_code == 201
    change = {"permissions": shaped([PULL])}
    await management.ask("admin", "PUT", f"{ROLES}/{role}", json=change)
    assert (await management.push("bob", "team/app")).status_code == 403


async def test_roles_of_a_person_add_up(management):
    bob = await management.add_user("bob")
    project = await management.add_project("team", {"bob": Role.GUEST})
    cleaner = await made(management, "cleaner", DELETE)
    group = await management.change(store.add_group, kind=GroupKind.TEAM, name="cleaners", now=1.0)
    await management.change(store.add_to_group, group=group, user=bob)
    member = {"role_id": cleaner, "member_group": {"id": group}}
    path = f"/projects/{project}/members"
    assert (await management.ask("admin", "POST", path, json=member)).status_code == 201
    await management.push("admin", "team/app")

    listed = {one["role_id"]: one for one in (await management.ask("bob", "GET", path)).json()}
    assert listed[cleaner]["role_name"] == "cleaner"
    assert listed[Role.GUEST.value]["role_name"] == "guest"
    shown = (await management.ask("bob", "GET", "/projects/team")).json()
    assert shown["current_user_role_id"] == Role.GUEST.value
    assert shown["current_user_role_ids"] == [Role.GUEST.value, cleaner]
    granted = await management.ask(
        "bob", "GET", f"/users/current/permissions?scope=/project/{project}&relative=true"
    )
    expected = Role.GUEST.permissions | {Permission("artifact", "delete")}
    assert granted.json() == shaped(map(str, sorted(expected)))
    refused = await management.push("bob", "team/app", "v2")
    assert "user 'bob' is guest and 'cleaner' of project 'team'" in message(refused)
    artifact = "/projects/team/repositories/app/artifacts/latest"
    assert (await management.ask("bob", "DELETE", artifact)).status_code == 200


async def test_nobody_gives_or_takes_a_role_that_may_do_more_than_they(management):
    for user in ("hr", "pia", "new"):
        await management.add_user(user)
    project = await management.add_project("team", {"pia": Role.PROJECT_ADMIN})
    hr = await made(
        management,
        "hr",
        PULL,
        *(f"member/{a}" for a in ("create", "read", "update", "delete", "list")),
    )
    pusher = await made(management, "pusher", PULL, PUSH)
    everything = await made(management, "everything", *map(str, PROJECT_ADMIN))
    assert (await give(management, "pia", "team", hr, "hr")).status_code == 201

    for role in (Role.PROJECT_ADMIN, Role.DEVELOPER, Role.LIMITED_GUEST, pusher, everything):
        refused = await give(management, "hr", "team", int(role), "new")
        assert refused.status_code == 403
        assert "nobody gives or takes a role" in message(refused)
    assert (await give(management, "hr", "team", hr, "new")).status_code == 201

    path = f"/projects/{project}/members"
    found = (await management.ask("hr", "GET", path)).json()
    members = {one["entity_name"]: f"{path}/{one['id']}" for one in found}
    raised = await management.ask("hr", "PUT", members["new"], json={"role_id": pusher})
    lowered = await management.ask("hr", "PUT", members["pia"], json={"role_id": hr})
    removed = await management.ask("hr", "DELETE", members["pia"])
    assert [raised.status_code, lowered.status_code, removed.status_code] == [403, 403, 403]
    given = await management.ask("pia", "PUT", members["new"], json={"role_id": everything})
    assert given.status_code == 200
    assert (await management.ask("hr", "DELETE", members["new"])).status_code == 403
    assert (await management.ask("pia", "DELETE", members["new"])).status_code == 200


async def test_a_role_that_members_have_stays_and_says_how_many(management):
    role = await made(management, "releaser", PULL)
    for user in ("bob", "eve"):
        await management.add_user(user)
    for project in ("one", "two"):
        await management.add_project(project)
        await give(management, "admin", project, role, "bob")
    await give(management, "admin", "two", role, "eve")

    refused = await management.ask("admin", "DELETE", f"{ROLES}/{role}")
    assert refused.status_code == 412
    assert "is that of 3 members in 2 projects" in message(refused)
    for user in ("bob", "eve"):
        await management.change(store.remove_user, name=user)
    assert (await management.ask("admin", "DELETE", f"{ROLES}/{role}")).status_code == 200
    gone = await give(management, "admin", "one", role, "admin")
    assert gone.status_code == 400
    assert "is no role" in message(gone)


async def test_a_role_given_while_it_is_removed_is_one_or_the_other(management):
    await management.add_project("team")
    for number in range(4):
        await management.add_user(f"u{number}")
        role = await made(management, f"role-{number}", PULL)
        statuses: dict[str, int] = {}

        async def remove(role=role, statuses=statuses):
            reply = await management.ask("admin", "DELETE", f"{ROLES}/{role}")
            statuses["removed"] = reply.status_code

        async def hire(role=role, user=f"u{number}", statuses=statuses):
            statuses["given"] = (await give(management, "admin", "team", role, user)).status_code

        async with anyio.create_task_group() as group:
            group.start_soon(remove)
            group.start_soon(hire)
        assert statuses in (
            {"removed": 200, "given": 400},
            {"removed": 200, "given": 404},
            {"removed": 412, "given": 201},
        )


async def test_roles_made_at_once_have_different_ids(management):
    found: list[int] = []

    async def make(number):
        found.append(await made(management, f"role-{number}", PULL))

    async with anyio.create_task_group() as group:
        for number in range(6):
            group.start_soon(make, number)
    assert len(set(found)) == 6


async def test_lists_name_only_what_a_custom_role_lets_one_pull(management):
    await management.add_user("bob")
    for project in ("open", "closed"):
        await management.add_project(project)
        assert (await management.push("admin", f"{project}/app")).status_code == 201
    reader = await made(management, "reader", PULL, "repository/list")
    scribe = await made(management, "scribe", "label/list")
    await give(management, "admin", "open", reader, "bob")
    await give(management, "admin", "closed", scribe, "bob")

    catalog = await management.ask("bob", "GET", "/v2/_catalog")
    assert catalog.json()["repositories"] == ["open/app"]
    listed = await management.ask("bob", "GET", "/repositories")
    assert [one["name"] for one in listed.json()] == ["open/app"]
    searched = (await management.ask("bob", "GET", "/search?q=app")).json()["repository"]
    assert [one["repository_name"] for one in searched] == ["open/app"]
    counted = (await management.ask("bob", "GET", "/statistics")).json()
    assert (counted["private_project_count"], counted["private_repo_count"]) == (2, 1)
    projects = await management.ask("bob", "GET", "/projects")
    assert [one["name"] for one in projects.json()] == ["closed", "library", "open"]
    hidden = await management.ask("bob", "GET", "/v2/closed/app/manifests/latest")
    assert hidden.status_code == 403
    assert "'scribe' of project 'closed', which opens no repository" in message(hidden)
