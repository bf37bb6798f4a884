"""A provider that administrators describe while the registry runs, by Harbor's keys."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, insert

from longshore.system.tables import system_settings
from tests.oidc.test_server import ADMIN, StartSite, start
from tests.services.management import management_of
from tests.services.oidc_provider import CLIENT, SECRET, Browser, StartProvider

__all__ = ["start"]


@pytest.fixture
def third_browser() -> Iterator[Browser]:
    found = Browser()
    yield found
    found.close()


def keys(issuer, **more):
    return {
        "auth_mode": "oidc_auth",
        "oidc_name": "The company",
        "oidc_endpoint": issuer,
        "oidc_client_id": CLIENT,
        "oidc_client_secret": SECRET,
        "oidc_scope": "openid,profile,email,groups",
        "oidc_groups_claim": "groups",
        "oidc_admin_group": "harbour-masters",
        "oidc_auto_onboard": True,
        **more,
    }


@pytest.mark.service
def test_people_log_in_at_a_provider_without_a_restart(
    start: StartSite,
    start_provider: StartProvider,
    browser: Browser,
    other_browser: Browser,
    third_browser: Browser,
) -> None:
    provider = start_provider([])
    site = start(real=[provider])
    before = browser.get(f"{site.registry.url}/c/oidc/login")
    assert before.status_code == httpx.codes.UNAUTHORIZED
    assert "no OpenID provider is configured" in before.text

    def put(**values: object) -> None:
        with site.registry.client() as client:
            reply = client.put("/api/v2.0/configurations", json=values, auth=ADMIN)
        assert reply.status_code == httpx.codes.OK, reply.text

    put(**keys(provider.issuer))

    assert site.api("/systeminfo", auth=None)["oidc_provider_name"] == "The company"
    assert site.enter(browser, "alice", provider="harbor") == "alice"
    assert site.enter(other_browser, "grace") == "grace"
    assert site.user("grace")["sysadmin_flag"]
    groups = {group["group_name"] for group in site.api("/usergroups?page_size=100")}
    assert groups == {"developers", "other", "harbour-masters"}
    # The account is linked to the provider's name for the person: other keys change nothing about that.
    put(oidc_user_claim="sub", oidc_group_filter="^dev", oidc_auto_onboard=False)
    assert site.enter(third_browser, "alice") == "alice"
    groups_of = site.api("/usergroups/search?groupname=dev")
    assert [group["group_name"] for group in groups_of] == ["developers"]

    # Another provider in its place knows other people, whatever it calls them.
    second = start_provider([])
    second.allow([site.callback], [])
    begun = site.begin(browser)
    devices = f"{site.registry.url}/c/oidc/device"
    handle = httpx.post(devices, data={"provider": "harbor"}).json()["handle"]
    put(oidc_endpoint=second.issuer, oidc_client_secret=SECRET, oidc_auto_onboard=True)
    late = browser.get(browser.log_in(begun, "alice", until=site.callback))
    assert late.status_code == httpx.codes.UNAUTHORIZED
    assert "begin again" in late.text
    late = httpx.post(f"{devices}/token", data={"handle": handle})
    assert late.status_code == httpx.codes.UNAUTHORIZED
    assert "begin again" in late.text
    assert site.enter(third_browser, "alice") == "alice-2"

    put(oidc_endpoint="")

    gone = third_browser.get(f"{site.registry.url}/c/oidc/login")
    assert gone.status_code == httpx.codes.UNAUTHORIZED
    # What was opened stays: a session is the registry's own.
    assert site.who(other_browser) == "grace"


WRONG = (
    ({"oidc_client_id": ""}, "oidc_client_id"),
    ({"oidc_scope": "profile,email"}, "oidc_scope lacks openid"),
    ({"oidc_group_filter": "("}, "regular expression"),
    ({"oidc_group_filter": "a{99999999999999999999}"}, "at most 1000 times"),
    ({"oidc_group_filter": "(" * 2000 + ")" * 2000}, "at most 1024"),
    ({"oidc_group_filter": r"(a)\1"}, "oidc_group_filter is no regular expression"),
    ({"oidc_extra_redirect_parms": "[" * 4000}, "oidc_extra_redirect_parms"),
    ({"banner_message": "[" * 4000}, "banner_message"),
    ({"banner_message": '{"a":' * 800 + "1" + "}" * 800}, "banner_message"),
    ({"oidc_groups_claim": "", "oidc_admin_group": "x"}, "oidc_groups_claim"),
    ({"oidc_extra_redirect_parms": json.dumps({"state": "x"})}, "'state'"),
    ({"oidc_extra_redirect_parms": json.dumps({"prompt": 1})}, "oidc_extra_redirect_parms"),
    ({"oidc_endpoint": "ftp://provider"}, "oidc_endpoint"),
)


@pytest.mark.anyio
async def test_what_is_no_provider_is_refused(management) -> None:
    for wrong, said in WRONG:
        values = keys("https://provider.test", **wrong)
        reply = await management.ask("admin", "PUT", "/configurations", json=values)
        assert (reply.status_code, said in reply.text) == (400, True), reply.text
        assert SECRET not in reply.text
    found = (await management.ask("admin", "GET", "/configurations")).json()
    assert found["oidc_endpoint"]["value"] == ""


@pytest.mark.anyio
async def test_it_is_another_one_than_those_of_the_file(database_url, tmp_path) -> None:
    own = {
        "name": "own",
        "issuer": "https://provider.test",
        "clientid": CLIENT,
        "groupsclaim": "groups",
    }
    sections: dict[str, Any] = {"longshore": {"oidc": {"providers": [own]}}}
    async with management_of(database_url, tmp_path, **sections) as management:
        for values, said in (
            (keys("https://provider.test"), "'own'"),
            (keys("https://other.test"), "groupprefix"),
        ):
            reply = await management.ask("admin", "PUT", "/configurations", json=values)
            assert (reply.status_code, said in reply.text) == (400, True), reply.text
        values = keys("https://other.test", oidc_groups_claim="", oidc_admin_group="")
        reply = await management.ask("admin", "PUT", "/configurations", json=values)
        assert reply.status_code == 200, reply.text
        # The secret goes to nobody else.
        values = {"oidc_endpoint": "https://elsewhere.test"}
        reply = await management.ask("admin", "PUT", "/configurations", json=values)
        assert (reply.status_code, "oidc_client_secret" in reply.text) == (400, True)
        shown = (await management.ask("", "GET", "/systeminfo")).json()
        assert shown["oidc_provider_name"] == "own"


@pytest.mark.anyio
async def test_keys_that_are_broken_are_told_of_once_for_each_change(management, caplog) -> None:
    values = keys("https://provider.test")
    assert (await management.ask("admin", "PUT", "/configurations", json=values)).status_code == 200

    def broken(filter: str) -> Any:
        def work(connection: Any) -> None:
            row = {"name": "oidc_group_filter", "value": json.dumps(filter), "updated_at": 1.0}
            connection.execute(delete(system_settings).filter_by(name=row["name"]))
            connection.execute(insert(system_settings).values(row))

        return work

    def said() -> list[str]:
        messages = [record.getMessage() for record in caplog.records]
        return [message for message in messages if "oidc_* of" in message]

    for number, filter in enumerate(("(", "(("), 1):
        await management.database.write(broken(filter))
        for _ in range(3):
            refused = await management.ask("", "GET", "/c/oidc/login")
            assert refused.status_code == 401
            assert "no OpenID provider is configured" in refused.text
            await management.ask("", "GET", "/systeminfo")
        assert len(said()) == number
    health = await management.client.get("/readyz")
    assert health.json()["warnings"] == ["oidc_* of /configurations"]
