"""Browsers that log in, in one process, at providers whose every word a test chooses."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.services.issuer import Issuer, answer
from tests.services.management import Management, management_of

CLIENT = "longshore"


def entry(name: str, issuer: Issuer, **more: Any) -> dict[str, Any]:
    """A provider in config.yml that lists groups."""
    prefix = {"groupsclaim": "groups", "groupprefix": f"{name}/"}
    return {"name": name, "issuer": issuer.url, "clientid": CLIENT, **prefix, **more}


def has_logins(issuer: Issuer) -> None:
    """Browsers can log in there."""
    page = {
        **issuer.metadata(),
        "authorization_endpoint": f"{issuer.url}/auth",
        "token_endpoint": f"{issuer.url}/token",
    }
    issuer.pages["/.well-known/openid-configuration"] = lambda: answer(page)


class Visitor:
    """Somebody with a browser of their own."""

    def __init__(self, node: Management, issuers: dict[str, Issuer]) -> None:
        self.http = httpx.AsyncClient(
            transport=node.client._transport, base_url="http://registry.test", timeout=60
        )
        self._issuers = issuers

    async def log_in(self, provider: str, subject: str, **claims: Any) -> httpx.Response:
        """The answer to what ``provider`` sends the browser back with."""
        begun = await self.http.get(f"/c/oidc/login?provider={provider}")
        assert begun.status_code == httpx.codes.FOUND, begun.text
        return await self.come_back(provider, begun.headers["location"], subject, **claims)

    async def come_back(
        self, provider: str, place: str, subject: str, **claims: Any
    ) -> httpx.Response:
        """The same for a login that was begun."""
        query = parse_qs(urlsplit(place).query)
        issuer = self._issuers[provider]
        said = {"email": "", "name": "", "groups": [], "preferred_username": subject, **claims}
        token = issuer.token(aud=CLIENT, nonce=query["nonce"][0], sub=subject, **said)
        issuer.pages["/token"] = lambda: answer({"id_token": token, "access_token": "any"})
        fields = {"state": query["state"][0], "code": "any"}
        return await self.http.get("/c/oidc/callback", params=fields)

    async def choose(self, name: str, **parts: Any) -> httpx.Response:
        """Choose a name as a new user."""
        return await self.http.post("/c/oidc/onboard", data={"username": name}, **parts)

    async def who(self) -> str:
        """Whose session the browser has; empty without one."""
        reply = await self.http.get("/api/v2.0/users/current")
        return str(reply.json()["username"]) if reply.is_success else ""


@asynccontextmanager
async def site(
    database_url: str,
    directory: Path,
    start_issuer: Callable[[], Issuer],
    providers: dict[str, dict[str, Any]],
    **longshore: Any,
) -> AsyncIterator[tuple[Management, Callable[[], Visitor], dict[str, Issuer]]]:
    """A registry with providers by name, with more settings of each; what makes visitors; the issuers."""
    issuers = {name: start_issuer() for name in providers}
    for issuer in issuers.values():
        has_logins(issuer)
    entries = [entry(name, issuers[name], **more) for name, more in providers.items()]
    sections: dict[str, Any] = {"longshore": {"oidc": {"providers": entries}, **longshore}}
    visitors: list[Visitor] = []
    async with management_of(database_url, directory, **sections) as node:

        def visitor() -> Visitor:
            visitors.append(Visitor(node, issuers))
            return visitors[-1]

        try:
            yield node, visitor, issuers
        finally:
            for one in visitors:
                await one.http.aclose()
