"""As whom directories and providers know users: linked and unlinked, and never the last way in."""

from typing import Any

import anyio
import pytest

from longshore.identity import store
from tests.services.browser import Browser
from tests.services.management import HASH, PASSWORD, management_of

pytestmark = pytest.mark.anyio

OWN = "/api/longshore/v1/users/current/identities"
PROVIDER = {"issuer": "http://127.0.0.1:1", "clientid": "registry"}
SECTIONS: dict[str, Any] = {
    "longshore": {
        "oidc": {"providers": [{"name": name, **PROVIDER} for name in ("company",)]},
        "ldap": {"servers": [{"name": "corp", "url": "ldap://127.0.0.1:1", "basedn": "dc=test"}]},
    }
}
COMPANY = {"provider": "oidc:company", "subject": "4711"}
CORP = {"provider": "ldap:corp", "subject": "entryUUID=1/é"}


@pytest.fixture
async def management(database_url, tmp_path):
    """A registry with a provider and a directory, which are never asked, and the users dora and emil."""
    async with management_of(database_url, tmp_path, **SECTIONS) as found:
        for name in ("dora", "emil"):
            setattr(found, name, await found.add_user(name))
        yield found


def of(user):
    return f"/api/longshore/v1/users/{user}/identities"


async def link(management, user, identity):
    reply = await management.ask("admin", "POST", of(user), json=identity)
    assert reply.status_code == 201, reply.text
    return reply.headers["location"]


async def forget_password(management, user):
    """They have none here any more, as who came from a directory or a provider."""
    await management.change(store.update_user, id=user, password_hash=None)


async def test_administrators_link_list_and_unlink(management):
    place = await link(management, management.dora, COMPANY)
    await link(management, management.dora, CORP)
    # Once more is no harm.
    assert await link(management, management.dora, COMPANY) == place

    listed = (await management.ask("admin", "GET", of(management.dora))).json()
    assert [{name: one[name] for name in ("provider", "subject")} for one in listed] == [
        CORP,
        COMPANY,
    ]
    assert all(one["usable"] for one in listed)
    assert place.endswith(listed[1]["id"])
    assert (await management.ask("dora", "GET", OWN)).json() == listed
    assert (await management.ask("emil", "GET", OWN)).json() == []

    assert (await management.ask("admin", "DELETE", place)).status_code == 200
    assert (await management.ask("admin", "DELETE", place)).status_code == 404
    (left,) = (await management.ask("admin", "GET", of(management.dora))).json()
    assert left["provider"] == "ldap:corp"
    descriptions: set[str] = set()
    expected = {
        "is '4711' of 'oidc:company' from now on",
        "is no longer '4711' of 'oidc:company'",
    }
    with anyio.fail_after(20):
        while not expected <= descriptions:
            await anyio.sleep(0.1)
            rows = (await management.ask("admin", "GET", "/auditlog-exts?page_size=100")).json()
            descriptions = {row.get("operation_description", "") for row in rows}


async def test_an_identity_is_one_users(management):
    await link(management, management.dora, COMPANY)
    refused = await management.ask("admin", "POST", of(management.emil), json=COMPANY)
    assert refused.status_code == 409
    for identity, word in (
        ({"provider": "oidc:other", "subject": "1"}, "oidc:company"),
        ({"provider": "", "subject": "1"}, "ldap:corp"),
        ({"provider": "oidc:company", "subject": "a\nb"}, "printable"),
    ):
        refused = await management.ask("admin", "POST", of(management.emil), json=identity)
        assert refused.status_code == 400
        assert word in refused.text


