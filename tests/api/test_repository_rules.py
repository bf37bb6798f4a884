"""Rules about repositories, at every door that they guard, on both databases."""

import pytest

from longshore.identity import store
from longshore.identity.model import GroupKind, Role
from longshore.identity.permissions import Permission
from longshore.testing.builders import image
from tests.outbox.listening import until

pytestmark = pytest.mark.anyio

OWN = "/api/longshore/v1/projects"
SECRET = image([b"what only some of the members may read"])
BLOB = SECRET.blobs[0].digest


async def add_rule(management, effect, pattern, *actions, by="admin", project="team", **subject):
    subject = {"type": next(iter(subject)), **next(iter(subject.values()))}
    body: dict[str, object] = {
        "pattern": pattern,
        "effect": effect,
        "actions": actions,
        "subject": subject,
    }
    return await management.ask(by, "POST", f"{OWN}/{project}/repository-rules", json=body)


async def ruled(management, *rule, **subject):
    reply = await add_rule(management, *rule, **subject)
    assert reply.status_code == 201, reply.text
    return int(reply.headers["location"].rpartition("/")[2])


async def populated(management, *, public=False):
    """``team`` with a user for each role, and images in ``app``, ``secret/one`` and ``release/app``."""
    for role in Role:
        await management.add_user(role.word)
    await management.add_user("stranger")
    await management.add_project("team", {role.word: role for role in Role}, public=public)
    for name in ("team/app", "team/secret/one", "team/release/app"):
        assert (await management.push("admin", name, content=SECRET)).status_code == 201


def message(reply):
    return reply.json()["errors"][0]["message"]


async def pull(management, who, name):
    reply = await management.ask(who, "GET", f"/v2/{name}/manifests/latest")
    return reply.status_code


async def token(management, who, *scopes):
    params = {"service": "longshore", "scope": list(scopes)}
    reply = await management.ask(who, "GET", "/v2/token", params=params)
    return reply.json()


async def test_a_rule_is_made_listed_read_changed_and_removed(management):
    await populated(management)
    rule = await ruled(management, "deny", "secret/**", "push", role={"name": "developer"})
    path = f"{OWN}/team/repository-rules"

    (listed,) = (await management.ask("project-admin", "GET", path)).json()
    one = (await management.ask("project-admin", "GET", f"{path}/{rule}")).json()
    assert listed == one
    assert one.items() >= {"effect": "deny", "pattern": "secret/**", "actions": ["push"]}.items()
    assert one["subject"] == {"type": "role", "id": 2, "name": "developer"}
    assert one["description"] == (
        f"repository rule {rule} of project 'team' takes push in 'secret/**' from the role 'developer'"
    )
    change: dict[str, object] = {"effect": "allow", "pattern": "*", "actions": ["pull", "delete"]}
    change["subject"] = {"type": "user", "name": "guest"}
    assert (await management.ask("admin", "PUT", f"{path}/{rule}", json=change)).status_code == 200
    one = (await management.ask("admin", "GET", f"{path}/{rule}")).json()
    assert (one["actions"], one["subject"]["name"]) == (["pull", "delete"], "guest")
    other = await management.add_project("other")
    for method, json in (("GET", None), ("PUT", change), ("DELETE", None)):
        elsewhere = f"{OWN}/{other}/repository-rules/{rule}"
        assert (await management.ask("admin", method, elsewhere, json=json)).status_code == 404
    assert (await management.ask("admin", "DELETE", f"{path}/{rule}")).status_code == 200
    assert (await management.ask("admin", "GET", path)).json() == []


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"pattern": ""}, 400),
        ({"pattern": "a***"}, 400),
        ({"pattern": "Team/app"}, 400),
        ({"pattern": "(a|b)"}, 400),
        ({"actions": []}, 422),
        ({"actions": ["sell"]}, 422),
        ({"effect": "maybe"}, 422),
        ({"subject": {"type": "user", "name": "nobody"}}, 400),
        ({"subject": {"type": "role", "name": "nobody"}}, 400),
        ({"subject": {"type": "group", "id": 99}}, 400),
        ({"effect": "allow", "subject": {"type": "non-member"}}, 400),
    ],
)
async def test_a_rule_that_cannot_be_is_refused(management, wrong, status):
    await management.add_project("team")
    body: dict[str, object] = {"pattern": "**", "effect": "deny", "actions": ["pull"]}
    body["subject"] = {"type": "role", "id": 3}
    path = f"{OWN}/team/repository-rules"
    reply = await management.ask("admin", "POST", path, json=body | wrong)

    assert reply.status_code == status, reply.text


