"""Addresses that somebody writes into a configuration or a token: whom the registry asks, and what of the
answer it tells (server-side request forgery)."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.services.issuer import Issuer, answer
from tests.services.management import Management

pytestmark = pytest.mark.anyio

#: What an inner server says that nobody outside is to read.
INNER = "inner-secret-4711"
PING = "/system/oidc/ping"


@pytest.fixture
def inner(start_issuer: Callable[[], Issuer]) -> Issuer:
    """A server that is nothing to do with logins, and says something on every path that is asked for."""
    found = start_issuer()
    page = (200, {"Content-Type": "text/plain", "X-Inner": INNER}, INNER.encode())
    for path in ("/", "/.well-known/openid-configuration", "/jwks", "/latest/meta-data", "/jku"):
        found.pages[path] = lambda: page
    return found


async def test_a_trial_tells_nothing_of_what_another_server_said(
    embedded: Management, inner: Issuer
) -> None:
    for url in (inner.url, f"{inner.url}/latest/meta-data", f"{inner.url}/?x="):
        reply = await embedded.ask("admin", "POST", PING, json={"url": url})
        assert reply.status_code == 400, url
        assert INNER not in f"{reply.text} {reply.headers}"
    directory = {"ldap_url": inner.url.replace("http:", "ldap:"), "ldap_base_dn": "dc=x"}
    reply = await embedded.ask("admin", "POST", "/ldap/ping", json=directory)
    assert reply.json()["success"] is False
    assert INNER not in reply.text


async def test_a_trial_follows_nobody_elsewhere(
    embedded: Management, start_issuer: Callable[[], Issuer], inner: Issuer
) -> None:
    outer = start_issuer()
    found = "/.well-known/openid-configuration"
    outer.pages[found] = lambda: (302, {"Location": f"{inner.url}/latest/meta-data"}, b"")
    reply = await embedded.ask("admin", "POST", PING, json={"url": outer.url})
    assert reply.status_code == 400
    outer.pages[found] = lambda: answer(
        {**outer.metadata(), "jwks_uri": inner.url.replace("127.0.0.1", "localhost") + "/jwks"}
    )
    assert (await embedded.ask("admin", "POST", PING, json={"url": outer.url})).status_code == 400

    assert not inner.asked
    assert outer.asked == [found, found]


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://127.0.0.1:25/",
        "ftp://127.0.0.1/",
        "dict://127.0.0.1:11211/",
        "unix:/var/run/docker.sock",
        "http://user:word@127.0.0.1/",
        "http://",
        "//127.0.0.1",
        "http://127.0.0.1:99999",
        "http://[::1",
        "http://127.0.0.1\r\nX: y",
    ],
)
async def test_only_web_addresses_are_asked(embedded: Management, url: str) -> None:
    reply = await embedded.ask("admin", "POST", PING, json={"url": url})
    assert reply.status_code == 400, reply.text
    assert "root:" not in reply.text
    directory = {"ldap_url": url, "ldap_base_dn": "dc=x"}
    tried = await embedded.ask("admin", "POST", "/ldap/ping", json=directory)
    assert tried.json()["success"] is False


async def test_only_administrators_choose_addresses(embedded: Management, inner: Issuer) -> None:
    await embedded.add_user("dora")
    json: dict[str, Any] = {"url": inner.url, "ldap_url": inner.url, "oidc_endpoint": inner.url}
    for by, status in (("dora", 403), ("", 401)):
        for method, path in (("POST", PING), ("POST", "/ldap/ping"), ("PUT", "/configurations")):
            reply = await embedded.ask(by, method, path, json=json)
            assert reply.status_code == status, path
    assert not inner.asked


async def test_a_token_cannot_say_where_its_key_is(embedded: Management, inner: Issuer) -> None:
    for header in ("jku", "x5u"):
        text = inner.token({header: f"{inner.url}/jku"}, sub="admin", iss=inner.url)
        for path in ("/v2/_catalog", "/users/current"):
            used = {"Authorization": f"Bearer {text}"}
            assert (await embedded.ask("", "GET", path, headers=used)).status_code == 401
    assert not inner.asked
