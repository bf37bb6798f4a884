"""A mover is killed before or after any of its steps: nothing is lost, and nothing is left unknown."""

from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

import anyio.to_thread
import pytest
from sqlalchemy import text

from longshore.db.database import Database
from longshore.jobs.model import Job
from longshore.oci.digest import Digest
from longshore.placement.copying import STAGED
from longshore.placement.model import Move
from longshore.placement.move import StorageMove
from longshore.placement.removal import SpareCopyRemoval
from longshore.registry import store as registry_store
from longshore.storage import layout
from longshore.storage.backends import Backend, Backends
from longshore.storage.filesystem import FilesystemDriver
from longshore.testing.builders import image, random_bytes

pytestmark = pytest.mark.anyio


class Killed(Exception):
    """The process is no more."""


@dataclass
class Life:
    """Ends ``before`` or after the step that ``left`` counts down to."""

    left: int
    before: bool

    async def step(self, work: Any) -> Any:
        self.left -= 1
        if self.left < 0 or (self.left == 0 and self.before):
            raise Killed
        result = await work()
        if self.left == 0:
            raise Killed
        return result


class MortalDatabase(Database):
    life: Life

    async def read(self, work: Any) -> Any:
        return await self.life.step(partial(super().read, work))

    async def write(self, work: Any, *, durable: bool = True) -> Any:
        return await self.life.step(partial(super().write, work))


class MortalDriver(FilesystemDriver):
    life: Life

    async def write(self, path: str, content: bytes) -> None:
        await self.life.step(partial(super().write, path, content))

    async def append(self, staged: Any, chunks: Any) -> Any:
        return await self.life.step(partial(super().append, staged, chunks))

    async def publish(self, staged: Any, path: str) -> None:
        await self.life.step(partial(super().publish, staged, path))

    async def discard(self, upload: str) -> None:
        await self.life.step(partial(super().discard, upload))

    async def delete(self, path: str) -> None:
        await self.life.step(partial(super().delete, path))


@dataclass
class Context:
    """What a task is given, for one attempt."""

    job: Job
    state: Any = None
    lines: list[str] = field(default_factory=list)

    async def progress(self, done: int, total: int | None = None, message: str = "") -> None:
        pass

    async def log(self, line: str) -> None:
        self.lines.append(line)

    def leave_no_trace(self) -> None:
        pass

    async def checkpoint(self, state: Any) -> None:
        self.state = state


def job(payload: dict[str, Any]) -> Job:
    unset: dict[str, Any] = dict.fromkeys(each.name for each in fields(Job))
    return Job(**{**unset, "id": 1, "payload": payload})


async def copies(registry):
    """Every copy of bytes that there is, and every staged upload."""
    found, staged = set(), []
    for name, backend in registry.backends.all.items():
        async for entry in backend.driver.list(layout.BLOBS):
            found.add((layout.blob_digest(entry.path), name))
        staged += [upload async for upload, _ in backend.driver.list_staged()]
    return found, staged


async def known(registry, digests):
    """What the rows say is read, and what they say is spare."""

    def ask(connection):
        read = {(digest, registry_store.location(connection, digest)) for digest in digests}
        spare = connection.execute(text("SELECT digest, backend FROM spare_copies"))
        return read, {tuple(row) for row in spare}

    return await registry.database.read(ask)


def opened(url):
    database = MortalDatabase(url, pool_size=2)
    database.open()
    return database


@pytest.fixture
def mortal(cluster, registry):
    """A database and backends that end with a life."""

    async def make(life):
        database = await anyio.to_thread.run_sync(opened, cluster.url)
        database.life = life
        drivers = {}
        for name, backend in registry.backends.all.items():
            directory = backend.driver.local_path("/x").parent
            drivers[name] = MortalDriver(directory)
            drivers[name].life = life
            await drivers[name].open()
        named = {name: Backend.of(driver) for name, driver in drivers.items() if name}
        return database, Backends(Backend.of(drivers[""]), named)

    return make


async def test_a_mover_may_be_killed_at_any_step(registry, mortal, monkeypatch):
    # A killed removal keeps others from its copy for so long.
    monkeypatch.setattr("longshore.placement.store.DELETION", 0.05)
    monkeypatch.setattr("longshore.placement.move._PAUSE", 0.02)
    pushed = image()
    await registry.push_image("team/app", "v1", pushed)
    large = random_bytes((1 << 20) + 1)
    await registry.push_blob("team/app", large)
    digests = [content.descriptor.digest for content in (*pushed.blobs, pushed.manifest)]
    digests.append(Digest.of(large))
    kills, step, to = 0, 1, "cold"
    while True:
        life = Life((step + 1) // 2, before=step % 2 == 0)
        database, backends = await mortal(life)
        died = False
        try:
            await StorageMove(database, backends, -1.0).run(Context(job(Move(to).to_json())))
            await SpareCopyRemoval(database, backends, -1.0).run(Context(job({})))
        except Killed:
            died = True
        finally:
            await backends.close()
            await anyio.to_thread.run_sync(database.close)
        if not died and life.left > 0:
            break  # it lived longer than its work took
        kills += 1
        step += 1
        read, spare = await known(registry, digests)
        found, staged = await copies(registry)
        assert read <= found, "something that is read is not there"
        assert found <= read | spare, "a copy is there that nobody knows"
        assert all(upload.startswith(STAGED) for upload in staged)
        if kills % 3 == 0:
            to = {"cold": "fast", "fast": "", "": "cold"}[to]

    answer = await registry.client.get("/v2/team/app/manifests/v1")
    assert answer.content == pushed.manifest.data
    answer = await registry.client.get(f"/v2/team/app/blobs/{Digest.of(large)}")
    assert answer.content == large
    assert kills > 25
