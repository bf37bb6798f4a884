"""A small registry around a controller: enough routes to need every right, and a clock to set."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from longshore.access.controller import create
from longshore.access.model import Access, AccessController, Action
from longshore.access.routes import routes
from longshore.access.settings import AccessSettings, AuthSettings
from longshore.http.application import Application
from longshore.http.request import Request
from longshore.http.response import JSONResponse, Response
from longshore.http.routing import Route
from longshore.oci.names import RepositoryName
from longshore.telemetry.exchange import Exchange

SECRET = b"one secret for all processes of the registry"
RIGHTS = {
    "GET": (Action.PULL,),
    "PUT": (Action.PULL, Action.PUSH),
    "DELETE": (Action.DELETE,),
}


class Clock:
    """Both kinds of time; stands still unless told to advance."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Registry:
    """One worker process: its controller, a client that talks to it, and what its log would say."""

    controller: AccessController
    client: httpx.AsyncClient
    clock: Clock
    exchanges: list[Exchange] = field(default_factory=list)

    async def ask(self, method: str, path: str, **headers: str) -> httpx.Response:
        named = [
            (name.replace("_", "-").encode(), value.encode("latin-1"))
            for name, value in headers.items()
            if value
        ]
        return await self.client.request(method, path, headers=named)


def edit(path: Path, old: bytes = b"", new: bytes = b"") -> None:
    """Change a file as an editor does: replace ``old`` wherever it is, or append ``new``."""
    content = path.read_bytes()
    path.write_bytes(content.replace(old, new) if old else content + new)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _routes(controller: AccessController) -> list[Route]:
    async def answer(request: Request, *wanted: Access) -> Response:
        owner = request.headers.get("x-upload-owner")
        grant = await controller.authorize(request, wanted, upload_owner=owner)
        return JSONResponse({"user": grant.principal.name, "expired": grant.expired})

    async def base(request: Request) -> Response:
        return await answer(request)

    async def catalog(request: Request) -> Response:
        return await answer(request, Access.catalog())

    async def repository(request: Request, name: str) -> Response:
        return await answer(
            request, Access.repository(RepositoryName(name), *RIGHTS[request.method])
        )

    async def mount(request: Request, name: str, source: str) -> Response:
        readable = await controller.may_pull(request, RepositoryName(source))
        return JSONResponse({"mounted": readable})

    return [
        *routes(controller),
        Route("base", "/v2/", {"GET": base}, ""),
        Route("catalog", "/v2/_catalog", {"GET": catalog}, ""),
        Route("mount", "/v2/(?P<name>.+)/mount/(?P<source>.+)", {"POST": mount}, ""),
        Route("repository", "/v2/(?P<name>.+)/x", dict.fromkeys(RIGHTS, repository), ""),
    ]


@asynccontextmanager
async def serving(
    auth: dict[str, Any],
    access: dict[str, Any] | None = None,
    *,
    clock: Clock | None = None,
    address: str = "192.0.2.1",
    read_only: bool = False,
    **options: Any,
) -> AsyncIterator[Registry]:
    """A registry with these sections of config.yml."""
    clock = clock or Clock()
    controller = create(
        AuthSettings.model_validate(auth),
        AccessSettings.model_validate(access or {}),
        **{"secret": SECRET, "monotonic": clock, "clock": clock, **options},
    )
    exchanges: list[Exchange] = []
    application = Application(
        _routes(controller), nullcontext(), observers=[exchanges.append], read_only=read_only
    )
    await controller.start()
    try:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(application, client=(address, 40000)),
            base_url="https://registry.example",
        ) as client:
            yield Registry(controller, client, clock, exchanges)
    finally:
        await controller.stop()


@asynccontextmanager
async def elsewhere(registry: Registry, address: str) -> AsyncIterator[Registry]:
    """The same process, asked from another address."""
    transport = registry.client._transport
    assert isinstance(transport, httpx.ASGITransport)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(transport.app, client=(address, 40000)),
        base_url="https://registry.example",
    ) as client:
        yield Registry(registry.controller, client, registry.clock, registry.exchanges)
