"""Tags as Harbor knows them, through its API v2.0: current versions keep tags in their database only.

Reads projects, their repositories, and the tagged artifacts of each, page by page.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import httpx
import orjson

from longshore.client.connection import Connection
from longshore.client.credentials import Credential
from longshore.client.errors import ProtocolViolation
from longshore.client.wire import Ask, Reply, Wire

#: Harbor answers 422 to more.
_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class HarborTag:
    """A tag; ``repository`` has the project's name in front, ``pushed`` is RFC 3339 or empty."""

    repository: str
    name: str
    digest: str
    pushed: str


class HarborTags:
    """Reads from the Harbor at ``url``. With the login of an administrator it sees every project."""

    def __init__(self, url: str, credential: Credential | None, connection: Connection) -> None:
        self._base = httpx.URL(url.rstrip("/") + "/api/v2.0/")
        self._headers = {"Accept": "application/json", "X-Is-Resource-Name": "true"}
        if credential:
            self._headers["Authorization"] = credential.basic
        self._wire = Wire(self._base.netloc.decode("ascii"), connection)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["HarborTags"]:
        """The connections last as long as the context."""
        await self._wire.open()
        try:
            yield self
        finally:
            await self._wire.close()

    async def tags(self) -> AsyncIterator[HarborTag]:
        """Every tag of every repository that the login may see. Raises ClientErrors."""
        async for project in self._list("projects"):
            project_name = _text(project, "name")
            path = f"projects/{quote(project_name, safe='')}/repositories"
            async for repository in self._list(path):
                name = _text(repository, "name")
                async for tag in self._repository(project_name, name):
                    yield tag

    async def _repository(self, project: str, name: str) -> AsyncIterator[HarborTag]:
        # A slash is encoded twice, because proxies undo one.
        within = quote(quote(name.removeprefix(f"{project}/"), safe=""), safe="")
        path = f"projects/{quote(project, safe='')}/repositories/{within}/artifacts"
        # Without base=* there are no tags of what an index names, and none of accessories.
        async for artifact in self._list(path, "&with_tag=true&q=tags=*%2Cbase=*"):
            for tag in artifact.get("tags") or ():
                pushed = tag.get("push_time") or ""
                yield HarborTag(name, _text(tag, "name"), _text(artifact, "digest"), pushed)

    async def _list(self, path: str, query: str = "") -> AsyncIterator[dict[str, Any]]:
        page = 1
        while True:
            url = self._base.join(f"{path}?page={page}&page_size={_PAGE}{query}")
            entries = self._entries(await self._get(url))
            for entry in entries:
                yield entry
            if len(entries) < _PAGE:
                return
            page += 1

    async def _get(self, url: httpx.URL) -> Reply:
        ask = Ask("GET", url, self._headers)

        async def once() -> Reply:
            async with self._wire.send(ask, url) as response:
                await self._wire.check(ask, response)
                body = await self._wire.read(response)
                return Reply(response.status_code, response.headers, body, response.url)

        return await self._wire.attempts(once)

    def _entries(self, reply: Reply) -> list[dict[str, Any]]:
        try:
            found = orjson.loads(reply.body)
        except ValueError:
            found = None
        if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
            raise ProtocolViolation(
                f"{self._wire.registry} answered {reply.url.path} with no list: is this a Harbor?"
            )
        return found


def _text(entry: dict[str, Any], key: str) -> str:
    found = entry.get(key)
    if not isinstance(found, str):
        raise ProtocolViolation(f"Harbor sent an entry without {key}: {str(entry)[:200]}")
    return found
