"""Pushes, mounts, deletions and collections in any order: nothing reachable goes, the rest does.

Each example is a little history: clients with lists of things to do, collectors that are killed at
random, on two nodes over one database and one storage. See :mod:`tests.gc.interleaving`.
"""

import asyncio
import os
import random
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from longshore import migrations
from longshore.access.anonymous import AnonymousController
from longshore.db.database import Database
from longshore.gc.collection import PATIENCE, Collection, CollectionOptions
from longshore.gc.unknown import StorageUnknown
from longshore.http.application import Application
from longshore.oci.digest import Digest
from longshore.registry import tables
from longshore.registry.faults import explain_storage
from longshore.registry.install import DataPlaneOptions, install
from longshore.storage import layout
from longshore.storage.backends import Backends
from longshore.telemetry import clock
from longshore.testing.builders import Content, Image, artifact, image, index
from tests.gc.interleaving import SteppedDatabase, SteppedDriver, World

LEASE = 7200.0
REPOSITORIES = ("one", "two")
IMAGES = (image([b"base", b"a"]), image([b"base", b"b"]), image([b"base", b"a", b"c"]))
SIGNATURES = tuple(artifact(picture.manifest) for picture in IMAGES)
PICTURES: tuple[Image, ...] = IMAGES + SIGNATURES
INDEXES = (index([IMAGES[0].manifest, IMAGES[1].manifest]), index([IMAGES[2].manifest]))
MANIFESTS: dict[str, Content] = {
    content.digest: content for content in [*(p.manifest for p in PICTURES), *INDEXES]
}
BLOBS: dict[str, list[Content]] = {picture.digest: list(picture.blobs) for picture in PICTURES}
CHILDREN: dict[str, list[Image]] = {
    INDEXES[0].digest: [IMAGES[0], IMAGES[1]],
    INDEXES[1].digest: [IMAGES[2]],
}
SUBJECTS = {
    signature.digest: picture.digest for signature, picture in zip(SIGNATURES, IMAGES, strict=True)
}


@dataclass(frozen=True)
class Push:
    """An image, a signature or an index, under a tag of the client's own or only by its digest."""

    repository: str
    picture: int
    tag: str | None
    mounts: bool


@dataclass(frozen=True)
class Untag:
    repository: str
    tag: str


@dataclass(frozen=True)
class Delete:
    """A manifest by its digest, and with it all its tags."""

    repository: str
    picture: int


Deed = Push | Untag | Delete


@dataclass(frozen=True)
class Collect:
    """A run, killed before its ``killed``-th step if that comes."""

    killed: int | None


repositories = st.sampled_from(REPOSITORIES)
tags = st.sampled_from(["stable", "edge"])
everything = st.integers(0, len(PICTURES) + len(INDEXES) - 1)
pushes = st.builds(Push, repositories, everything, st.none() | tags, st.booleans())
deeds = st.one_of(
    pushes,
    pushes,
    st.builds(Untag, repositories, tags),
    st.builds(Delete, repositories, everything),
)
clients = st.lists(st.lists(deeds, min_size=1, max_size=6), min_size=1, max_size=3)
collectors = st.lists(
    st.lists(st.builds(Collect, st.none() | st.integers(1, 60)), min_size=1, max_size=4),
    min_size=1,
    max_size=2,
)


class TryAgain(Exception):
    """503 with Retry-After."""


def digest_of(number: int) -> Digest:
    return list(MANIFESTS.values())[number].digest


