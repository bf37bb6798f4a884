"""What a browser does with a registry: it keeps cookies and brings the token of its session."""

from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

import httpx

from tests.services.management import PASSWORD, Management


@dataclass
class Browser:
    """One browser, with its own cookies; ``flags`` are how each was set the last time."""

    registry: Management
    cookies: dict[str, str] = field(default_factory=dict)
    flags: dict[str, str] = field(default_factory=dict)
    token: str = ""

    async def ask(self, method: str, path: str, **parts: Any) -> httpx.Response:
        """As a page of ours does: with the cookies and the token."""
        headers = {"X-Harbor-CSRF-Token": self.token} if self.token else {}
        headers |= parts.pop("headers", {})
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        self.registry.client.cookies.clear()
        reply = await self.registry.ask("", method, path, headers=headers, **parts)
        self.registry.client.cookies.clear()
        self.token = reply.headers.get("x-harbor-csrf-token", self.token)
        for line in reply.headers.get_list("set-cookie"):
            for name, morsel in SimpleCookie(line).items():
                self.flags[name] = line
                self.cookies[name] = morsel.value
                if morsel["max-age"] == "0":
                    del self.cookies[name]
        return reply

    async def log_in(self, user: str, password: str = PASSWORD, **fields: str) -> httpx.Response:
        form = {"principal": user, "password": password, **fields}
        return await self.ask("POST", "/c/login", data=form)

    async def is_in(self) -> bool:
        """Whether the session is one."""
        return (await self.ask("GET", "/users/current")).status_code == 200