async def test_what_a_rule_takes_is_gone_at_every_door(management):
    await populated(management)
    rule = await ruled(management, "deny", "secret/**", "pull", role={"name": "maintainer"})
    named = f"repository rule {rule} of project 'team' takes"

    assert await pull(management, "developer", "team/secret/one") == 200
    assert await pull(management, "maintainer", "team/app") == 200
    for name in ("team/secret/one", "team/secret/none"):
        for method, path in (
            ("GET", "manifests/latest"),
            ("HEAD", "manifests/latest"),
            ("GET", f"blobs/{BLOB}"),
            ("GET", "tags/list"),
            ("GET", f"referrers/{SECRET.manifest.digest}"),
            ("DELETE", f"manifests/{SECRET.manifest.digest}"),
            ("DELETE", f"blobs/{BLOB}"),
            ("POST", "blobs/uploads/"),
            ("PUT", "manifests/latest"),
        ):
            refused = await management.ask("maintainer", method, f"/v2/{name}/{path}")
            assert refused.status_code == 403, (method, path)
            if method != "HEAD":
                assert named in message(refused)
                assert named in refused.json()["errors"][0]["detail"][0]["Reason"]
                # What is hidden is not described.
                assert "secret/**" not in refused.text
        inner = name.removeprefix("team/").replace("/", "%252F")
        one = f"/projects/team/repositories/{inner}"
        for method, path in (
            ("GET", one),
            ("PUT", one),
            ("DELETE", one),
            ("GET", f"{one}/artifacts"),
            ("GET", f"{one}/artifacts/latest"),
            ("DELETE", f"{one}/artifacts/latest"),
            ("GET", f"{one}/artifacts/latest/tags"),
            ("POST", f"{one}/artifacts/latest/tags"),
            ("GET", f"{one}/artifacts/latest/additions/build_history"),
            ("POST", f"{one}/artifacts?from=team/app:latest"),
        ):
            body = {"name": "x"} if method in ("PUT", "POST") else None
            refused = await management.ask("maintainer", method, path, json=body)
            assert refused.status_code == 403, (method, path)
            assert named in message(refused)
    copied = await management.ask(
        "maintainer",
        "POST",
        "/projects/team/repositories/app/artifacts?from=team/secret/one:latest",
    )
    assert copied.status_code == 403


async def test_lists_leave_out_what_a_rule_takes(management):
    await populated(management)
    await ruled(management, "deny", "secret/**", "pull", role={"name": "guest"})
    open_ = ["team/app", "team/release/app"]

    async def names(who, path, field="name"):
        reply = await management.ask(who, "GET", path)
        assert reply.status_code == 200, reply.text
        return sorted(one[field] for one in reply.json()), reply.headers.get("x-total-count")

    for who, expected in (("guest", open_), ("developer", [*open_, "team/secret/one"])):
        catalog = await management.ask(who, "GET", "/v2/_catalog")
        assert catalog.json()["repositories"] == sorted(expected)
        count = str(len(expected))
        assert await names(who, "/repositories") == (expected, count)
        assert await names(who, "/projects/team/repositories") == (expected, count)
        found = await names(who, "/projects/team/artifacts", "repository_name")
        assert found == (expected, count)
        searched = (await management.ask(who, "GET", "/search?q=team")).json()["repository"]
        assert sorted(one["repository_name"] for one in searched) == expected
        counted = (await management.ask(who, "GET", "/statistics")).json()
        assert counted["private_repo_count"] == len(expected)


async def test_tokens_and_mounts_know_of_rules(management):
    await populated(management)
    await management.add_project("mine", {"developer": Role.DEVELOPER})
    scopes = ("repository:team/secret/one:pull", "repository:mine/app:pull,push")
    before = (await token(management, "developer", *scopes))["token"]
    mount = f"/v2/mine/app/blobs/uploads/?mount={BLOB}&from=team/secret/one"
    bearer = {"Authorization": f"Bearer {before}"}
    assert (await management.ask("", "POST", mount, headers=bearer)).status_code == 201

    await ruled(management, "deny", "secret/*", "pull", user={"name": "developer"})
    mount = mount.replace("mine/app", "mine/new")
    more = (*scopes, "repository:mine/new:pull,push")
    body = await token(management, "developer", *more)
    assert body["scope"] == "repository:mine/app:pull,push repository:mine/new:pull,push"
    manifest = "/v2/team/secret/one/manifests/latest"
    assert (await management.ask("", "GET", manifest, headers=bearer)).status_code == 403
    unmounted = {"Authorization": f"Bearer {body['token']}"}
    assert (await management.ask("", "POST", mount, headers=unmounted)).status_code == 202
    assert (await management.ask("developer", "POST", mount)).status_code == 202


