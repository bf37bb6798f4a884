"""Transfers go on where a broken connection left them."""

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from longshore.client.blob_file import INCOMPLETE
from longshore.client.connection import Connection
from longshore.client.copying import copy
from longshore.client.errors import Unreachable
from longshore.client.layout import OciLayout
from longshore.client.registry import RegistryClient
from longshore.client.repository import Repository
from longshore.oci import mediatypes
from longshore.oci.descriptor import Descriptor
from longshore.oci.digest import Digest
from longshore.oci.names import RepositoryName
from tests.client.conftest import Clients
from tests.client.faulty import faulty
from tests.client.scripted import Answer, Seen, scripted
from tests.services.images import single_image
from tests.services.registries import Registry

pytestmark = [pytest.mark.anyio, pytest.mark.service]

MIB = 1024 * 1024
SIZE = 8 * MIB


def big_image(path: Path) -> str:
    """A layout with an image whose one layer does not get smaller by compression."""
    return single_image(path, {"noise": os.urandom(SIZE)})


async def test_a_pull_continues_after_every_cut(
    clients: Clients, open_peer: Registry, repository: str, tmp_path: Path
) -> None:
    digest = big_image(tmp_path / "image")
    direct = (await clients(open_peer)).repository(RepositoryName(repository))
    await copy(OciLayout(tmp_path / "image"), direct, "latest")

    with faulty(open_peer.host, cut_down=2 * MIB, cuts=3) as proxy:
        source = (await clients(open_peer, host=proxy.host)).repository(RepositoryName(repository))
        result = await copy(source, OciLayout(tmp_path / "back"), "v1")

    assert result.descriptor.digest == digest
    assert proxy.cuts_left == 0
    assert proxy.down < SIZE + MIB, "bytes that had arrived were fetched again"


async def test_a_pull_that_was_given_up_is_continued_by_the_next_one(
    clients: Clients, open_peer: Registry, repository: str, tmp_path: Path
) -> None:
    digest = big_image(tmp_path / "image")
    name = RepositoryName(repository)
    direct = (await clients(open_peer)).repository(name)
    await copy(OciLayout(tmp_path / "image"), direct, "latest")
    back = OciLayout(tmp_path / "back")

    with pytest.raises(Unreachable):
        await copy(Interrupted(direct, after=4 * MIB), back, "v1")
    left = sum(file.stat().st_size for file in (tmp_path / "back" / INCOMPLETE).iterdir())
    with faulty(open_peer.host) as proxy:
        client = await clients(open_peer, host=proxy.host)
        result = await copy(client.repository(name), back, "v1")

    assert left > 3 * MIB
    assert proxy.down < SIZE - left + MIB
    assert result.descriptor.digest == digest
    assert not (tmp_path / "back" / INCOMPLETE).exists()


