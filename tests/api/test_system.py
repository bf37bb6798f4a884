"""The configuration that administrators change while the registry runs, passwords, and what the registry is."""

from itertools import count

import anyio
import pytest
from sqlalchemy import text

from longshore.identity import lockout
from longshore.identity.lockout import PER_REGISTRATION
from longshore.identity.model import Role
from longshore.system.catalogue import KEYS
from longshore.testing.builders import image
from tests.services.browser import Browser
from tests.services.management import PASSWORD, management_of

pytestmark = pytest.mark.anyio

URL = "/configurations"


async def put(management, expected=200, **values):
    reply = await management.ask("admin", "PUT", URL, json=values)
    assert reply.status_code == expected, reply.text
    return reply


def _older(connection):
    connection.execute(text("UPDATE sessions SET last_seen_at = last_seen_at - 300"))


async def register(management, name, by="", **more):
    user = {"username": name, "password": PASSWORD, "realname": name, "email": f"{name}@x.org"}
    return await management.ask(by, "POST", "/users", json=user | more)


async def test_every_key_is_read_and_no_secret_is(management):
    await put(management, ldap_search_password="directory-pw", oidc_client_secret="provider-pw")

    found = (await management.ask("admin", "GET", URL)).json()

    assert set(found) == {name for name, key in KEYS.items() if not key.secret}
    assert found["auth_mode"] == {"value": "db_auth", "editable": True}
    assert found["session_timeout"]["value"] == 60
    assert found["quota_per_project_enable"]["value"] is True
    assert "-pw" not in str(found)

    def rows(connection):
        return str(connection.execute(text("SELECT * FROM system_settings")).all())

    assert "-pw" not in await management.database.read(rows)


@pytest.mark.parametrize("name", ["ldap_base_dn", "ldap_search_password"])
async def test_half_a_surrogate_pair_is_refused(management, name):
    body = b'{"%b": "\\ud800"}' % name.encode()
    headers = {"Content-Type": "application/json"}

    reply = await management.ask("admin", "PUT", URL, content=body, headers=headers)

    assert reply.status_code == 400, reply.text
    assert f"{name} holds half of a surrogate pair" in reply.text
    assert (await management.ask("admin", "GET", URL)).status_code == 200


async def test_keys_are_changed_one_by_one_and_what_is_none_is_passed_over(management):
    await put(management, banner_message='{"message":"hello"}', token_expiration=7)
    await put(management, session_timeout=30, no_such_key=1, ldap_url=None)

    found = (await management.ask("admin", "GET", URL)).json()
    assert found["banner_message"]["value"] == '{"message":"hello"}'
    assert (found["token_expiration"]["value"], found["session_timeout"]["value"]) == (7, 30)
    assert "no_such_key" not in found
    # Clients send back all that they read.
    await put(management, **{name: item["value"] for name, item in found.items()})


async def test_values_that_cannot_be_are_refused_and_nothing_is_changed(management):
    for status, values in (
        (400, {"auth_mode": "guess_auth"}),
        (400, {"session_timeout": 0}),
        (400, {"token_expiration": -1}),
        (400, {"robot_token_duration": 0}),
        (400, {"ldap_url": "http://directory"}),
        (400, {"ldap_scope": 7}),
        (400, {"oidc_endpoint": "https://:x"}),
        (400, {"banner_message": "no json"}),
        (400, {"ldap_filter": "x" * 5000}),
        (422, {"read_only": "true"}),
        (422, {"session_timeout": True}),
        (422, {"session_timeout": "60"}),
        (400, {"storage_per_project": 0}),
        (400, {"storage_per_project": -2}),
        (403, {"notification_enable": False}),
        (403, {"skip_audit_log_database": True}),
        (422, {"quota_per_project_enable": "false"}),
    ):
        reply = await put(management, status, project_creation_restriction="adminonly", **values)
        assert next(iter(values)) in reply.text
    found = (await management.ask("admin", "GET", URL)).json()
    assert found["project_creation_restriction"]["value"] == "everyone"


async def test_only_administrators_make_projects_when_they_say_so(management):
    await management.add_user("dora")
    await put(management, project_creation_restriction="adminonly")

    refused = await management.ask("dora", "POST", "/projects", json={"project_name": "one"})
    assert refused.status_code == 403
    assert "adminonly" in refused.text
    made = await management.ask("admin", "POST", "/projects", json={"project_name": "one"})
    assert made.status_code == 201


async def test_a_registry_that_is_made_read_only_is(management):
    await management.add_user("dora")
    await management.add_project("team", {"dora": Role.DEVELOPER})
    assert (await management.push("dora", "team/app")).status_code == 201
    await put(management, read_only=True)

    refused = await management.push("dora", "team/app", "other")
    assert refused.status_code == 403
    assert refused.json()["errors"][0]["code"] == "DENIED"
    assert "read-only" in refused.text
    reply = await management.ask("admin", "POST", "/projects", json={"project_name": "two"})
    assert (reply.status_code, reply.json()["errors"][0]["code"]) == (403, "DENIED")
    assert (await management.ask("dora", "GET", "/v2/team/app/manifests/latest")).status_code == 200
    assert (await management.ask("dora", "GET", "/v2/token")).status_code == 200
    assert (await Browser(management).log_in("dora")).status_code == 200
    assert (await management.ask("dora", "PUT", URL, json={"read_only": False})).status_code == 403
    await put(management, read_only=False)
    assert (await management.push("dora", "team/app", "other")).status_code == 201