async def test_a_rule_gives_more_than_a_role_and_another_takes_it_again(management):
    await populated(management)
    path = "/projects/team/repositories/app"
    assert (await management.push("guest", "team/app", "v2")).status_code == 403
    given = await ruled(management, "allow", "app", "push", user={"name": "guest"})
    assert (await management.push("guest", "team/app", "v2")).status_code == 201
    described = await management.ask("guest", "PUT", path, json={"description": "x"})
    assert described.status_code == 200
    assert (await management.ask("guest", "DELETE", path)).status_code == 403
    elsewhere = await management.push("guest", "team/other")
    assert elsewhere.status_code == 403
    assert "user 'guest' is guest of project 'team', which is to pull" in message(elsewhere)
    assert (await management.push("limited-guest", "team/app", "v3")).status_code == 403

    taken = await ruled(management, "deny", "a*", "push", role={"name": "guest"})
    assert taken > given
    refused = await management.push("guest", "team/app", "v4")
    assert refused.status_code == 403
    said = f"repository rule {taken} of project 'team' takes push in 'a*' from the role 'guest'"
    assert said in message(refused)
    assert await pull(management, "guest", "team/app") == 200


async def test_a_role_that_opens_nothing_is_given_one_repository(management):
    await populated(management)
    pulls = frozenset({Permission("project", "read")})
    role = await management.change(store.add_role, name="visitor", permissions=pulls, now=1.0)
    visitor = await management.change(store.any_role, id=role)
    await management.add_user("vera")
    await management.change(store.set_member, project="team", user="vera", role=visitor)
    assert (await management.ask("vera", "GET", "/projects/team/repositories")).status_code == 403

    await ruled(management, "allow", "release/*", "pull", role={"name": "visitor"})
    assert await pull(management, "vera", "team/release/app") == 200
    assert await pull(management, "vera", "team/app") == 403
    listed = await management.ask("vera", "GET", "/projects/team/repositories")
    assert [one["name"] for one in listed.json()] == ["team/release/app"]
    catalog = await management.ask("vera", "GET", "/v2/_catalog")
    assert catalog.json()["repositories"] == ["team/release/app"]
    artifact = "/projects/team/repositories/release%252Fapp/artifacts/latest"
    assert (await management.ask("vera", "GET", artifact)).status_code == 200


async def test_rules_name_members_only(management):
    await populated(management)
    stranger = await management.change(store.user_id, name="stranger")
    group = await management.change(store.add_group, kind=GroupKind.TEAM, name="g", now=1.0)
    await management.change(store.add_to_group, group=group, user=stranger)
    await ruled(management, "allow", "**", "push", user={"id": stranger})
    await ruled(management, "allow", "**", "push", group={"id": group})
    assert await pull(management, "stranger", "team/app") == 404
    assert (await management.push("stranger", "team/app")).status_code == 403

    await management.change(
        store.set_member, project="team", user="stranger", role=Role.LIMITED_GUEST
    )
    assert (await management.push("stranger", "team/app")).status_code == 201
    await management.change(store.remove_user, name="stranger")
    left = (await management.ask("admin", "GET", f"{OWN}/team/repository-rules")).json()
    assert [one["subject"]["type"] for one in left] == ["group"]


async def test_a_public_project_closes_a_repository_to_who_is_no_member(management):
    await populated(management, public=True)
    await management.add_project("hidden")
    rule = await ruled(management, "deny", "secret/**", "pull", **{"non-member": {}})
    await ruled(management, "deny", "**", "pull", project="hidden", **{"non-member": {}})

    assert await pull(management, "", "team/app") == 200
    assert await pull(management, "", "team/secret/one") == 401
    assert await pull(management, "limited-guest", "team/secret/one") == 200
    refused = await management.ask("stranger", "GET", "/v2/team/secret/one/manifests/latest")
    assert refused.status_code == 403
    assert f"rule {rule} of project 'team' takes pull from whoever is no member" in message(refused)
    assert "secret/**" not in refused.text
    listed = await management.ask("", "GET", "/projects/team/repositories")
    assert [one["name"] for one in listed.json()] == ["team/release/app", "team/app"]
    body = await token(management, "", "repository:team/secret/one:pull")
    assert body["scope"] == ""
    # A private project with such a rule looks like none.
    hidden = await management.ask("stranger", "GET", "/v2/hidden/app/manifests/latest")
    missing = await management.ask("stranger", "GET", "/v2/nowhere/app/manifests/latest")
    assert hidden.status_code == missing.status_code == 404
    assert hidden.text.replace("hidden", "nowhere") == missing.text
    hidden = await management.ask("", "GET", "/v2/hidden/app/manifests/latest")
    missing = await management.ask("", "GET", "/v2/nowhere/app/manifests/latest")
    assert hidden.text.replace("hidden", "nowhere") == missing.text


