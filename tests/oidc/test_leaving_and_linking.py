"""Logging out at a provider, and linking an account there."""

from typing import Any

import pytest

from tests.oidc.visits import has_logins, site
from tests.services.authenticator import Device, Time
from tests.services.browser import Browser
from tests.services.issuer import answer
from tests.services.management import PASSWORD

pytestmark = pytest.mark.anyio

ONE: dict[str, dict[str, Any]] = {"one": {}}
TWO = ONE | {"two": {}}


async def test_no_other_site_logs_anybody_out(database_url, tmp_path, start_issuer):
    async with site(database_url, tmp_path, start_issuer, ONE) as (_, visitor, _issuers):
        alice = visitor()
        await alice.log_in("one", "alice")
        for path in ("/c/oidc/logout", "/c/oidc/logout/"):
            for sent in ("cross-site", "same-site"):
                refused = await alice.http.get(path, headers={"Sec-Fetch-Site": sent})
                assert refused.status_code == 403
                assert "another site" in refused.text
        assert await alice.who() == "alice"
        left = await alice.http.get("/c/oidc/logout", headers={"Sec-Fetch-Site": "same-origin"})
        assert left.status_code == 302
        assert await alice.who() == ""


async def test_a_provider_that_is_not_there_leaves_no_half_logout(
    database_url, tmp_path, start_issuer
):
    async with site(database_url, tmp_path, start_issuer, ONE) as (_, visitor, _issuers):
        alice = visitor()
        await alice.log_in("one", "alice")
        refused = await alice.http.get("/c/oidc/logout?provider=other")
        assert refused.status_code == 401
        assert "there is no OpenID provider 'other'" in refused.text
        assert await alice.who() == "alice"


async def test_who_leaves_while_the_provider_is_down_is_out_here_and_told(
    database_url, tmp_path, start_issuer
):
    async with site(database_url, tmp_path, start_issuer, ONE) as (node, visitor, _):
        alice = visitor()
        await alice.log_in("one", "alice")
        gone = start_issuer()
        has_logins(gone)
        values = {"oidc_endpoint": gone.url, "oidc_client_id": "longshore"}
        reply = await node.ask("admin", "PUT", "/configurations", json=values)
        assert reply.status_code == 200, reply.text
        gone.pages["/.well-known/openid-configuration"] = lambda: answer({}, 500)
        left = await alice.http.get("/c/oidc/logout?provider=harbor")
        assert left.status_code == 502
        assert "your session here has ended" in left.text
        assert await alice.who() == ""


async def begin(browser, **form):
    """Begin to link, in the session of ``browser``."""
    return await browser.ask("POST", "/c/oidc/link", data={"provider": "one", **form})


async def test_linking_takes_the_password_of_who_has_one(database_url, tmp_path, start_issuer):
    async with site(database_url, tmp_path, start_issuer, ONE) as (node, _, _issuers):
        await node.add_user("dora")
        browser = Browser(node)
        assert (await browser.log_in("dora", PASSWORD)).status_code == 200
        refused = await begin(browser)
        assert refused.status_code == 403
        assert "field password" in refused.text
        assert (await begin(browser, password="Wrong1234")).status_code == 403
        done = await begin(browser, password=PASSWORD)
        assert done.status_code == 200, done.text
        assert "url" in done.json()
        for _ in range(5):
            assert (await begin(browser, password="Wrong1234")).status_code in (403, 429)
        assert (await begin(browser, password="Wrong12345")).status_code == 429


async def test_linking_takes_the_code_too_of_who_has_a_second_factor(
    database_url, tmp_path, start_issuer, monkeypatch
):
    async with site(database_url, tmp_path, start_issuer, ONE) as (node, _, _issuers):
        time = Time.patched(monkeypatch)
        await node.add_user("dora")
        browser = Browser(node)
        assert (await browser.log_in("dora", PASSWORD)).status_code == 200
        own = "/api/longshore/v1/users/current/second-factor"
        made = await browser.ask("POST", own, json={"password": PASSWORD})
        device = Device(made.json()["uri"])
        confirmed = await browser.ask("POST", f"{own}/confirmation", json={"code": device.code()})
        assert confirmed.status_code == 200, confirmed.text
        time.jump()
        assert (await begin(browser, password=PASSWORD)).status_code == 403
        assert (await begin(browser, password=PASSWORD, code=device.wrong())).status_code == 403
        done = await begin(browser, password=PASSWORD, code=device.code())
        assert done.status_code == 200, done.text


async def test_who_has_no_password_here_is_asked_for_none(database_url, tmp_path, start_issuer):
    async with site(database_url, tmp_path, start_issuer, TWO) as (_, visitor, _issuers):
        alice = visitor()
        await alice.log_in("one", "alice")
        reply = await alice.http.get("/api/v2.0/users/current")
        token = {"X-Harbor-CSRF-Token": reply.headers["x-harbor-csrf-token"]}
        form = {"provider": "two"}
        begun = await alice.http.post("/c/oidc/link", data=form, headers=token)
        assert begun.status_code == 200, begun.text
        linked = await alice.come_back("two", begun.json()["url"], "4711")
        assert linked.status_code == 302, linked.text
        other = visitor()
        await other.log_in("two", "4711")
        assert await other.who() == "alice"
