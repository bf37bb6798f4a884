"""A registry in process: the real application over real storage, on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio.to_thread
import httpx
import pytest

from longshore import migrations
from longshore.access.anonymous import AnonymousController
from longshore.access.model import AccessController
from longshore.db.database import Database
from longshore.http.application import Application
from longshore.http.routing import Route
from longshore.oci.digest import Digest
from longshore.outbox.recording import Outbox
from longshore.registry.faults import explain_storage
from longshore.registry.install import DataPlaneOptions, install
from longshore.registry.policy import PushGate, StorageGate
from longshore.registry.upstream import Upstream
from longshore.storage.backends import Backend, Backends, Placement
from longshore.storage.driver import StorageDriver
from longshore.storage.filesystem import FilesystemDriver
from longshore.testing.builders import Content, Image


@dataclass
class Registry:
    """A client of one process' application, with the verbs that tests repeat."""

    client: httpx.AsyncClient
    application: Application
    database: Database
    driver: FilesystemDriver
    backends: Backends
    upstream: Upstream | None = None

    async def begin(self, name: str, query: str = "") -> str:
        """Start an upload; its location."""
        response = await self.client.post(f"/v2/{name}/blobs/uploads/{query}")
        assert response.status_code == 202, response.text
        return response.headers["location"]

    async def push_blob(self, name: str, data: bytes, algorithm: str = "sha256") -> Digest:
        digest = Digest.of(data, algorithm)
        location = await self.begin(name)
        response = await self.client.put(f"{location}?digest={digest}", content=data)
        assert response.status_code == 201, response.text
        return digest

    async def push_manifest(self, name: str, reference: str, manifest: Content) -> httpx.Response:
        return await self.client.put(
            f"/v2/{name}/manifests/{reference}",
            content=manifest.data,
            headers={"Content-Type": manifest.descriptor.media_type},
        )

    async def push_image(self, name: str, reference: str, image: Image) -> httpx.Response:
        for blob in image.blobs:
            await self.push_blob(name, blob.data)
        response = await self.push_manifest(name, reference, image.manifest)
        assert response.status_code == 201, response.text
        return response


@dataclass
class Cluster:
    """Several processes' worth of applications over one database and one storage."""

    url: str
    directory: Path
    options: DataPlaneOptions = field(default_factory=DataPlaneOptions)
    access: AccessController = field(default_factory=AnonymousController)
    driver_type: type[FilesystemDriver] = FilesystemDriver
    named: Sequence[str] = ()
    rules: Sequence[Placement] = ()
    upstream: Callable[[Database, StorageDriver], Upstream] | None = None
    gates: Sequence[PushGate] = ()
    outbox: Outbox = field(default_factory=Outbox)
    storage_gates: Callable[[Database], Sequence[StorageGate]] = lambda _: ()

    def _database(self) -> Database:
        database = Database(self.url, pool_size=4)
        database.open()
        migrations.upgrade(database)
        return database

    @asynccontextmanager
    async def node(
        self,
        options: DataPlaneOptions | None = None,
        before: Sequence[Route] = (),
        around: Callable[[Database, Sequence[Route]], Sequence[Route]] = lambda _, routes: routes,
    ) -> AsyncIterator[Registry]:
        database = await anyio.to_thread.run_sync(self._database)
        driver = self.driver_type(self.directory)
        named = {
            name: Backend.of(self.driver_type(self.directory.with_name(f"data-{name}")))
            for name in self.named
        }
        backends = Backends(Backend.of(driver), named, self.rules)
        await backends.open()
        upstream = self.upstream(database, driver) if self.upstream else None
        plane = install(
            database,
            backends,
            self.access,
            options or self.options,
            self.gates,
            self.outbox,
            upstream=upstream,
            storage_gates=self.storage_gates(database),
        )
        application = Application(
            [*before, *around(database, plane.routes)], _nothing(), explain=explain_storage
        )
        transport = httpx.ASGITransport(application, raise_app_exceptions=True)
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                yield Registry(client, application, database, driver, backends, upstream)
        finally:
            await anyio.to_thread.run_sync(database.close)
            await backends.close()


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Every test of the data plane runs on both databases."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/longshore.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def cluster(database_url: str, tmp_path: Path) -> Cluster:
    return Cluster(database_url, tmp_path / "data")


@pytest.fixture
async def registry(cluster: Cluster) -> AsyncIterator[Registry]:
    async with cluster.node() as node:
        yield node