async def test_other_nodes_know_of_a_change_with_the_next_request(database_url, tmp_path):
    async with (
        management_of(database_url, tmp_path, 0) as one,
        management_of(database_url, tmp_path, 1) as two,
    ):
        assert (await two.push("admin", "library/app")).status_code == 201
        await two.add_user("dora")
        await put(one, read_only=True)
        assert (await two.push("admin", "library/app", "other")).status_code == 403
        await put(two, read_only=False)
        assert (await one.push("admin", "library/app", "other")).status_code == 201
        await put(one, project_creation_restriction="adminonly")
        refused = await two.ask("dora", "POST", "/projects", json={"project_name": "mine"})
        assert refused.status_code == 403
        await put(two, project_creation_restriction="everyone", token_expiration=7)
        path = "/service/token?service=longshore"
        assert (await one.ask("dora", "GET", path)).json()["expires_in"] == 420
        made = await one.ask("dora", "POST", "/projects", json={"project_name": "mine"})
        assert made.status_code == 201
        await put(two, self_registration=True)
        assert (await register(one, "emil")).status_code == 201
        await put(one, self_registration=False)
        assert (await register(two, "fred")).status_code == 401
        browser = Browser(two)
        await browser.log_in("dora")
        browser.registry = one
        assert await browser.is_in()
        await two.database.write(_older)
        await put(two, session_timeout=4)
        assert not await browser.is_in()


async def test_tokens_and_sessions_last_as_long_as_the_configuration_says(management):
    path = "/service/token?service=longshore"
    before = (await management.ask("admin", "GET", path)).json()["expires_in"]
    await put(management, token_expiration=9)

    assert before == 300
    assert (await management.ask("admin", "GET", path)).json()["expires_in"] == 540

    browser = Browser(management)
    await browser.log_in("admin")

    await management.database.write(_older)
    await put(management, session_timeout=4)
    assert not await browser.is_in()


async def test_anybody_learns_a_little_and_who_logs_in_more(management):
    anybody = (await management.ask("", "GET", "/systeminfo")).json()
    more = (await management.ask("admin", "GET", "/systeminfo")).json()

    assert anybody == {"auth_mode": "db_auth"}
    assert more["harbor_version"].startswith("v2.16.0-")
    assert more["registry_url"] == "registry.test"
    assert more["external_url"] == "http://registry.test"
    assert more["read_only"] is False
    assert (await management.ask("", "GET", "/ping")).text == "Pong"
    assert (await management.ask("", "GET", "/api/version")).json() == {"version": "v2.0"}
    health = (await management.ask("", "GET", "/health")).json()
    assert health["status"] == "healthy"
    assert {part["name"] for part in health["components"]} >= {"core", "database", "registry"}


async def test_people_change_their_password_with_the_one_until_now(management):
    dora = await management.add_user("dora")
    browser = Browser(management)
    await browser.log_in("dora")
    path = f"/users/{dora}/password"
    new = {"old_password": PASSWORD, "new_password": "Another12"}
    wrong = new | {"old_password": "Wrong1234"}
    assert (await browser.ask("PUT", path, json=wrong)).status_code == 403
    same = new | {"new_password": PASSWORD}
    assert (await browser.ask("PUT", path, json=same)).status_code == 400
    easy = await browser.ask("PUT", path, json=new | {"new_password": "easy"})
    assert easy.status_code == 400
    assert "easy'" not in easy.text

    assert (await browser.ask("PUT", path, json=new)).status_code == 200

    assert not await browser.is_in()
    assert (await browser.log_in("dora")).status_code == 401
    assert (await browser.log_in("dora", "Another12")).status_code == 200


async def test_administrators_change_the_passwords_of_others_and_nobody_else_does(management):
    dora, _ = await management.add_user("dora"), await management.add_user("emil")
    path = f"/users/{dora}/password"
    new = {"new_password": "Another12"}
    assert (await management.ask("emil", "PUT", path, json=new)).status_code == 403
    assert (await management.ask("dora", "PUT", path, json=new)).status_code == 403
    assert (await management.ask("admin", "PUT", path, json=new)).status_code == 200
    assert (await management.ask("dora", "GET", "/users/current")).status_code == 401


async def test_who_has_no_password_here_is_given_none(management):
    user = await management.add_user("dora")

    def lose(connection):
        connection.execute(text("UPDATE users SET password_hash = NULL WHERE name = 'dora'"))

    await management.database.write(lose)

    path = f"/users/{user}/password"
    reply = await management.ask("admin", "PUT", path, json={"new_password": "Another12"})
    assert reply.status_code == 403


