"""A registry with people: nodes over one database, and requests as somebody."""

import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio.to_thread
import httpx

from longshore import migrations
from longshore.access.passwords import hash_argon2
from longshore.access.routes import routes
from longshore.access.settings import AccessSettings
from longshore.db.database import Database
from longshore.db.encryption import Encryption
from longshore.http.routing import Route
from longshore.identity import install, store
from longshore.identity.model import Role
from longshore.identity.naming import RepositoryNames
from longshore.identity.settings import TokenServiceSettings
from longshore.testing.builders import Image, image
from tests.services.in_process import Cluster, Registry

PASSWORD = "Secret12"
ENCRYPTION = Encryption(["tests"])
HASH = hash_argon2(PASSWORD.encode())
IMAGE = image([b"what the project holds"])
#: Who is what in both projects, ``private`` and ``public``.
ROLES = {role.word: role for role in Role}


def basic(user: str, password: str = PASSWORD) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@dataclass
class Node:
    """One process of the registry."""

    registry: Registry
    people: Database

    async def change(self, work: Any, **values: Any) -> Any:
        """Do as a command would."""
        return await self.people.write(partial(work, **values))

    async def ask(
        self, user: str, method: str, path: str, password: str = PASSWORD, **parts: Any
    ) -> httpx.Response:
        """Send a request as somebody; as nobody when the name is empty."""
        headers = {**parts.pop("headers", {})}
        if user:
            headers["Authorization"] = basic(user, password)
        return await self.registry.client.request(method, path, headers=headers, **parts)

    async def push(self, user: str, name: str, content: Image = IMAGE) -> int:
        """The status of the last step of a push that got so far."""
        for blob in content.blobs:
            path = f"/v2/{name}/blobs/uploads/?digest={blob.digest}"
            response = await self.ask(user, "POST", path, content=blob.data)
            if response.status_code != 201:
                return response.status_code
        response = await self.ask(
            user,
            "PUT",
            f"/v2/{name}/manifests/latest",
            content=content.manifest.data,
            headers={"Content-Type": content.manifest.descriptor.media_type},
        )
        return response.status_code


@asynccontextmanager
async def node(
    cluster: Cluster,
    *,
    tokens: TokenServiceSettings = install.DEFAULT_TOKENS,
    encryption: Encryption = ENCRYPTION,
    **access: Any,
) -> AsyncIterator[Node]:
    """One more process, with a controller and a memory of its own."""
    people = await anyio.to_thread.run_sync(partial(_open, cluster.url))
    settings = AccessSettings.model_validate(access)
    controller = install.create(
        people, settings, encryption=encryption, host="", prefix="", tokens=tokens
    )
    await controller.start()
    cluster.access = controller
    try:
        async with cluster.node(before=routes(controller), around=_for_both_names) as registry:
            yield Node(registry, people)
    finally:
        await controller.stop()
        await anyio.to_thread.run_sync(people.close)


def _for_both_names(database: Database, found: Sequence[Route]) -> Sequence[Route]:
    return RepositoryNames(database).around(found)


def _open(url: str) -> Database:
    database = Database(url, pool_size=4)
    database.open()
    migrations.upgrade(database)
    return database


@asynccontextmanager
async def populated(
    cluster: Cluster, tokens: TokenServiceSettings = install.DEFAULT_TOKENS
) -> AsyncIterator[Node]:
    """A node, a user for each role, a stranger, an administrator ``root``, and an image in a repository of
    each of the projects ``private``, ``public`` and ``library``."""
    async with node(cluster, tokens=tokens) as found:
        await found.change(_populate)
        for name in ("private/app", "public/app", "tool"):
            assert await found.push("root", name) == 201
        yield found


def _populate(connection: Any) -> None:
    for user in (*ROLES, "stranger", "root"):
        store.add_user(connection, user, HASH, 1.0, is_admin=user == "root")
    for project in ("private", "public", "library"):
        store.add_project(connection, project, 1.0, public=project != "private")
        for user, role in ROLES.items() if project != "library" else ():
            store.set_member(connection, project, user, role)
