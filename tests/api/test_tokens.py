"""Personal access tokens: less than their user may, for as long as they last."""

import time

import anyio
import pytest
from sqlalchemy import update

from longshore.identity import store
from longshore.identity.model import Role
from longshore.identity.tables import access_tokens
from tests.api.test_who_may import ROUTES

pytestmark = pytest.mark.anyio

TOKENS = "/api/longshore/v1/tokens"
MANIFEST = "/v2/team/app/manifests/latest"


@pytest.fixture
async def team(management):
    for user in ("boss", "dora"):
        await management.add_user(user)
    await management.add_project("team", {"boss": Role.PROJECT_ADMIN, "dora": Role.DEVELOPER})
    await management.add_project("second", {"boss": Role.PROJECT_ADMIN})
    await management.add_project("open", public=True)
    for name in ("team/app", "second/app", "open/app"):
        assert (await management.push("admin", name)).status_code == 201
    return management


async def made(team, by, *scopes, **values):
    """The token and its id."""
    body = {"name": f"for {' '.join(scopes)} {time.time()}", "scopes": scopes, **values}
    reply = await team.ask(by, "POST", TOKENS, json=body)
    assert reply.status_code == 201, reply.text
    return reply.json()["token"], reply.json()["id"]


async def test_a_token_is_a_password_that_may_do_less(team):
    pull, _ = await made(team, "boss", "pull")
    push, _ = await made(team, "boss", "push")
    delete, _ = await made(team, "boss", "delete")

    async def statuses(token, name="team/app"):
        upload = f"/v2/{name}/blobs/uploads/"
        return [
            (await team.ask("boss", "GET", f"/v2/{name}/tags/list", password=token)).status_code,
            (await team.ask("boss", "POST", upload, password=token)).status_code,
            (
                await team.ask("boss", "DELETE", f"/v2/{name}/manifests/v9", password=token)
            ).status_code,
        ]

    assert await statuses(pull) == [200, 403, 403]
    assert await statuses(push) == [200, 202, 403]
    assert await statuses(delete) == [200, 202, 405]  # allowed, and switched off
    assert await statuses(pull, "open/app") == [200, 403, 403]
    # No more than its user may, whatever its scopes.
    developer, _ = await made(team, "dora", "delete", "manage")
    refused = await team.ask("dora", "DELETE", MANIFEST, password=developer)
    assert refused.status_code == 403


async def test_a_token_is_good_for_the_token_service_and_ends_with_it(team):
    token, id = await made(team, "boss", "push")
    asked = "/v2/token?service=longshore&scope=repository:team/app:pull,push,delete"
    issued = (await team.ask("boss", "GET", asked, password=token)).json()
    assert issued["scope"] == "repository:team/app:pull,push"
    bearer = {"Authorization": f"Bearer {issued['token']}"}
    assert (await team.ask("", "GET", MANIFEST, headers=bearer)).status_code == 200
    assert (await team.ask("boss", "DELETE", f"{TOKENS}/{id}")).status_code == 200
    assert (await team.ask("", "GET", MANIFEST, headers=bearer)).status_code == 401
    assert (await team.ask("boss", "GET", MANIFEST, password=token)).status_code == 401


async def test_a_token_for_one_project_knows_no_other(team):
    for by in ("boss", "admin"):
        token, _ = await made(team, by, "push", projects=["team"])

        async def get(path, token=token, by=by):
            return await team.ask(by, "GET", path, password=token)

        assert (await get(MANIFEST)).status_code == 200
        assert (await get("/v2/second/app/tags/list")).status_code == 404
        names = {one["name"] for one in (await get("/projects")).json()}
        assert names == {"team", "open", "library"}
        assert (await get("/v2/_catalog")).json()["repositories"] == ["open/app", "team/app"]