@dataclass
class Client:
    """One client: what it does, and which of its tags must be there at the end."""

    name: str
    http: httpx.AsyncClient
    world: World
    deleted: dict[tuple[str, str], int]
    tags: dict[tuple[str, str], str] = field(default_factory=dict)

    async def act(self, todo: list[Deed]) -> None:
        for deed in todo:
            match deed:
                case Push():
                    # The promise holds for a lease: a push that takes longer has no right to it.
                    self.world.limits[self] = self.world.now + 0.9 * LEASE
                    while not await self.was_pushed(deed):
                        del self.world.limits[self]
                        self.world.pass_time(LEASE)
                        self.world.limits[self] = self.world.now + 0.9 * LEASE
                    del self.world.limits[self]
                case Untag():
                    tag = f"{self.name}-{deed.tag}"
                    await self.http.delete(f"/v2/{deed.repository}/manifests/{tag}")
                    self.tags.pop((deed.repository, tag), None)
                case Delete():
                    digest = digest_of(deed.picture)
                    self._forget(deed.repository, digest)
                    await self.http.delete(f"/v2/{deed.repository}/manifests/{digest}")
                    self._forget(deed.repository, digest)

    def _forget(self, repository: str, digest: str) -> None:
        self.deleted[repository, digest] = self.world.steps

    async def was_pushed(self, push: Push) -> bool:
        """False when old bytes were just being removed, and the client has to come again."""
        try:
            await self.push(push)
        except TryAgain:
            return False
        return True

    async def push(self, push: Push) -> None:
        since = self.world.steps
        digest = digest_of(push.picture)
        for child in CHILDREN.get(digest, ()):
            there = await self.http.head(f"/v2/{push.repository}/manifests/{child.digest}")
            if there.status_code == 404:
                await self._push_image(push, child.digest, child.digest, since)
            else:
                assert there.status_code == 200
        tag = f"{self.name}-{push.tag}" if push.tag else None
        if await self._push_image(push, digest, tag or digest, since) and tag:
            self.tags[push.repository, tag] = digest

    async def _push_image(self, push: Push, digest: str, reference: str, since: int) -> bool:
        for blob in BLOBS.get(digest, ()):
            await self._push_blob(push, blob)
        manifest = MANIFESTS[digest]
        done = await self.http.put(
            f"/v2/{push.repository}/manifests/{reference}",
            content=manifest.data,
            headers={"Content-Type": manifest.descriptor.media_type},
        )
        if done.status_code == 201:
            return True
        if done.status_code == 503:
            raise TryAgain
        children = [child.digest for child in CHILDREN.get(digest, ())]
        by_hand = [d for d in children if self.deleted.get((push.repository, d), -1) >= since]
        assert by_hand, f"{self.name}: {push} was refused: {done.status_code} {done.text}"
        return False

    async def _push_blob(self, push: Push, blob: Content) -> None:
        path = f"/v2/{push.repository}/blobs"
        there = await self.http.head(f"{path}/{blob.digest}")
        if there.status_code == 200:
            return
        assert there.status_code == 404
        query = ""
        if push.mounts:
            other = REPOSITORIES[1 - REPOSITORIES.index(push.repository)]
            query = f"?mount={blob.digest}&from={other}"
        begun = await self.http.post(f"{path}/uploads/{query}")
        if query and begun.status_code == 201:
            return
        assert begun.status_code == 202, begun.text
        location = begun.headers["location"]
        if self.world.chance.random() < 0.5:
            begun = await self.http.patch(location, content=blob.data)
            assert begun.status_code == 202, begun.text
            done = await self.http.put(f"{location}?digest={blob.digest}")
        else:
            done = await self.http.put(f"{location}?digest={blob.digest}", content=blob.data)
        if done.status_code == 503:
            raise TryAgain
        assert done.status_code == 201, done.text

    def __hash__(self) -> int:
        return id(self)


