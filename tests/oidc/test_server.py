"""Logins with real providers, browsers and servers."""

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx
import pytest
import yaml

from longshore.settings import load_configuration
from tests.identity.test_server import asks, longshore
from tests.services.images import single_image
from tests.services.issuer import Issuer
from tests.services.oidc_provider import CLIENT, SECRET, Browser, OIDCProvider, StartProvider
from tests.services.programs import Shell
from tests.services.registries import Registry, RegistryFactory, server_program

pytestmark = pytest.mark.service

PAGE = (Path(__file__).parents[2] / "docs" / "oidc.md").read_text()
ADMIN = ("admin", "Harbour12")


def entry(name: str, issuer: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "issuer": issuer,
        "clientid": CLIENT,
        "clientsecret": SECRET,
        "scopes": ["openid", "profile", "email", "groups"],
        "groupsclaim": "groups",
        "groupprefix": f"{name}/" if name != "one" else "",
        **more,
    }


class Site:
    """A registry with providers."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.callback = f"{registry.url}/c/oidc/callback"

    def begin(self, browser: Browser, **query: str) -> str:
        reply = browser.get(f"{self.registry.url}/c/oidc/login?{urlencode(query)}")
        assert reply.status_code == httpx.codes.FOUND, reply.text
        return str(reply.headers["Location"])

    def log_in(self, browser: Browser, user: str, **query: str) -> httpx.Response:
        back = browser.log_in(self.begin(browser, **query), user, until=self.callback)
        return browser.get(back)

    def enter(self, browser: Browser, user: str, **query: str) -> str:
        """Log in; who that is here, as the session says."""
        reply = self.log_in(browser, user, **query)
        assert reply.status_code == httpx.codes.FOUND, reply.text
        return self.who(browser)

    def who(self, browser: Browser) -> str:
        """Whose session the browser has; empty without one."""
        reply = browser.get(f"{self.registry.url}/api/v2.0/users/current")
        return str(reply.json()["username"]) if reply.is_success else ""

    def api(self, path: str, **parts: Any) -> Any:
        with self.registry.client() as client:
            reply = client.get(f"/api/v2.0{path}", **{"auth": ADMIN, **parts})
        return reply.json() if reply.is_success else reply.status_code

    def user(self, name: str) -> dict[str, Any]:
        found = [user for user in self.api("/users?page_size=100") if user["username"] == name]
        assert found, self.api("/users?page_size=100")
        return dict(found[0])


StartSite = Callable[..., Site]


@pytest.fixture
def start(registry_factory: RegistryFactory) -> StartSite:
    def started(*providers: dict[str, Any], real: list[OIDCProvider]) -> Site:
        registry = registry_factory(
            {"auth": {"longshore": {}}, "longshore": {"oidc": {"providers": list(providers)}}},
            env={"LONGSHORE_ADMIN_PASSWORD": ADMIN[1]},
            ready=asks,
        )
        site = Site(registry)
        for provider in real:
            provider.allow([site.callback], [f"{registry.url}/"])
        return site

    return started


def test_the_page_names_every_setting(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    file = tmp_path / "config.yml"
    file.write_text(example)
    assert load_configuration(file, {}).warnings == ()
    for word in yaml.safe_load(example)["longshore"]["oidc"]["providers"][0]:
        assert word in PAGE
    for path in ("login", "callback", "onboard", "logout", "device"):
        assert f"/c/oidc/{path}" in PAGE


def test_people_of_two_providers_log_in(
    start: StartSite, start_provider: StartProvider, browser: Browser, other_browser: Browser
) -> None:
    one, two = start_provider([]), start_provider([], lean=True)
    site = start(
        entry("one", one.issuer, admingroup="harbour-masters", groupfilter="^(dev|harb)"),
        entry("two", two.issuer),
        real=[one, two],
    )
    longshore(site.registry, "user", "add", "grace", stdin="Row4ever!\n")
    assert site.who(browser) == ""
    assert site.enter(browser, "alice") == "alice"
    alice = site.user("alice")
    assert alice["realname"] == "Alice Liddell"
    assert not alice["sysadmin_flag"]
    # The same name at another provider, or here, is somebody else.
    assert site.enter(other_browser, "alice", provider="two") == "alice-2"
    groups = {group["group_name"] for group in site.api("/usergroups?page_size=100")}
    assert {"developers", "two/developers", "two/other"} <= groups
    assert "other" not in groups
    # Once more: nobody new.
    again = Browser()
    assert site.enter(again, "alice", provider="one") == "alice"
    third = Browser()
    assert site.enter(third, "grace", provider="one") == "grace-2"
    assert site.user("grace-2")["sysadmin_flag"]
    assert not site.user("grace")["sysadmin_flag"]
    names = sorted(user["username"] for user in site.api("/users?page_size=100"))
    assert names == ["admin", "alice", "alice-2", "grace", "grace-2"]
    # Disabled here is disabled, also where somebody is logged in already.
    longshore(site.registry, "user", "disable", "alice")
    assert [site.who(found) for found in (browser, again)] == ["", ""]
    refused = site.log_in(again, "alice", provider="one")
    assert refused.status_code == httpx.codes.UNAUTHORIZED
    assert "user 'alice' is disabled" in refused.text
    # Logging out ends the session here and there.
    sid = third.jars[site.registry.url].cookies["sid"]
    third.get(f"{site.registry.url}/c/oidc/logout?provider=one")
    third.jars[site.registry.url].cookies.set("sid", sid)
    assert site.who(third) == ""
    out = again.get(f"{site.registry.url}/c/oidc/logout?provider=one")
    assert out.headers["Location"].startswith(f"{one.issuer}/session/end?")
    assert again.log_in(out.headers["Location"], "alice", until=f"{site.registry.url}/")
    for found in (again, third):
        found.close()


def test_a_new_user_chooses_a_name_where_that_is_configured(
    start: StartSite, start_provider: StartProvider, browser: Browser, other_browser: Browser
) -> None:
    one = start_provider([])
    site = start(entry("one", one.issuer, autoonboard=False), real=[one])
    reply = site.log_in(browser, "alice", redirect_url="/harbor/projects")
    place = urljoin(site.registry.url, reply.headers["Location"])
    assert place == f"{site.registry.url}/c/oidc/onboard"
    assert 'value="alice"' in browser.get(place).text

    def choose(by: Browser, name: str) -> httpx.Response:
        return by.request("POST", place, json={"username": name})

    assert choose(other_browser, "mallory").status_code == httpx.codes.UNAUTHORIZED
    assert choose(browser, "admin").status_code == httpx.codes.CONFLICT
    assert choose(browser, "a:b").status_code == httpx.codes.BAD_REQUEST
    chosen = choose(browser, "liddell")
    assert (chosen.status_code, chosen.headers["Location"]) == (302, "/harbor/projects")
    assert site.who(browser) == "liddell"
    former = browser.jars[site.registry.url].cookies["sid"]
    assert site.enter(browser, "alice") == "liddell"
    # A login makes a new session, and the one before ends.
    assert browser.jars[site.registry.url].cookies["sid"] != former
    headers = {"Cookie": f"sid={former}"}
    assert site.api("/users/current", auth=None, headers=headers) == httpx.codes.UNAUTHORIZED


def test_a_device_logs_in_and_docker_may_go_on(
    start: StartSite, start_provider: StartProvider, browser: Browser, shell: Shell, tmp_path: Path
) -> None:
    one = start_provider([])
    site = start(entry("one", one.issuer), real=[one])
    longshore(site.registry, "project", "add", "team")
    process = subprocess.Popen(
        [server_program(), "login", "--device", site.registry.host],
        env={**shell.environment(), "REGISTRY_AUTH_FILE": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    place = re.findall(r"https?://\S+", first)[0]
    browser.confirm(place, "alice")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, first + err
    assert "You are alice there" in err
    assert "Login Succeeded" in out
    kept = json.loads((Path(shell.environment()["DOCKER_CONFIG"]) / "config.json").read_text())
    token = kept["auths"][site.registry.host]["identitytoken"]
    assert token.startswith("lsr_")
    longshore(site.registry, "project", "member", "add", "team", "alice", "developer")
    single_image(tmp_path / "image")
    crane = shell.with_env(REGISTRY_AUTH_FILE="")
    crane("crane", "push", tmp_path / "image", f"{site.registry.host}/team/app:v1")
    longshore(site.registry, "user", "disable", "alice")
    crane.refused("crane", "push", tmp_path / "image", f"{site.registry.host}/team/app:v1")
    wrong = shell.refused(
        server_program(), "login", "--device", "--provider", "x", site.registry.host
    ).err
    assert "there is no OpenID provider 'x' here; there is one" in wrong


def test_attacks_on_a_login(
    start: StartSite,
    start_provider: StartProvider,
    start_issuer: Callable[[], Issuer],
    browser: Browser,
    other_browser: Browser,
) -> None:
    one, fake = start_provider([]), start_issuer()
    fake.pages["/.well-known/openid-configuration"] = lambda: _json(
        {
            **fake.metadata(),
            "authorization_endpoint": f"{fake.url}/auth",
            "token_endpoint": f"{fake.url}/token",
        }
    )
    site = start(entry("one", one.issuer), entry("fake", fake.url, clientsecret=""), real=[one])
    url = site.registry.url

    def refused(reply: httpx.Response) -> str:
        assert reply.status_code == httpx.codes.UNAUTHORIZED, reply.text
        return str(reply.json()["errors"][0]["message"])

    # The answer of somebody's login in another's browser: without a login there, and with one.
    back = browser.log_in(site.begin(browser), "mallory", until=site.callback)
    assert "no login was begun in this browser" in refused(other_browser.get(back))
    site.begin(other_browser)
    assert "not begun in this browser" in refused(other_browser.get(back))
    assert browser.get(back).status_code == httpx.codes.FOUND
    assert site.who(browser) == "mallory"
    assert site.who(other_browser) == ""
    # Once more with the same code, and with the cookie of that login.
    replay = Browser()
    begun = replay.log_in(site.begin(replay), "mallory", until=site.callback)
    cookie = {"Cookie": f"longshore_oidc={_cookie(replay, url)}"}
    assert replay.get(begun).status_code == httpx.codes.FOUND
    assert "refused" in refused(httpx.get(begun, headers=cookie))
    replay.close()
    # A forged cookie.
    assert "no login was begun" in refused(
        httpx.get(begun, headers={"Cookie": "longshore_oidc=gAAAAforged"})
    )

    def by_fake(token: Callable[[str], str], **answer: str) -> httpx.Response:
        victim = Browser()
        place = site.begin(victim, provider="fake")
        query = parse_qs(urlsplit(place).query)
        assert query["code_challenge_method"] == ["S256"]
        text = token(query["nonce"][0])
        fake.pages["/token"] = lambda: _json({"id_token": text, "access_token": "x"})
        fields = {"state": query["state"][0], "code": "any", **answer}
        try:
            return victim.get(f"{site.callback}?{urlencode(fields)}")
        finally:
            victim.close()

    def good(nonce: str, /, **more: Any) -> str:
        return fake.token(
            **{
                "aud": CLIENT,
                "nonce": nonce,
                "email": "m@x",
                "name": "M",
                "groups": [],
                "preferred_username": "mallory",
                **more,
            }
        )

    now = int(time.time())
    assert by_fake(good).status_code == httpx.codes.FOUND
    forged: dict[str, Callable[[str], str]] = {
        "its nonce": lambda nonce: good("other"),
        "its nonce ": lambda nonce: good(nonce, nonce=None),
        "algorithm 'none'": lambda nonce: fake.unsigned(aud=CLIENT, nonce=nonce),
        "'HS256'": lambda nonce: fake.signed_with_the_public_key(aud=CLIENT, nonce=nonce),
        "and not for 'longshore'": lambda nonce: good(nonce, aud="another"),
        "expired": lambda nonce: good(nonce, exp=now - 120),
        "its issuer": lambda nonce: good(nonce, iss=one.issuer),
        "issued to": lambda nonce: good(nonce, azp="another"),
    }
    for reason, token in forged.items():
        assert reason.strip() in refused(by_fake(token)), reason
    assert "another provider" in refused(by_fake(good, iss=one.issuer))
    assert "the provider says 'access_denied'" in refused(by_fake(good, error="access_denied"))

    # Places outside are no places to go to.
    for evil in (
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil",
        "javascript:x",
        "/\tx",
        "x",
    ):
        found = Browser()
        reply = site.log_in(found, "mallory", redirect_url=evil)
        assert "evil" not in reply.headers.get("Location", "")
        found.close()

    # ID tokens at the management API.
    def current(token: str) -> Any:
        return site.api("/users/current", auth=None, headers={"Authorization": f"Bearer {token}"})

    name = current(good("any"))["username"]
    assert name.startswith("mallory")
    for text in (
        good("any", aud="another"),
        good("any", exp=now - 120),
        good("any", iss=one.issuer),
        good("any", sub="nobody"),
        fake.unsigned(aud=CLIENT),
        start_issuer().token(aud=CLIENT),
    ):
        assert current(text) == httpx.codes.UNAUTHORIZED
    # A provider that is down is told as that.
    fake.pages["/token"] = lambda: (500, {}, b"")
    down = Browser()
    place = site.begin(down, provider="fake")
    state = parse_qs(urlsplit(place).query)["state"][0]
    assert down.get(f"{site.callback}?state={state}&code=x").status_code == httpx.codes.BAD_GATEWAY
    down.close()
    log = (site.registry.directory / "log").read_text()
    assert SECRET not in log


def test_a_provider_can_be_tried(start: StartSite, issuer: Issuer) -> None:
    site = start(entry("one", issuer.url), real=[])
    with site.registry.client() as client:

        def ping(url: str, auth: tuple[str, str] = ADMIN) -> httpx.Response:
            body = {"url": url, "verify_cert": True}
            return client.post("/api/v2.0/system/oidc/ping", json=body, auth=auth)

        assert ping(issuer.url).status_code == httpx.codes.OK
        wrong = ping(f"{issuer.url}/other")
        assert wrong.status_code == httpx.codes.BAD_REQUEST
        assert "answered 404" in wrong.text
        for url in ("", "file:///etc/passwd", "http://[", "http://127.0.0.1:1"):
            assert ping(url).status_code == httpx.codes.BAD_REQUEST, url
        assert ping(issuer.url, ("admin", "Wrong123")).status_code == httpx.codes.UNAUTHORIZED


def _json(document: Any) -> Any:
    return 200, {"Content-Type": "application/json"}, json.dumps(document).encode()


def _cookie(browser: Browser, url: str) -> str:
    return str(browser.jars[url].cookies["longshore_oidc"])


def test_local_accounts_are_not_taken_over_by_an_address(
    start: StartSite, start_provider: StartProvider, browser: Browser
) -> None:
    one = start_provider([])
    site = start(entry("one", one.issuer), real=[one])
    longshore(
        site.registry, "user", "add", "bob", "--email", "alice@example.org", stdin="Row4ever!\n"
    )
    assert site.enter(browser, "alice") == "alice"
    assert site.user("alice").get("email", "") == ""
    assert site.user("bob")["email"] == "alice@example.org"


def test_a_user_links_an_account_at_a_provider_in_a_session(
    start: StartSite, start_provider: StartProvider, browser: Browser, other_browser: Browser
) -> None:
    one = start_provider([])
    site = start(entry("one", one.issuer, autoonboard=False), real=[one])
    url = site.registry.url
    longshore(site.registry, "user", "add", "bob", stdin="Row4ever!\n")
    longshore(site.registry, "user", "add", "eve", stdin="Row4ever!\n")

    def enter(by: Browser, name: str) -> None:
        form = {"principal": name, "password": "Row4ever!"}
        assert by.request("POST", f"{url}/c/login", data=form).is_success

    def begin(by: Browser, token: str = "", **form: str) -> httpx.Response:
        headers = {"X-Harbor-CSRF-Token": token or csrf(by)}
        proof = {"password": "Row4ever!"}
        return by.request("POST", f"{url}/c/oidc/link", data=proof | form, headers=headers)

    def csrf(by: Browser) -> str:
        reply = by.get(f"{url}/api/v2.0/projects")
        return str(reply.headers.get("X-Harbor-CSRF-Token", ""))

    assert begin(browser).status_code == httpx.codes.UNAUTHORIZED
    enter(browser, "bob")
    # Another site cannot begin it.
    assert begin(browser, "forged").status_code == httpx.codes.FORBIDDEN
    foreign = browser.request("POST", f"{url}/c/oidc/link", headers={"Origin": "https://evil.test"})
    assert foreign.status_code == httpx.codes.FORBIDDEN

    place = begin(browser, redirect_url="/harbor/me").json()["url"]
    # Whoever was logged in at the provider is asked again: it might be another one.
    assert parse_qs(urlsplit(place).query)["prompt"] == ["login"]
    back = browser.log_in(place, "alice", until=site.callback)
    # The answer is good in the session that asked, and in no other.
    enter(other_browser, "eve")
    cookies = (
        f"longshore_oidc={_cookie(browser, url)}; sid={other_browser.jars[url].cookies['sid']}"
    )
    refused = httpx.get(back, headers={"Cookie": cookies})
    assert refused.status_code == httpx.codes.UNAUTHORIZED
    assert "session in which this was begun" in refused.text
    done = browser.get(back)
    assert (done.status_code, done.headers["Location"]) == (httpx.codes.FOUND, "/harbor/me")
    assert site.who(browser) == "bob"
    (linked,) = browser.get(f"{url}/api/longshore/v1/users/current/identities").json()
    assert (linked["provider"], linked["usable"]) == ("oidc:one", True)
    # From now on alice there is bob here, and nobody else.
    third = Browser()
    assert site.enter(third, "alice") == "bob"
    third.close()
    back = other_browser.log_in(begin(other_browser).json()["url"], "alice", until=site.callback)
    taken = other_browser.get(back)
    assert taken.status_code == httpx.codes.CONFLICT
    assert "unlink it there first" in taken.text
