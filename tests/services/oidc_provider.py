"""A real OpenID provider (npm's oidc-provider), and somebody with a browser who logs in there."""

import html
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from joserfc.jwk import ECKey, RSAKey

from tests.services.processes import Service, free_port, listening
from tests.services.programs import NODE_TOOLS, missing, program

CLIENT, SECRET = "longshore", "a secret of the tests: 50% /+&="
#: Whom the provider knows more about than a name.
ACCOUNTS: dict[str, dict[str, Any]] = {
    "alice": {"groups": ["developers", "other"], "name": "Alice Liddell"},
    "grace": {"groups": ["harbour-masters"]},
}


def signing_key(kid: str, kind: str = "RSA") -> RSAKey | ECKey:
    """A new private key."""
    if kind == "RSA":
        return RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})
    return ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": "ES256"})


class OIDCProvider:
    """A running provider. ``redirects`` are where browsers may be sent back to."""

    def __init__(
        self,
        directory: Path,
        redirects: list[str],
        *,
        keys: list[RSAKey | ECKey] | None = None,
        lean: bool = False,
        logouts: list[str] | None = None,
    ) -> None:
        """``lean``: ID tokens say only who it is, the rest is at the userinfo endpoint."""
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.directory = directory
        self.keys = keys or [signing_key("first")]
        self._settings: dict[str, Any] = {
            "port": self.port,
            "lean": lean,
            "accounts": ACCOUNTS,
            "clients": [
                {
                    "client_id": CLIENT,
                    "client_secret": SECRET,
                    "redirect_uris": redirects,
                    "post_logout_redirect_uris": logouts or [],
                    "grant_types": [
                        "authorization_code",
                        "refresh_token",
                        "urn:ietf:params:oauth:grant-type:device_code",
                    ],
                    "response_types": ["code"],
                }
            ],
        }
        self.service = self._start()

    def _start(self) -> Service:
        tools = NODE_TOOLS.parent
        if not (tools / "oidc-provider").is_dir():
            missing("oidc-provider is not installed: run scripts/install-node-tools")
        # Modules are looked for beside the script, so it runs where they are linked to.
        script = self.directory / "provider.mjs"
        if not script.exists():
            shutil.copy(Path(__file__).with_suffix(".mjs"), script)
            (self.directory / "node_modules").symlink_to(tools)
        settings = self.directory / "settings.json"
        private = [key.as_dict(private=True) for key in self.keys]
        settings.write_text(json.dumps({**self._settings, "keys": private}))
        service = Service(
            f"OpenID provider on {self.port}",
            [program("node"), script, settings],
            self.directory / "provider.log",
            env={**os.environ, "NODE_NO_WARNINGS": "1"},
        )
        service.wait_until(lambda: listening(self.port))
        return service

    def rotate(self, keys: list[RSAKey | ECKey]) -> None:
        """Go on with other keys; who is logged in is forgotten."""
        self.stop()
        self.keys = keys
        self.service = self._start()

    def allow(self, redirects: list[str], logouts: list[str]) -> None:
        """Go on with other addresses that browsers may be sent back to."""
        self.stop()
        client = self._settings["clients"][0]
        client.update(redirect_uris=redirects, post_logout_redirect_uris=logouts)
        self.service = self._start()

    def stop(self) -> None:
        """End it."""
        self.service.stop(SIGKILL)


StartProvider = Callable[..., OIDCProvider]


@pytest.fixture
def start_provider() -> Iterator[StartProvider]:
    """Starts providers, and ends them."""
    with tempfile.TemporaryDirectory(prefix="longshore-oidc-") as parent:
        running: list[OIDCProvider] = []

        def start(redirects: list[str], **options: Any) -> OIDCProvider:
            directory = Path(parent) / str(len(running))
            directory.mkdir()
            running.append(OIDCProvider(directory, redirects, **options))
            return running[-1]

        try:
            yield start
        finally:
            for provider in running:
                provider.stop()


@dataclass
class Browser:
    """Follows links, fills in the provider's forms, and keeps cookies by host and port, as far as a
    browser would (it is one cookie jar for each port, where a browser has one for all)."""

    jars: dict[str, httpx.Client] = field(default_factory=dict)

    def get(self, url: str, **parts: Any) -> httpx.Response:
        """One request, redirects not followed."""
        return self.request("GET", url, **parts)

    def request(self, method: str, url: str, **parts: Any) -> httpx.Response:
        """One request, redirects not followed."""
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        if origin not in self.jars:
            self.jars[origin] = httpx.Client(timeout=30)
        return self.jars[origin].request(method, url, **parts)

    def log_in(self, url: str, user: str, *, until: str) -> str:
        """Go from ``url`` to where a redirect leads to an address that begins with ``until``, logging in
        as ``user`` and consenting on the way; that address."""
        response = self.get(url)
        for _ in range(30):
            if response.is_redirect:
                url = urljoin(url, response.headers["Location"])
                if url.startswith(until):
                    return url
                response = self.get(url)
                continue
            assert response.status_code == httpx.codes.OK, f"{url}: {response.text}"
            url, response = self._submit(url, response, user)
        raise AssertionError(f"no way from {url} to {until}")

    def confirm(self, url: str, user: str) -> str:
        """Go from ``url`` through all the forms; the last page."""
        response = self.get(url)
        for _ in range(30):
            if response.is_redirect:
                url = urljoin(url, response.headers["Location"])
                response = self.get(url)
            elif "<form" in response.text:
                url, response = self._submit(url, response, user)
            else:
                return response.text
        raise AssertionError(f"no end from {url}")

    def _submit(self, url: str, page: httpx.Response, user: str) -> tuple[str, httpx.Response]:
        text = page.text
        form = re.search(r"<form[^>]*action=\"([^\"]*)\"", text)
        assert form is not None, f"{url} has no form: {text[:2000]}"
        fields = _fields(text)
        if "login" in fields:
            fields |= {"login": user, "password": "any"}
        if 'value="yes" name="logout"' in text or 'name="logout" value="yes"' in text:
            fields["logout"] = "yes"
        target = urljoin(url, html.unescape(form[1]))
        return target, self.request("POST", target, data=fields)

    def close(self) -> None:
        """Close every connection."""
        for jar in self.jars.values():
            jar.close()


def _fields(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for tag in re.findall(r"<input[^>]*>", text):
        name = re.search(r'name="([^"]*)"', tag)
        value = re.search(r'value="([^"]*)"', tag)
        if name:
            found[name[1]] = html.unescape(value[1]) if value else ""
    return found


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Somebody's browser, with no cookies yet."""
    found = Browser()
    yield found
    found.close()


@pytest.fixture
def other_browser() -> Iterator[Browser]:
    """Somebody else's."""
    found = Browser()
    yield found
    found.close()