async def test_project_administrators_are_bound_and_may_lift_a_rule(management):
    await populated(management)
    rule = await ruled(management, "deny", "release/**", "push", role={"name": "project-admin"})

    assert (await management.push("project-admin", "team/release/app", "v2")).status_code == 403
    assert (await management.push("admin", "team/release/app", "v2")).status_code == 201
    # They still choose members, who are bound by their own rules.
    await management.add_user("new")
    member = {"role_id": 2, "member_user": {"username": "new"}}
    made = await management.ask("project-admin", "POST", "/projects/team/members", json=member)
    assert made.status_code == 201
    path = f"{OWN}/team/repository-rules/{rule}"
    assert (await management.ask("project-admin", "DELETE", path)).status_code == 200
    assert (await management.push("project-admin", "team/release/app", "v2")).status_code == 201


async def test_nobody_gives_or_takes_by_a_rule_what_they_have_not(management):
    await populated(management)
    permissions = {("member", action) for action in ("create", "update", "delete", "read", "list")}
    role = await management.change(
        store.add_role,
        name="hr",
        permissions=Role.GUEST.permissions | frozenset(Permission(*one) for one in permissions),
        now=1.0,
    )
    await management.add_user("hr")
    hr = await management.change(store.any_role, id=role)
    await management.change(store.set_member, project="team", user="hr", role=hr)
    bound = await ruled(management, "deny", "secret/**", "pull", user={"name": "hr"})
    other = await ruled(management, "deny", "x", "push", role={"name": "developer"})

    for effect, action in (("allow", "push"), ("deny", "push"), ("allow", "pull")):
        refused = await add_rule(
            management, effect, "**", action, by="hr", role={"name": "limited-guest"}
        )
        assert refused.status_code == 403, (effect, action)
        assert "nobody gives or takes by a rule" in message(refused)
    for rule in (bound, other):
        path = f"{OWN}/team/repository-rules/{rule}"
        assert (await management.ask("hr", "DELETE", path)).status_code == 403
        body: dict[str, object] = {"pattern": "none", "effect": "deny", "actions": ["pull"]}
        body["subject"] = {"type": "user", "name": "guest"}
        assert (await management.ask("hr", "PUT", path, json=body)).status_code == 403
    # A second account would see what the first may not.
    member = {"role_id": 5, "member_user": {"username": "stranger"}}
    made = await management.ask("hr", "POST", "/projects/team/members", json=member)
    assert made.status_code == 403


async def test_names_without_a_project_are_rules_of_library(management):
    await management.add_user("bob")
    await management.change(store.set_member, project="library", user="bob", role=Role.DEVELOPER)
    assert (await management.push("admin", "tool")).status_code == 201
    await ruled(management, "deny", "tool", "pull", project="library", user={"name": "bob"})

    for name in ("tool", "library/tool"):
        assert await pull(management, "bob", name) == 403
        assert (await management.push("bob", name)).status_code == 403
    assert (await management.push("bob", "tools")).status_code == 201


async def test_a_project_has_so_many_rules_and_no_more(management):
    project = await management.add_project("team")
    body: dict[str, object] = {"pattern": "x", "effect": "deny", "actions": ["push"]}
    body["subject"] = {"type": "role", "id": 2}
    rule = await ruled(management, "deny", "x", "push", role={"id": 2})
    found = await management.change(store.find_rule, project=project, id=rule)

    def fill(connection):
        for _ in range(199):
            store.add_rule(connection, project, found, 1.0)

    await management.change(fill)
    refused = await management.ask("admin", "POST", f"{OWN}/team/repository-rules", json=body)
    assert refused.status_code == 412
    assert "200 repository rules" in message(refused)


async def test_who_is_over_quota_is_not_told_of_what_is_hidden_from_somebody(management):
    await populated(management)
    project = (await management.ask("admin", "GET", "/projects/team")).json()["project_id"]
    limit = {"hard": {"storage": 1}}
    assert (
        await management.ask("admin", "PUT", f"/quotas/{project}", json=limit)
    ).status_code == 200
    await ruled(management, "deny", "secret/**", "pull", role={"name": "developer"})

    content = image([b"too much"])
    refused = await management.push("developer", "team/app", "v2", content)
    assert refused.status_code == 403
    assert "team/release/app" in refused.text
    assert "secret" not in refused.text