@dataclass
class History:
    """The world of one example, and what is checked at its end."""

    world: World
    nodes: list[tuple[httpx.AsyncClient, SteppedDatabase, SteppedDriver]]
    deleted: dict[tuple[str, str], int] = field(default_factory=dict)

    async def run(self, clients: list[list[Deed]], collectors: list[list[Collect]]) -> None:
        people = [
            Client(f"client{number}", self.nodes[number % 2][0], self.world, self.deleted)
            for number in range(len(clients))
        ]
        actors = [
            asyncio.create_task(person.act(todo))
            for person, todo in zip(people, clients, strict=True)
        ]
        actors += [
            asyncio.create_task(self.collect(number, runs))
            for number, runs in enumerate(collectors)
        ]
        await self.world.run(actors, longest=2 * LEASE)
        for person in people:
            await self.check_tags(person)
        await self.check_end()

    async def collect(self, number: int, runs: list[Collect]) -> None:
        for collect in runs:
            run = asyncio.create_task(self.collection(number).run())
            if collect.killed is not None:
                last = self.world.steps + collect.killed
                while not run.done() and self.world.steps < last:  # noqa: ASYNC110 - counted in steps
                    await asyncio.sleep(0)
                run.cancel()
            try:
                await run
            except asyncio.CancelledError:
                assert collect.killed is not None
            except StorageUnknown:
                pass  # before the first push of all; files have the age of another clock here

    def collection(self, number: int = 0) -> Collection:
        _, database, driver = self.nodes[number % 2]
        return Collection(
            database, Backends.of(driver), CollectionOptions(lease=LEASE, delete_untagged=True)
        )

    async def alone(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        await self.world.run([asyncio.create_task(coroutine)], longest=0.0)

    async def check_tags(self, person: Client) -> None:
        async def check() -> None:
            for (repository, tag), digest in person.tags.items():
                if (repository, digest) in self.deleted:
                    continue
                found = await person.http.get(f"/v2/{repository}/manifests/{tag}")
                assert found.status_code == 200, (repository, tag, digest)
                assert found.headers["docker-content-digest"] == digest

        await self.alone(check())

    async def check_end(self) -> None:
        reachable = await self.check_reachable()
        tallies: list[str] = []
        # Whatever happened, two runs a lease apart, with nobody pushing, leave nothing else.
        for wait in (PATIENCE + 1, PATIENCE + 1):
            self.world.now += wait * LEASE
            run = self.collection()
            await self.alone(run.run())
            tallies.append(str(run.tally))
        assert await self.check_reachable() == reachable
        stored = {layout.blob_digest(e.path) async for e in self.nodes[0][2].list(layout.BLOBS)}
        assert stored == reachable, (tallies, await self.rows(stored ^ reachable))

    async def rows(self, digests: set[str | None]) -> list[object]:
        """What the tables say of blobs, to be shown when they should not be there."""

        def ask(connection: Connection) -> list[object]:
            found: list[object] = [self.world.now]
            for table in (tables.blobs, tables.repository_blobs, tables.manifests):
                query = select(table).where(table.c.digest.in_(digests))
                found += connection.execute(query).mappings().all()
            return found

        return await Database.read(self.nodes[0][1], ask)

    async def check_reachable(self) -> set[str]:
        """Everything that tags reach can be pulled; the digests of it."""
        reachable: set[str] = set()

        async def check() -> None:
            for repository in REPOSITORIES:
                listed = await self.nodes[0][0].get(f"/v2/{repository}/tags/list")
                for tag in listed.json().get("tags") or () if listed.status_code == 200 else ():
                    found = await self.nodes[1][0].get(f"/v2/{repository}/manifests/{tag}")
                    assert found.status_code == 200
                    reachable.update(
                        await self.pull(repository, found.headers["docker-content-digest"])
                    )

        await self.alone(check())
        return reachable

    async def pull(self, repository: str, digest: str) -> set[str]:
        """All that hangs on a manifest, by asking for each piece."""
        http = self.nodes[0][0]
        found = await http.get(f"/v2/{repository}/manifests/{digest}")
        assert found.content == MANIFESTS[digest].data, (repository, digest)
        pieces = {digest}
        for blob in BLOBS.get(digest, ()):
            got = await http.get(f"/v2/{repository}/blobs/{blob.digest}")
            assert got.content == blob.data, (repository, blob.digest)
            pieces.add(blob.digest)
        for child in CHILDREN.get(digest, ()):
            if (repository, child.digest) not in self.deleted or (
                await http.head(f"/v2/{repository}/manifests/{child.digest}")
            ).status_code == 200:
                pieces |= await self.pull(repository, child.digest)
        referrers = (await http.get(f"/v2/{repository}/referrers/{digest}")).json()
        for descriptor in referrers["manifests"]:
            pieces |= await self.pull(repository, descriptor["digest"])
        return pieces


@asynccontextmanager
async def history(
    seed: int, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[History]:
    world = World(random.Random(seed), clock.timestamp())
    monkeypatch.setattr(clock, "timestamp", world.timestamp)
    monkeypatch.setattr(clock, "monotonic", world.timestamp)
    nodes = []
    async with AsyncExitStack() as stack:
        for _ in range(2):
            database = SteppedDatabase(f"sqlite:///{directory}/longshore.db", pool_size=2)
            database.world = world
            database.open()
            stack.callback(database.close)
            migrations.upgrade(database)
            driver = SteppedDriver(directory / "data")
            driver.world = world
            await driver.open()
            stack.push_async_callback(driver.close)
            plane = install(
                database, Backends.of(driver), AnonymousController(), DataPlaneOptions()
            )
            application = Application(plane.routes, _nothing(), explain=explain_storage)
            http = httpx.AsyncClient(
                transport=httpx.ASGITransport(application, raise_app_exceptions=True),
                base_url="http://test",
            )
            await stack.enter_async_context(http)
            nodes.append((http, database, driver))
        yield History(world, nodes)


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A directory for small databases; in memory where there is such a place."""
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as directory:
        yield Path(directory)


@given(clients=clients, collectors=collectors, seed=st.integers(0, 2**32))
@settings(
    max_examples=int(os.environ.get("GC_EXAMPLES", "25")),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_nothing_reachable_goes_and_everything_else_does(
    clients: list[list[Deed]], collectors: list[list[Collect]], seed: int, memory: Path
) -> None:
    async def example(directory: Path) -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            async with history(seed, directory, monkeypatch) as found:
                await found.run(clients, collectors)

    with tempfile.TemporaryDirectory(dir=memory) as directory:
        asyncio.run(asyncio.wait_for(example(Path(directory)), 60))