async def test_a_damaged_part_of_an_earlier_pull_is_thrown_away(
    clients: Clients, open_peer: Registry, repository: str, tmp_path: Path
) -> None:
    digest = big_image(tmp_path / "image")
    there = (await clients(open_peer)).repository(RepositoryName(repository))
    await copy(OciLayout(tmp_path / "image"), there, "latest")
    layer = (await there.get(there.selected)).blobs[-1]
    left = tmp_path / "back" / INCOMPLETE / layer.digest.replace(":", "-")
    (tmp_path / "back" / "oci-layout").parent.mkdir()
    (tmp_path / "back" / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    left.parent.mkdir()
    left.write_bytes(b"not the beginning of the layer")

    result = await copy(there, OciLayout(tmp_path / "back"), "v1")

    assert result.descriptor.digest == digest


@pytest.mark.parametrize("chunk", [None, 3 * MIB], ids=["whole", "chunks"])
async def test_a_push_continues_after_every_cut(
    clients: Clients, open_peer: Registry, repository: str, tmp_path: Path, chunk: int | None
) -> None:
    digest = big_image(tmp_path / "image")

    with faulty(open_peer.host, cut_up=2 * MIB, cuts=3) as proxy:
        client = await clients(open_peer, host=proxy.host)
        target = client.repository(RepositoryName(repository), chunk=chunk)
        result = await copy(OciLayout(tmp_path / "image"), target, "latest")

    assert result.descriptor.digest == digest
    assert proxy.cuts_left == 0
    direct = (await clients(open_peer)).repository(RepositoryName(repository))
    back = await copy(direct, OciLayout(tmp_path / "back"), "latest")
    assert back.descriptor.digest == digest


class Uploads:
    """A registry's uploads as the specification has them: every byte that arrives counts."""

    def __init__(self) -> None:
        self.content = b""
        self.stored = b""
        self.starts: list[str] = []
        self.settle: Callable[[], None] = lambda: None

    def __call__(self, seen: Seen) -> Answer:
        location = {"Location": "/v2/team/app/blobs/uploads/one?state=a%2Bb"}
        if seen.method == "POST":
            return Answer(202, headers=location | {"OCI-Chunk-Min-Length": str(2 * MIB)})
        if seen.method == "GET" and "uploads" in seen.path:
            self.settle()  # what is on its way counts
            return Answer(204, headers=location | {"Range": f"0-{len(self.content) - 1}"})
        if seen.method in ("PATCH", "PUT"):
            assert ("state", "a+b") in seen.query
            self.starts.append(f"{seen.method} {seen.headers.get('Content-Range', '')}")
            start = int(seen.headers.get("Content-Range", "0-").partition("-")[0])
            if seen.method == "PATCH" and start != len(self.content):
                return Answer(416, headers=location | {"Range": f"0-{len(self.content) - 1}"})
            self.content += seen.body
            complete = len(seen.body) == int(seen.headers.get("Content-Length", "0"))
            if seen.method == "PUT" and complete:
                self.stored = self.content
            return Answer(201 if seen.method == "PUT" else 202, headers=location)
        return Answer(404 if seen.method == "HEAD" else 200)


@pytest.mark.parametrize("chunk", [None, MIB], ids=["whole", "chunks"])
async def test_a_push_sends_nothing_twice_that_arrived(chunk: int | None) -> None:
    content = os.urandom(SIZE)
    blob = Descriptor(mediatypes.OCTET_STREAM, Digest.of(content), SIZE)
    uploads = Uploads()
    positions: list[int] = []

    async def pieces(offset: int) -> AsyncGenerator[bytes, None]:
        for start in range(offset, SIZE, 300_000):
            yield content[start : start + 300_000]

    with (
        scripted(uploads) as server,
        faulty(server.host, cut_up=3 * MIB, cuts=2) as proxy,
    ):
        uploads.settle = server.wait_for_others
        connection = Connection(plain_http=True)
        async with RegistryClient(proxy.host, connection=connection) as client:
            target = client.repository(RepositoryName("team/app"), chunk=chunk)
            await target.put_blob(blob, pieces, positions.append)

    assert uploads.stored == content
    assert proxy.cuts_left == 0
    assert proxy.up < SIZE + MIB
    if chunk:  # the registry asked for no chunk smaller than 2 MiB
        assert uploads.starts[0] == f"PATCH 0-{2 * MIB - 1}"


async def test_a_push_whose_last_answer_is_lost_is_not_repeated() -> None:
    content = b"a layer"
    blob = Descriptor(mediatypes.OCTET_STREAM, Digest.of(content), len(content))
    stored: list[bytes] = []

    def script(seen: Seen) -> Answer:
        if seen.method == "POST":
            return Answer(202, headers={"Location": f"/v2/uploads/{len(stored)}"})
        if seen.method == "PUT":
            stored.append(seen.body)
            return Answer(201, b"cut", truncate=0)
        if seen.method == "HEAD" and stored:
            return Answer(200, content)
        return Answer(404) if "uploads" in seen.path else Answer()

    async def pieces(offset: int) -> AsyncGenerator[bytes, None]:
        yield content[offset:]

    with scripted(script) as server:
        async with RegistryClient(server.host, connection=Connection(plain_http=True)) as client:
            await client.repository(RepositoryName("team/app")).put_blob(blob, pieces, print)

    assert stored == [content]


class Interrupted:
    """A source whose large blobs end early: the process that pulled is gone."""

    def __init__(self, repository: Repository, after: int) -> None:
        self._repository = repository
        self._after = after
        self.resolve = repository.resolve
        self.manifest = repository.manifest
        self.referrers = repository.referrers

    async def blob(self, descriptor: Descriptor, offset: int = 0) -> AsyncGenerator[bytes, None]:
        given = 0
        async with aclosing(self._repository.blob(descriptor, offset)) as pieces:
            async for piece in pieces:
                yield piece
                given += len(piece)
                if given > self._after:
                    raise Unreachable("the cable was pulled")