async def test_an_administrators_token_administers_only_with_the_scope_for_that(team):
    pull, _ = await made(team, "admin", "pull")
    manage, _ = await made(team, "admin", "manage")

    assert (await team.ask("admin", "GET", MANIFEST, password=pull)).status_code == 200
    assert (await team.ask("admin", "GET", "/users", password=pull)).status_code == 403
    assert (await team.ask("admin", "GET", "/users", password=manage)).status_code == 200
    bearer = {"Authorization": f"Bearer {manage}"}
    assert (await team.ask("", "GET", "/users", headers=bearer)).status_code == 200
    assert (await team.ask("", "GET", "/users/current", headers=bearer)).json()[
        "username"
    ] == "admin"
    created = await team.ask("", "POST", "/projects", headers=bearer, json={"project_name": "made"})
    assert created.status_code == 201
    assert (await team.ask("admin", "GET", "/projects/made")).json()["owner_name"] == "admin"


async def test_a_token_makes_no_tokens_and_opens_no_session(team):
    manage, id = await made(team, "boss", "manage")
    for method, path in (("GET", TOKENS), ("POST", TOKENS), ("DELETE", f"{TOKENS}/{id}")):
        refused = await team.ask("boss", method, path, password=manage, json={})
        assert refused.status_code == 403, (method, path)
    login = {"principal": "boss", "password": manage}
    assert (await team.ask("", "POST", "/c/login", data=login)).status_code == 401


async def test_a_token_that_only_pulls_changes_nothing(team):
    """Every route that changes something, with the token of an administrator."""
    token, _ = await made(team, "admin", "pull")
    entered = set()
    for row in ROUTES:
        method, path = row.split(" ", 1)
        if method in ("GET", "HEAD"):
            continue
        filled = path.replace("{project}", "team").replace("{repository:path}", "app")
        filled = filled.replace("{reference}", "latest").replace("{meta_name}", "severity")
        for parameter in ROUTES[row].param_convertors:
            filled = filled.replace(f"{{{parameter}}}", "1")
        reply = await team.ask("admin", method, filled, password=token, json={})
        assert reply.status_code < 500, (row, reply.text)
        if reply.status_code not in (401, 403):
            entered.add(row)
    # Both are refused for what is missing in the body, before anything is looked at.
    assert entered <= {"POST /c/login", "POST /labels", "POST /robots"}


async def test_an_end_networks_and_removed_users_end_it(team):
    token, id = await made(team, "boss", "pull", days=30)
    await team.database.write(
        lambda connection: connection.execute(
            update(access_tokens).values(expires_at=time.time() + 0.5)
        )
    )
    assert (await team.ask("boss", "GET", MANIFEST, password=token)).status_code == 200
    await anyio.sleep(0.6)
    assert "has expired" in (await team.ask("boss", "GET", MANIFEST, password=token)).text

    away, _ = await made(team, "boss", "pull", allowed_networks=["192.0.2.7"])
    assert "not for use from" in (await team.ask("boss", "GET", MANIFEST, password=away)).text
    good, _ = await made(team, "boss", "pull")
    assert (await team.ask("dora", "GET", MANIFEST, password=good)).status_code == 401
    await team.change(store.set_disabled, name="boss", disabled=True)
    assert "disabled" in (await team.ask("boss", "GET", MANIFEST, password=good)).text
    await team.change(store.remove_user, name="boss")
    assert (await team.ask("boss", "GET", MANIFEST, password=good)).status_code == 401
    assert id


async def test_what_is_refused_is_no_use(team):
    away, elsewhere = await made(team, "boss", "pull", allowed_networks=["192.0.2.7"])
    ended, old = await made(team, "boss", "pull", days=30)
    statement = update(access_tokens).where(access_tokens.c.id == old).values(expires_at=1.0)
    await team.database.write(lambda connection: connection.execute(statement))
    good, used = await made(team, "boss", "pull")
    for token, status in ((away, 401), (ended, 401), (good, 200)):
        assert (await team.ask("boss", "GET", MANIFEST, password=token)).status_code == status

    async def last(id):
        shown = (await team.ask("boss", "GET", f"{TOKENS}/{id}")).json()
        return shown["last_used_from"]

    assert [await last(id) for id in (elsewhere, old, used)] == ["", "", "127.0.0.1"]