async def test_only_administrators_touch_those_of_others(management):
    place = await link(management, management.emil, COMPANY)
    assert (await management.ask("dora", "GET", of(management.emil))).status_code == 403
    assert (await management.ask("dora", "POST", of(management.dora), json=CORP)).status_code == 403
    assert (await management.ask("dora", "DELETE", place)).status_code == 403
    own = f"{OWN}/{place.rpartition('/')[2]}"
    assert (await management.ask("dora", "DELETE", own)).status_code == 404
    # What may change users, and is no administrator, must not become one.
    made = await management.ask(
        "admin",
        "POST",
        "/robots",
        json={
            "name": "people",
            "level": "system",
            "duration": 1,
            "permissions": [
                {
                    "kind": "system",
                    "namespace": "/",
                    "access": [
                        {"resource": "user", "action": action} for action in ("update", "read")
                    ],
                }
            ],
        },
    )
    assert made.status_code == 201, made.text
    robot, secret = made.json()["name"], made.json()["secret"]
    for method, path, json in (
        ("POST", of(1), CORP),
        ("DELETE", place, None),
        ("DELETE", f"/api/longshore/v1/users/{management.dora}/second-factor", None),
    ):
        refused = await management.ask(robot, method, path, password=secret, json=json)
        assert refused.status_code == 403, refused.text
        assert "only administrators" in refused.text


async def test_a_token_links_nothing_that_outlasts_it(management):
    made = await management.ask(
        "admin", "POST", "/api/longshore/v1/tokens", json={"name": "x", "scopes": ["manage"]}
    )
    token = made.json()["token"]
    refused = await management.ask("admin", "POST", of(1), password=token, json=COMPANY)
    assert refused.status_code == 403
    assert (await management.ask("admin", "GET", OWN, password=token)).status_code == 403
    other = await management.ask("admin", "POST", of(2), password=token, json=COMPANY)
    assert other.status_code == 201


async def test_a_way_to_log_in_is_left(management):
    company = await link(management, management.dora, COMPANY)
    corp = await link(management, management.dora, CORP)
    await forget_password(management, management.dora)
    assert (await management.ask("admin", "DELETE", corp)).status_code == 200

    refused = await management.ask("admin", "DELETE", company)

    assert refused.status_code == 412
    assert "longshore user passwd dora" in refused.text
    await management.change(store.update_user, id=management.dora, password_hash=HASH)
    assert (await management.ask("admin", "DELETE", company)).status_code == 200


async def test_an_identity_at_what_is_not_configured_is_no_way_to_log_in(management):
    gone = {"provider": "oidc:gone", "subject": "1"}
    await management.change(store.link_identity, user=management.dora, now=1.0, **gone)
    company = await link(management, management.dora, COMPANY)
    await forget_password(management, management.dora)

    assert (await management.ask("admin", "DELETE", company)).status_code == 412
    listed = (await management.ask("admin", "GET", of(management.dora))).json()
    assert [one["usable"] for one in listed] == [True, False]
    path = f"{of(management.dora)}/{listed[1]['id']}"
    assert (await management.ask("admin", "DELETE", path)).status_code == 200


async def test_two_that_are_unlinked_at_the_same_time_do_not_both_go(management):
    for _ in range(5):
        places = [await link(management, management.dora, one) for one in (COMPANY, CORP)]
        await forget_password(management, management.dora)
        found: list[int] = []

        async def unlink(place, found=found):
            found.append((await management.ask("admin", "DELETE", place)).status_code)

        async with anyio.create_task_group() as group:
            for place in places:
                group.start_soon(unlink, place)
        assert sorted(found) == [200, 412]


async def test_unlinking_ends_what_was_proved_and_the_session_that_asks_goes_on(management):
    place = await link(management, management.dora, COMPANY)
    here, there = Browser(management), Browser(management)
    await here.log_in("dora")
    await there.log_in("dora")
    asked = "/v2/token?service=longshore&offline_token=true"
    token = (await management.ask("dora", "GET", asked)).json()["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    own = f"{OWN}/{place.rpartition('/')[2]}"

    assert (await here.ask("DELETE", own)).status_code == 200

    assert await here.is_in()
    assert not await there.is_in()
    assert (await management.ask("", "GET", "/v2/", headers=bearer)).status_code == 401
    assert (await management.ask("dora", "GET", "/v2/", password=PASSWORD)).status_code == 200
