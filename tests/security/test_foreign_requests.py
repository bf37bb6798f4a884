"""Requests that a page of somebody else makes a browser send (CSRF, CORS): every route."""

import pytest

from tests.api.test_who_may import ROUTES
from tests.security.neighbours import Neighbours, ask, by_name, filled, rows
from tests.services.browser import Browser

pytestmark = pytest.mark.anyio

#: Where sessions begin and end: what is looked at there is where the request comes from.
SESSIONS = {"POST /c/login", "GET /c/log_out"}
CHANGES = [name for name in ROUTES if not name.startswith(("GET", "HEAD")) and name not in SESSIONS]


async def test_every_change_in_a_session_needs_its_token(at_home: Neighbours) -> None:
    management, ids = at_home.management, at_home.emil.ids
    browser = Browser(management)
    await browser.log_in("admin")
    before = await management.database.read(rows)
    for name in CHANGES:
        for token in ("", "nonsense"):
            browser.token = token
            path = filled(name, by_name(name, ids))
            reply = await browser.ask(name.split(" ", 1)[0], path, json={})
            assert reply.status_code == 403, name
            assert "CSRF" in reply.text, name
    assert await management.database.read(rows) == before


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.test"}, {"Origin": "null"}],
)
async def test_no_page_of_another_site_changes_anything(
    at_home: Neighbours, headers: dict[str, str]
) -> None:
    management, ids = at_home.management, at_home.emil.ids
    before = await management.database.read(rows)
    for name in {*CHANGES, *SESSIONS}:
        # As a browser does that keeps a password of this host.
        reply = await ask(management, "admin", name, ids, headers=headers)
        assert reply.status_code == 403, (name, reply.text)
        assert "another site" in reply.text or "by a page of" in reply.text, name
    assert await management.database.read(rows) == before


async def test_reading_changes_nothing(at_home: Neighbours) -> None:
    management, ids = at_home.management, at_home.emil.ids
    before = await management.database.read(rows)
    for name in ROUTES:
        if name.startswith(("GET", "HEAD")):
            for by in ("admin", "emil", ""):
                await ask(management, by, name, ids)
    assert await management.database.read(rows) == before


async def test_a_session_is_nothing_to_registry_clients(at_home: Neighbours) -> None:
    # A cookie travels by itself; the registry's own API takes what a client sends on purpose.
    browser = Browser(at_home.management)
    await browser.log_in("admin")
    ids = at_home.emil.ids
    repository = f"{ids['name']}/{ids['repository']}"
    for method, path in (
        ("GET", f"/v2/{repository}/manifests/{ids['reference']}"),
        ("DELETE", f"/v2/{repository}/manifests/{ids['reference']}"),
        ("POST", f"/v2/{repository}/blobs/uploads/"),
        ("GET", "/v2/_catalog"),
    ):
        assert (await browser.ask(method, path)).status_code == 401, path
    token = await browser.ask("GET", f"/service/token?scope=repository:{repository}:pull")
    assert token.json()["access"] == [] if "access" in token.json() else token.is_success
    used = {"Authorization": f"Bearer {token.json()['token']}"}
    path = f"/v2/{repository}/manifests/{ids['reference']}"
    assert (await browser.ask("GET", path, headers=used)).status_code == 401


async def test_no_reply_lets_another_site_read_it(at_home: Neighbours) -> None:
    management, ids = at_home.management, at_home.emil.ids
    asking = {
        "Origin": "https://evil.test",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization",
    }
    for name in ROUTES:
        path = filled(name, by_name(name, ids))
        for method in (name.split(" ", 1)[0], "OPTIONS"):
            reply = await management.ask("emil", method, path, headers=asking)
            assert not [one for one in reply.headers if one.startswith("access-control")], name