class TestRegistration:
    async def test_nobody_makes_themselves_a_user_unless_it_is_switched_on(self, management):
        refused = await register(management, "dora")
        assert refused.status_code == 401
        await put(management, self_registration=True)
        assert (await management.ask("", "GET", "/systeminfo")).json()["self_registration"] is True

        made = await register(management, "dora")

        assert made.status_code == 201, made.text
        found = (await management.ask("dora", "GET", "/users/current")).json()
        assert (found["username"], found["sysadmin_flag"]) == ("dora", False)
        assert (await register(management, "dora")).status_code == 409
        assert (await register(management, "emil", password="easy")).status_code == 400
        await put(management, self_registration=False)
        assert (await register(management, "emil")).status_code == 401

    async def test_nobody_makes_themselves_an_administrator(self, management):
        await put(management, self_registration=True)
        claims = {"sysadmin_flag": True, "is_admin": True, "admin_role_in_auth": True, "user_id": 1}

        assert (await register(management, "dora", **claims)).status_code == 201

        assert (await management.ask("dora", "GET", "/users")).status_code == 403
        found = (await management.ask("dora", "GET", "/users/current")).json()
        assert found["sysadmin_flag"] is False
        assert found["user_id"] != 1

    async def test_who_has_a_user_makes_none_for_others(self, management):
        await put(management, self_registration=True)
        await register(management, "dora")

        assert (await register(management, "emil", by="dora")).status_code == 403
        # Credentials that are not good are not taken for none.
        assert (await register(management, "emil", by="nobody")).status_code == 401
        assert (await register(management, "emil", by="admin")).status_code == 201

    async def test_people_of_a_directory_or_a_provider_are_not_made_here(self, management):
        await put(management, self_registration=True, auth_mode="ldap_auth")
        assert (await register(management, "dora")).status_code == 401
        await put(management, auth_mode="db_auth")
        assert (await register(management, "dora")).status_code == 201

    async def test_one_address_makes_only_so_many(self, management):
        await put(management, self_registration=True)
        replies = [
            await register(management, f"user{number}", email="no mail") for number in range(12)
        ]

        assert {reply.status_code for reply in replies[:10]} == {400}
        assert replies[10].status_code == 429
        assert int(replies[10].headers["retry-after"]) >= 1
        assert (await register(management, "dora", by="admin")).status_code == 201

    async def test_many_at_the_same_time_are_no_more_than_one_after_the_other(self, management):
        await put(management, self_registration=True)
        found: list[int] = []

        async def one(number):
            reply = await register(management, f"user{number}", email=f"u{number}@example.org")
            found.append(reply.status_code)

        async with anyio.create_task_group() as group:
            for number in range(60):
                group.start_soon(one, number)

        assert found.count(201) == PER_REGISTRATION.free
        assert found.count(429) == 60 - PER_REGISTRATION.free

    async def test_more_than_can_be_hashed_are_asked_to_come_again(self, management, monkeypatch):
        # Each from another address, so that only the work counts.
        numbers = count()
        monkeypatch.setattr(lockout, "WAITING", 2)
        monkeypatch.setattr(lockout, "network", lambda address: str(next(numbers)))
        await put(management, self_registration=True)
        found = []

        async def one(number):
            found.append(await register(management, f"u{number}", email=f"u{number}@example.org"))

        async with anyio.create_task_group() as group:
            for number in range(24):
                group.start_soon(one, number)

        statuses = [reply.status_code for reply in found]
        assert set(statuses) == {201, 503}
        assert all(reply.headers["retry-after"] for reply in found if reply.status_code == 503)


class TestQuotas:
    async def test_a_limit_for_all_projects_counts_from_the_next_push_on_and_can_be_switched_off(
        self, database_url, tmp_path
    ):
        async with (
            management_of(database_url, tmp_path, 0) as one,
            management_of(database_url, tmp_path, 1) as two,
        ):
            big = image([b"x" * 3000])
            await put(one, storage_per_project=2000)
            refused = await two.push("admin", "library/big", content=big)
            assert refused.status_code == 403
            assert "storage quota" in refused.text
            project = (await two.ask("admin", "GET", "/projects/library")).json()["project_id"]
            quota = (await two.ask("admin", "GET", f"/quotas/{project}")).json()
            assert quota["hard"] == {"storage": 2000}
            # What was said of the project itself counts more.
            limit = {"hard": {"storage": 100_000}}
            await one.ask("admin", "PUT", f"/quotas/{project}", json=limit)
            assert (await two.push("admin", "library/big", content=big)).status_code == 201
            limit = {"hard": {"storage": 10}}
            await one.ask("admin", "PUT", f"/quotas/{project}", json=limit)
            assert (await two.push("admin", "library/app")).status_code == 403
            await put(two, quota_per_project_enable=False)
            assert (await one.push("admin", "library/app")).status_code == 201
            summary = (await one.ask("admin", "GET", "/projects/library/summary")).json()
            assert "quota" not in summary
            await put(one, quota_per_project_enable=True)
            more = image([b"y" * 3000])
            assert (await two.push("admin", "library/more", content=more)).status_code == 403
            summary = (await one.ask("admin", "GET", "/projects/library/summary")).json()
            assert summary["quota"]["used"]["storage"] > summary["quota"]["hard"]["storage"]
            await put(one, storage_per_project=-1)
