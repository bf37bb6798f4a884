"""Many clients that push the same things at the same moment, through the workers of one server and
through two servers: all succeed, and what is there afterwards is one of what was pushed."""

import random
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import TypeVar

import httpx
import pytest

from tests.clients import wire
from tests.resilience import aftermath
from tests.services.certificates import Authority
from tests.services.images import CONFIG, LAYER, MANIFEST, digest_of, json_bytes
from tests.services.registries import Config, Registry, RegistryFactory

pytestmark = pytest.mark.service

THREADS = 16
T = TypeVar("T")


@dataclass(frozen=True)
class Installation:
    """Servers of one registry, and the directory in which they keep its bytes."""

    root: Path
    servers: Sequence[Registry]


@pytest.fixture(scope="module", params=["one server", "two servers"])
def installation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[Installation]:
    """One server with its workers, or two over one PostgreSQL database and one directory."""
    directory = tmp_path_factory.mktemp("concurrent")
    root = directory / "data"
    config: Config = {"storage": {"filesystem": {"rootdirectory": str(root)}}}
    factory = RegistryFactory(directory, authority)
    if request.param == "one server":
        yield Installation(root, [factory(config)])
        factory.close()
        return
    postgres, name = request.getfixturevalue("postgres"), f"t{uuid.uuid4().hex}"
    postgres.execute(f'create database "{name}"')
    config["longshore"] = {"database": {"url": postgres.url(name)}}
    yield Installation(root, [factory(config), factory(config)])
    factory.close()
    postgres.execute(f'drop database "{name}" with (force)')


@pytest.fixture
def clients(installation: Installation) -> Iterator[Sequence[httpx.Client]]:
    """A client for each thread, of one server after the other."""
    opened = [server.client() for server in islice(cycle(installation.servers), THREADS)]
    yield opened
    for client in opened:
        client.close()


def at_once(clients: Sequence[httpx.Client], work: Callable[[httpx.Client, int], T]) -> list[T]:
    """What ``work`` returns in each of the threads, which all begin at the same moment."""
    together = threading.Barrier(len(clients))

    def run(client: httpx.Client, number: int) -> T:
        together.wait(30)
        return work(client, number)

    with ThreadPoolExecutor(len(clients)) as threads:
        return list(threads.map(run, clients, range(len(clients))))


@pytest.mark.parametrize("size", [10_000, 2_000_000], ids=["small", "staged"])
def test_the_same_blob_from_everybody_is_one_blob(
    clients: Sequence[httpx.Client], installation: Installation, dice: random.Random, size: int
) -> None:
    content = dice.randbytes(size)

    at_once(clients, lambda client, _: wire.push_blob(client, "same/first", content))
    at_once(clients, lambda client, _: wire.push_blob(client, "same/second", content))

    for client in clients:
        found = client.get(f"/v2/same/second/blobs/{digest_of(content)}")
        assert digest_of(found.content) == digest_of(content)
    assert digest_of(content) in aftermath.check_directory(installation.root)
    assert aftermath.staged_files(installation.root) == []


def test_the_same_tag_from_everybody_is_at_one_of_the_pushes(
    clients: Sequence[httpx.Client], dice: random.Random
) -> None:
    config = json_bytes({"architecture": "amd64"})

    def push(client: httpx.Client, number: int) -> str:
        layer = wire.blob_descriptor(client, "same/tag", b"%d" % number, LAYER)
        settings = wire.blob_descriptor(client, "same/tag", config, CONFIG)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": settings,
            "layers": [layer],
        }
        digest: str = wire.push_manifest(client, "same/tag", manifest, "latest")["digest"]
        return digest

    pushed = at_once(clients, push)

    heads = [client.head("/v2/same/tag/manifests/latest") for client in clients]
    assert len({head.headers["Docker-Content-Digest"] for head in heads}) == 1
    assert heads[0].headers["Docker-Content-Digest"] in pushed
    for digest in pushed:
        assert dice.choice(clients).get(f"/v2/same/tag/manifests/{digest}").status_code == 200
    assert clients[0].get("/v2/same/tag/tags/list").json()["tags"] == ["latest"]


def test_the_same_image_from_everybody_into_repositories_nobody_knew(
    clients: Sequence[httpx.Client],
) -> None:
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": []}

    def push(client: httpx.Client, number: int) -> str:
        name = f"new/{number % 3}"
        settings = wire.blob_descriptor(client, name, b"{}", CONFIG)
        digest: str = wire.push_manifest(client, name, {**manifest, "config": settings}, "v1")[
            "digest"
        ]
        return digest

    pushed = at_once(clients, push)

    assert len(set(pushed)) == 1
    for client in clients:
        listed = client.get("/v2/_catalog").json()["repositories"]
        assert [name for name in listed if name.startswith("new/")] == ["new/0", "new/1", "new/2"]


def test_of_everybody_who_continues_one_upload_one_wins(
    clients: Sequence[httpx.Client], dice: random.Random
) -> None:
    """Every PATCH claims offset 0: one is accepted, or none yet, and the bytes are one client's."""
    contents = [dice.randbytes(300_000) for _ in clients]
    location = wire.start_upload(clients[0], "same/upload")

    def append(client: httpx.Client, number: int) -> int:
        span = {"Content-Range": f"0-{len(contents[number]) - 1}"}
        return client.patch(location, content=contents[number], headers=span).status_code

    statuses = at_once(clients, append)

    assert set(statuses) == {202, 416}
    assert statuses.count(202) == 1
    winner = contents[statuses.index(202)]
    wire.finish_upload(clients[-1], location, digest_of(winner))


def test_a_delete_is_seen_by_everybody_at_once(clients: Sequence[httpx.Client]) -> None:
    for number in range(6):
        writer, reader = clients[number % 2], clients[(number + 1) % 2]
        config = wire.blob_descriptor(writer, "to/delete", b"{}", f"application/x{number}")
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}
        digest = wire.push_manifest(writer, "to/delete", manifest, "latest")["digest"]
        assert digest_of(reader.get("/v2/to/delete/manifests/latest").content) == digest

        writer.delete(f"/v2/to/delete/manifests/{digest}")

        for client in clients:
            assert client.get("/v2/to/delete/manifests/latest").status_code == 404
            assert client.get(f"/v2/to/delete/manifests/{digest}").status_code == 404
        unlinked = f"/v2/to/delete/blobs/{digest_of(b'{}')}"
        assert reader.get(unlinked).status_code == 200
        assert writer.delete(unlinked).status_code == 202
        assert {client.get(unlinked).status_code for client in clients} == {404}
