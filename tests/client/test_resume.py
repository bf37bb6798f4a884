"""Transfers go on where a broken connection left them."""

import os
from pathlib import Path

import pytest

from longshore.client.blob_file import INCOMPLETE
from longshore.client.connection import Connection
from longshore.client.copying import copy
from longshore.client.errors import Unreachable
from longshore.client.layout import OciLayout
from longshore.client.registry import RegistryClient
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

    with faulty(open_peer.host, cut_down=5 * MIB, cuts=1) as proxy:
        client = await clients(open_peer, host=proxy.host, attempts=1)
        pull = copy(_stubborn(client.repository(name)), back, "v1")
        with pytest.raises(Unreachable):
            await pull
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

    def __call__(self, seen: Seen) -> Answer:
        location = {"Location": "/v2/team/app/blobs/uploads/one?state=a%2Bb"}
        if seen.method == "POST":
            return Answer(202, headers=location | {"OCI-Chunk-Min-Length": str(2 * MIB)})
        if seen.method == "GET" and "uploads" in seen.path:
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

    async def pieces(offset: int):
        for start in range(offset, SIZE, 300_000):
            yield content[start : start + 300_000]

    with (
        scripted(uploads) as server,
        faulty(server.host, cut_up=3 * MIB, cuts=2) as proxy,
    ):
        connection = Connection(plain_http=True)
        async with RegistryClient(proxy.host, connection=connection) as client:
            target = client.repository(RepositoryName("team/app"), chunk=chunk)
            await target.put_blob(blob, pieces, positions.append)

    assert uploads.stored == content
    assert proxy.cuts_left == 0
    assert proxy.up < SIZE + MIB
    if chunk:  # the registry asked for no chunk smaller than 2 MiB
        assert uploads.starts[0] == f"PATCH 0-{2 * MIB - 1}"


def _stubborn(repository):
    """A source whose blobs are not continued: the process that pulled is gone."""

    class Once:
        def __getattr__(self, name: str):
            return getattr(repository, name)

        async def blob(self, descriptor, offset: int = 0):
            pieces = repository.blob(descriptor, offset)
            try:
                async for piece in pieces:
                    yield piece
                    if descriptor.size > MIB and offset == 0:
                        self.given = getattr(self, "given", 0) + len(piece)
                        if self.given > 4 * MIB:
                            raise Unreachable("the cable was pulled")
            finally:
                await pieces.aclose()

    return Once()