async def test_a_token_is_replaced_while_both_count(team):
    token, id = await made(team, "boss", "pull", days=30)
    reply = await team.ask("boss", "POST", f"{TOKENS}/{id}/rotate", json={"overlap": 3600})
    new = reply.json()["token"]
    assert (await team.ask("boss", "GET", MANIFEST, password=token)).status_code == 200
    assert (await team.ask("boss", "GET", MANIFEST, password=new)).status_code == 200
    last = await team.ask("boss", "POST", f"{TOKENS}/{id}/rotate", json={})
    assert (await team.ask("boss", "GET", MANIFEST, password=new)).status_code == 401
    shown = (await team.ask("boss", "GET", f"{TOKENS}/{id}")).json()
    assert shown["expiration_time"] > shown["creation_time"]
    assert shown["last_used_from"] == "127.0.0.1"
    assert last.json()["token"] not in str(shown)


async def test_tokens_are_their_users_own_and_administrators_end_them(team):
    _, id = await made(team, "boss", "pull")
    user = (await team.ask("boss", "GET", "/users/current")).json()["user_id"]
    assert (await team.ask("dora", "GET", f"{TOKENS}/{id}")).status_code == 404
    assert (await team.ask("dora", "DELETE", f"{TOKENS}/{id}")).status_code == 404
    assert (await team.ask("dora", "POST", f"{TOKENS}/{id}/rotate", json={})).status_code == 404
    of_boss = f"/api/longshore/v1/users/{user}/tokens"
    (found,) = (await team.ask("admin", "GET", of_boss)).json()
    assert found["id"] == id
    assert (await team.ask("admin", "DELETE", f"{of_boss}/{id}")).status_code == 200
    assert (await team.ask("boss", "GET", TOKENS)).json() == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"scopes": []}, "needs a scope"),
        ({"scopes": ["fly"]}, "'fly' is no scope"),
        ({"name": " x"}, "is no name of an access token"),
        ({"allowed_networks": ["x"]}, "is no network"),
    ],
)
async def test_nonsense_is_refused_with_what_is_wrong(team, change, told):
    body = {"name": "x", "scopes": ["pull"], **change}
    refused = await team.ask("boss", "POST", TOKENS, json=body)
    assert refused.status_code == 400
    assert told in refused.text


async def test_who_has_no_password_here_gets_a_cli_secret(team):
    user = await team.change(store.add_user, name="olga", password_hash=None, now=1.0)
    await team.change(store.set_member, project="team", user="olga", role=Role.DEVELOPER)
    path = f"/users/{user}/cli_secret"

    assert (await team.ask("admin", "PUT", path, json={"secret": "easy"})).status_code == 400
    assert (await team.ask("boss", "PUT", path, json={"secret": "Sea2Shining"})).status_code == 403
    assert (await team.ask("admin", "PUT", path, json={"secret": "Sea2Shining"})).status_code == 200
    assert (await team.ask("olga", "GET", MANIFEST, password="Sea2Shining")).status_code == 200
    assert (await team.ask("olga", "GET", MANIFEST, password="Sea2Shine")).status_code == 401
    again = await team.ask(
        "olga", "PUT", path, json={"secret": "Other2more"}, password="Sea2Shining"
    )
    assert again.status_code == 403
    assert (await team.ask("admin", "PUT", path, json={"secret": "Other2more"})).status_code == 200
    assert (await team.ask("olga", "GET", MANIFEST, password="Sea2Shining")).status_code == 401
    assert (await team.push("olga", "team/app", "v2")).status_code == 401
    team.passwords["olga"] = "Other2more"
    assert (await team.push("olga", "team/app", "v2")).status_code == 201
    boss = (await team.ask("boss", "GET", "/users/current")).json()["user_id"]
    local = await team.ask(
        "admin", "PUT", f"/users/{boss}/cli_secret", json={"secret": "Sea2Shining"}
    )
    assert local.status_code == 412


async def test_no_directory_is_asked_about_a_token(team):
    """Also one that is none here: it may be one elsewhere."""
    asked = await team.ask("boss", "GET", MANIFEST, password="lsp_" + "Aa1" + "x" * 40)
    assert asked.status_code == 401
