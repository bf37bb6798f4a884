"""A whole registry with people in process: every part that the composition root makes, on SQLite and
on PostgreSQL, and requests as somebody."""

import base64
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
import yaml

from longshore import app
from longshore.access.passwords import hash_argon2
from longshore.identity import store
from longshore.identity.model import Role
from longshore.settings import load_configuration
from longshore.telemetry.logs import Handler
from longshore.testing.builders import Image, image
from tests.services.registries import Registry, RegistryFactory

PASSWORD = "Secret12"
HASH = hash_argon2(PASSWORD.encode())
IMAGE = image([b"what a repository holds"])
ADMIN = "admin"


@dataclass
class Management:
    """One process of a registry. ``ask`` sends as the user ``by``; nobody when that is empty."""

    client: httpx.AsyncClient
    database: Any
    passwords: dict[str, str] = field(default_factory=dict)

    async def ask(
        self, by: str, method: str, path: str, *, password: str = "", **parts: Any
    ) -> httpx.Response:
        """``path`` below /api/v2.0, or a whole one that begins with /api, /c, /v2 or /service."""
        headers = {**parts.pop("headers", {})}
        if by:
            secret = password or self.passwords.get(by, PASSWORD)
            pair = base64.b64encode(f"{by}:{secret}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        whole = path.startswith(("/api/", "/c/", "/v2", "/service/", "/."))
        url = path if whole else f"/api/v2.0{path}"
        return await self.client.request(method, url, headers=headers, **parts)

    async def change(self, work: Any, **values: Any) -> Any:
        """Do as a command would."""
        return await self.database.write(partial(work, **values))

    async def add_user(self, name: str, **values: Any) -> int:
        """With PASSWORD; the id."""
        found: int = await self.change(
            store.add_user, name=name, password_hash=HASH, now=1.0, **values
        )
        return found

    async def add_project(
        self, name: str, members: dict[str, Role] | None = None, **values: Any
    ) -> int:
        """The id; ``members`` are users that exist."""
        project: int = await self.change(store.add_project, name=name, now=1.0, **values)
        for user, role in (members or {}).items():
            await self.change(store.set_member, project=name, user=user, role=role)
        return project

    async def push(
        self, by: str, name: str, tag: str = "latest", content: Image = IMAGE
    ) -> httpx.Response:
        """The answer to the last step of a push that got so far."""
        for blob in content.blobs:
            path = f"/v2/{name}/blobs/uploads/?digest={blob.digest}"
            response = await self.ask(by, "POST", path, content=blob.data)
            if response.status_code != 201:
                return response
        return await self.ask(
            by,
            "PUT",
            f"/v2/{name}/manifests/{tag}",
            content=content.manifest.data,
            headers={"Content-Type": content.manifest.descriptor.media_type},
        )


@asynccontextmanager
async def management_of(
    database_url: str, directory: Path, slot: int = 0, **sections: Any
) -> AsyncIterator[Management]:
    """One process over ``database_url`` and ``directory``; ``sections`` are merged into the
    configuration."""
    document = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
        "auth": {"longshore": {}},
        **{name: value for name, value in sections.items() if name != "longshore"},
        "longshore": {
            "database": {"url": database_url},
            "admin": {"password": PASSWORD},
            **sections.get("longshore", {}),
        },
    }
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"config-{slot}.yml"
    path.write_text(yaml.safe_dump(document))
    shared = directory / f"shared-{slot}"
    shared.mkdir(exist_ok=True)

    def build() -> Any:
        configuration = load_configuration(path, {})
        return app.service(app.prepare(configuration, shared), slot)

    service = await anyio.to_thread.run_sync(build)
    # A process of its own would send its log to standard error; here other tests would find that.
    _forget_log()
    application = service.application
    async with application.lifespan:
        transport = httpx.ASGITransport(application, raise_app_exceptions=True)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://registry.test", timeout=60
        ) as client:
            database = await anyio.to_thread.run_sync(partial(_open, database_url))
            try:
                yield Management(client, database)
            finally:
                await anyio.to_thread.run_sync(database.close)


@pytest.fixture
def served(registry_factory: RegistryFactory) -> Registry:
    """A server with the administrator ``admin`` whose password is PASSWORD, as users start it."""
    return registry_factory(
        {"auth": {"longshore": {}}, "longshore": {"admin": {"password": PASSWORD}}},
        ready=answers_api,
    )


def answers_api(registry: Registry) -> bool:
    try:
        with registry.client(login=False) as client:
            return client.get("/api/v2.0/projects").is_success
    except httpx.TransportError:
        return False


def _forget_log() -> None:
    root = logging.getLogger()
    for handler in [found for found in root.handlers if isinstance(found, Handler)]:
        root.removeHandler(handler)
    root.setLevel(logging.WARNING)
    logging.captureWarnings(False)


def _open(url: str) -> Any:
    from longshore.db.database import Database

    database = Database(url, pool_size=2)
    database.open()
    return database


@pytest.fixture
async def management(database_url: str, tmp_path: Path) -> AsyncIterator[Management]:
    """One process, with the administrator ``admin`` and the public project ``library``."""
    async with management_of(database_url, tmp_path) as found:
        yield found