async def test_rules_bind_access_tokens_and_give_them_no_more_than_their_scopes(management):
    await populated(management)
    await ruled(management, "deny", "secret/**", "pull", user={"name": "guest"})
    await ruled(management, "allow", "app", "push", user={"name": "guest"})
    secrets = {}
    for scope in ("pull", "push"):
        body = {"name": scope, "scopes": [scope]}
        made = await management.ask("guest", "POST", "/api/longshore/v1/tokens", json=body)
        assert made.status_code == 201, made.text
        secrets[scope] = made.json()["token"]

    async def status(secret, method, path):
        reply = await management.ask("guest", method, path, password=secret)
        return reply.status_code

    for secret in secrets.values():
        assert await status(secret, "GET", "/v2/team/app/manifests/latest") == 200
        assert await status(secret, "GET", "/v2/team/secret/one/manifests/latest") == 403
    uploads = "/v2/team/app/blobs/uploads/"
    assert await status(secrets["push"], "POST", uploads) == 202
    assert await status(secrets["pull"], "POST", uploads) == 403
    assert await status(secrets["push"], "POST", "/v2/team/other/blobs/uploads/") == 403


async def test_robots_of_other_projects_are_no_members(management):
    await populated(management, public=True)
    await management.add_project("other")
    await ruled(management, "deny", "secret/**", "pull", **{"non-member": {}})
    for project, expected in (("other", 403), ("team", 200)):
        access = [{"resource": "repository", "action": "pull"}]
        given = [{"kind": "project", "namespace": project, "access": access}]
        body = {"name": "ci", "level": "project", "duration": -1, "permissions": given}
        made = (await management.ask("admin", "POST", "/robots", json=body)).json()
        robot, secret = made["name"], made["secret"]
        for name, status in (("team/app", 200), ("team/secret/one", expected)):
            path = f"/v2/{name}/manifests/latest"
            reply = await management.ask(robot, "GET", path, password=secret)
            assert reply.status_code == status, (robot, name, reply.text)


async def test_who_is_bound_by_a_rule_makes_no_robot_that_goes_past_it(management):
    await populated(management)
    permissions = Role.GUEST.permissions | {Permission("robot", "create")}
    await management.change(store.add_role, name="tech", permissions=permissions, now=1.0)
    tech = await management.change(store.any_role, name="tech")
    await management.change(store.set_member, project="team", user="guest", role=tech)
    access = [{"resource": "repository", "action": "pull"}]
    given = [{"kind": "project", "namespace": "team", "access": access}]
    body = {"name": "one", "level": "project", "duration": -1, "permissions": given}
    assert (await management.ask("guest", "POST", "/robots", json=body)).status_code == 201
    await ruled(management, "deny", "secret/**", "pull", role={"name": "tech"})
    body["name"] = "two"
    assert (await management.ask("guest", "POST", "/robots", json=body)).status_code == 403


async def test_counts_and_logs_leave_out_what_a_rule_takes(management):
    await populated(management)
    path = "/v2/team/secret/one/manifests/latest"
    assert (await management.ask("admin", "GET", path)).status_code == 200

    async def logged(who, path):
        reply = await management.ask(who, "GET", path, params={"page_size": "100"})
        assert reply.status_code == 200, reply.text
        rows = reply.json()
        assert reply.headers["x-total-count"] == str(len(rows))
        return {row["resource"].partition(":")[0].partition("@")[0] for row in rows}

    async def counted(who):
        (listed,) = (await management.ask(who, "GET", "/projects", params={"name": "team"})).json()
        summary = (await management.ask(who, "GET", "/projects/team/summary")).json()
        return listed["repo_count"], summary["repo_count"]

    log = "/projects/team/logs"

    async def is_written():
        return {"team/app", "team/secret/one"} <= await logged("admin", log)

    await until(is_written)
    assert "team/secret/one" in await logged("project-admin", log)
    await ruled(management, "deny", "secret/**", "pull", role={"name": "project-admin"})

    for one in (log, "/projects/team/auditlog-exts", "/audit-logs", "/auditlog-exts"):
        assert "team/app" in await logged("project-admin", one)
        assert "team/secret/one" not in await logged("project-admin", one)
        assert "team/secret/one" in await logged("admin", one)
    assert await counted("project-admin") == (2, 2)
    assert await counted("admin") == (3, 3)
