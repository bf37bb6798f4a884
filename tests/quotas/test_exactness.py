"""The totals are what the rows say, whatever happens at once and whoever is refused."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import exists, make_url, select, text

from longshore import migrations
from longshore.catalog import store as catalog
from longshore.db.database import Connection, Database
from longshore.db.listing import Listing
from longshore.gc.collection import Collection, CollectionOptions
from longshore.gc.unknown import StorageUnknown
from longshore.identity import store as people
from longshore.identity.model import ANYWHERE, Places, View
from longshore.outbox.deferred import DeferredOutbox
from longshore.outbox.recording import Outbox
from longshore.quotas import checking, store
from longshore.quotas.gate import LargestRepositories, QuotaGate
from longshore.quotas.install import prepare
from longshore.quotas.model import Defaults, Resource, Usage
from longshore.registry.expiry import UploadExpiry
from longshore.registry.tables import manifests, repositories
from longshore.testing.builders import Image, artifact, image, random_bytes
from tests.services.in_process import Cluster, Registry

pytestmark = pytest.mark.anyio

LIMIT = 6000
PROJECTS = ("one", "two")
LAYERS = [random_bytes(700 + 100 * number, number) for number in range(6)]
IMAGES = [image([LAYERS[number], LAYERS[(number + 2) % 6]]) for number in range(6)]
PICTURES: list[Image] = [*IMAGES, artifact(IMAGES[0].manifest), artifact(IMAGES[1].manifest)]

projects = st.sampled_from(PROJECTS)
names = st.builds("{}/{}".format, projects, st.sampled_from("ab"))
numbers = st.integers(0, len(PICTURES) - 1)
pushes = st.tuples(st.just("push"), names, numbers, st.sampled_from(["stable", "edge"]))
deeds = st.one_of(
    pushes,
    pushes,
    st.tuples(st.just("mount"), names, names, numbers),
    st.tuples(st.just("untag"), names, st.sampled_from(["stable", "edge"])),
    st.tuples(st.just("delete"), names, numbers),
    st.tuples(st.just("unlink"), names, numbers),
    st.tuples(st.just("abandon"), names, numbers),
    st.tuples(st.just("cut"), names, numbers),
    st.tuples(st.just("expire")),
    st.tuples(st.just("collect")),
)
histories = st.lists(st.lists(deeds, min_size=1, max_size=8), min_size=1, max_size=4)


def gated(cluster: Cluster) -> Cluster:
    defaults = Defaults()

    def gates(database: Database) -> list[QuotaGate]:
        outbox = Outbox()
        largest = LargestRepositories(database)
        return [
            QuotaGate(
                database, lambda _: defaults, outbox, DeferredOutbox(database, outbox), largest
            )
        ]

    database = Database(cluster.url, pool_size=1)
    database.open()
    migrations.upgrade(database)
    prepare(database, wanted=True)
    database.close()
    cluster.storage_gates = gates
    return cluster


async def open_projects(node: Registry, limit: int, *names: str) -> None:
    def work(connection: Connection) -> None:
        for name in names:
            people.add_project(connection, name, 1.0)
            store.set_limits(connection, 1.0, project=name, hard={Resource.STORAGE: limit})

    await node.database.write(work)


async def usage(node: Registry, project: str) -> Usage:
    work = partial(store.find_quota, defaults=Defaults(), project=project)
    return (await node.database.read(work)).usage


@dataclass
class History:
    """Clients and collectors on two nodes."""

    nodes: list[Registry]
    statuses: set[int] = field(default_factory=set)

    async def act(self, number: int, todo: list[tuple[Any, ...]]) -> None:
        node = self.nodes[number % len(self.nodes)]
        for name, *arguments in todo:
            await getattr(self, name)(node, *arguments)
            for project in PROJECTS:
                found = await usage(node, project)
                assert found.storage + found.reserved <= LIMIT, (project, found)

    async def _ask(self, node: Registry, method: str, path: str, **parts: Any) -> Any:
        response = await node.client.request(method, path, **parts)
        self.statuses.add(response.status_code)
        # 400: what it refers to was taken away meanwhile; 503: bytes are just being removed.
        assert response.status_code in (200, 201, 202, 204, 400, 403, 404, 416, 503), response.text
        return response

    async def push(self, node: Registry, name: str, number: int, tag: str) -> None:
        picture = PICTURES[number]
        for blob in picture.blobs:
            there = await self._ask(node, "HEAD", f"/v2/{name}/blobs/{blob.digest}")
            if there.status_code == 200:
                continue
            begun = await self._ask(node, "POST", f"/v2/{name}/blobs/uploads/")
            if begun.status_code != 202:
                return
            location, query = begun.headers["location"], f"?digest={blob.digest}"
            if number % 2:
                done = await self._ask(node, "PUT", f"{location}{query}", content=blob.data)
            else:
                sent = await self._ask(node, "PATCH", location, content=blob.data)
                if sent.status_code != 202:
                    return
                done = await self._ask(node, "PUT", f"{location}{query}")
            if done.status_code != 201:
                return
        manifest = picture.manifest
        await self._ask(
            node,
            "PUT",
            f"/v2/{name}/manifests/{tag}",
            content=manifest.data,
            headers={"Content-Type": manifest.descriptor.media_type},
        )

    async def mount(self, node: Registry, name: str, source: str, number: int) -> None:
        digest = PICTURES[number].blobs[-1].digest
        query = f"?mount={digest}&from={source}"
        await self._ask(node, "POST", f"/v2/{name}/blobs/uploads/{query}")

    async def untag(self, node: Registry, name: str, tag: str) -> None:
        await self._ask(node, "DELETE", f"/v2/{name}/manifests/{tag}")

    async def delete(self, node: Registry, name: str, number: int) -> None:
        await self._ask(node, "DELETE", f"/v2/{name}/manifests/{PICTURES[number].digest}")

    async def unlink(self, node: Registry, name: str, number: int) -> None:
        for blob in PICTURES[number].blobs:
            await self._ask(node, "DELETE", f"/v2/{name}/blobs/{blob.digest}")

    async def abandon(self, node: Registry, name: str, number: int) -> None:
        """A client that vanishes between two requests."""
        begun = await self._ask(node, "POST", f"/v2/{name}/blobs/uploads/")
        if begun.status_code == 202:
            data = PICTURES[number].blobs[-1].data
            await self._ask(node, "PATCH", begun.headers["location"], content=data)

    async def cut(self, node: Registry, name: str, number: int) -> None:
        """A request that ends in its middle."""
        begun = await self._ask(node, "POST", f"/v2/{name}/blobs/uploads/")
        if begun.status_code != 202:
            return
        data = PICTURES[number].blobs[-1].data

        async def body() -> AsyncIterator[bytes]:
            yield data[:100]
            await asyncio.sleep(0)
            yield data[100:]

        sending = asyncio.create_task(node.client.patch(begun.headers["location"], content=body()))
        await asyncio.sleep(random.random() * 0.01)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)

    async def expire(self, node: Registry) -> None:
        await UploadExpiry(node.database, node.backends, 0.0).once()

    async def collect(self, node: Registry) -> None:
        options = CollectionOptions(lease=0.01, delete_untagged=True)
        with suppress(StorageUnknown):  # nothing was pushed yet
            await Collection(node.database, node.backends, options).run()


@asynccontextmanager
async def world(make: Callable[[], Cluster]) -> AsyncIterator[History]:
    cluster = await anyio.to_thread.run_sync(make)
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(cluster.node()) for _ in range(2)]
        await open_projects(nodes[0], LIMIT, *PROJECTS)
        yield History(nodes)


@pytest.fixture
def fresh(request: pytest.FixtureRequest, database_url: str, tmp_path: Path):
    """Makes a cluster with nothing in it, again and again."""
    count = iter(range(1_000_000))

    def make() -> Cluster:
        number = next(count)
        directory = tmp_path / str(number)
        if database_url.startswith("sqlite"):
            directory.mkdir()
            return gated(Cluster(f"sqlite:///{directory}/longshore.db", directory / "data"))
        if number:
            _empty(database_url)
        return gated(Cluster(database_url, directory / "data"))

    return make


def _empty(url: str) -> None:
    database = Database(url, pool_size=1)
    try:
        with database.engine.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    finally:
        database.close()


def lists_show_what_the_rows_say(connection: Connection) -> None:
    """Lists of repositories, their totals and the statistics ask what is counted, for whoever sees all and for
    whoever sees one project: the same as looking for a manifest in each repository."""
    holds_one = exists().where(manifests.c.repository_id == repositories.c.id)
    held = set(connection.scalars(select(repositories.c.name).where(holds_one)))
    for view, names in (
        (View.of(ANYWHERE), held),
        (View.of(Places(frozenset({"one"}))), {name for name in held if name.startswith("one/")}),
    ):
        for limit in (None, 1):
            shown, total = catalog.page_of_visible_repositories(
                connection, Listing(limit=limit), view
            )
            assert {one.name for one in shown} <= names
            assert (len(shown), total) == (min(len(names), limit or 1000), len(names))
        counted = catalog.statistics(connection, view)
        assert counted.private_repositories + counted.public_repositories == len(names)


@settings(
    max_examples=int(os.environ.get("QUOTA_EXAMPLES", "8")),
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(histories)
async def test_the_totals_are_what_the_rows_say_and_never_beyond_the_limit(fresh, history):
    async with world(fresh) as found:
        await asyncio.gather(*(found.act(number, todo) for number, todo in enumerate(history)))

        assert await checking.check(found.nodes[0].database) == []
        await found.nodes[0].database.read(lists_show_what_the_rows_say)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_registry_in_another_schema_of_the_database_keeps_its_own_triggers(database_url):
    first = Database(database_url)
    first.open()
    migrations.upgrade(first)
    prepare(first, wanted=True)
    with first.engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA another"))
    elsewhere = make_url(database_url).update_query_dict({"options": "-csearch_path=another"})
    second = Database(elsewhere.render_as_string(hide_password=False))
    second.open()
    migrations.upgrade(second)

    prepare(second, wanted=True)
    prepare(second, wanted=False)

    with first.engine.connect() as connection:
        assert store.is_installed(connection)
    with second.engine.connect() as connection:
        assert store.is_absent(connection)
    first.close()
    second.close()
