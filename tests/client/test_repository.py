"""Manifests, tags, blobs and referrers of real registries."""

import hashlib
from pathlib import Path

import pytest

from longshore.client.content import parse_manifest
from longshore.client.copying import copy
from longshore.client.errors import (
    CertificateRejected,
    ContentInvalid,
    NotFound,
    Unauthenticated,
    Unreachable,
)
from longshore.client.layout import OciLayout
from longshore.client.registry import RegistryClient
from longshore.oci import mediatypes
from longshore.oci.descriptor import Descriptor
from longshore.oci.digest import Digest
from longshore.oci.names import RepositoryName, Tag
from tests.client.conftest import Clients
from tests.services.images import json_bytes, single_image
from tests.services.registries import Registry

pytestmark = [pytest.mark.anyio, pytest.mark.service]


async def pieces_of(content: bytes, offset: int = 0):
    """A blob's source in memory."""
    for start in range(offset, len(content), 100_000):
        yield content[start : start + 100_000]


def described(content: bytes) -> Descriptor:
    return Descriptor(mediatypes.OCTET_STREAM, Digest.of(content), len(content))


def silent(position: int) -> None:
    """Nobody watches."""


async def test_a_blob_comes_back_as_it_was_sent(
    clients: Clients, peer: Registry, repository: str
) -> None:
    client = await clients(peer)
    there = client.repository(RepositoryName(repository))
    content = hashlib.shake_256(b"blob").digest(3_000_000)
    blob = described(content)

    assert not await there.has_blob(blob)
    await there.put_blob(blob, lambda offset: pieces_of(content, offset), silent)

    assert await there.has_blob(blob)
    assert b"".join([piece async for piece in there.blob(blob)]) == content
    assert b"".join([piece async for piece in there.blob(blob, 2_999_990)]) == content[-10:]


async def test_a_blob_is_sent_in_chunks_when_asked_to(
    clients: Clients, open_peer: Registry, repository: str
) -> None:
    client = await clients(open_peer)
    there = client.repository(RepositoryName(repository), chunk=300_000)
    content = hashlib.shake_256(b"chunks").digest(1_000_001)
    positions: list[int] = []

    await there.put_blob(
        described(content), lambda offset: pieces_of(content, offset), positions.append
    )

    assert b"".join([piece async for piece in there.blob(described(content))]) == content
    assert positions[-1] == len(content)
    assert positions == sorted(positions)


async def test_bytes_that_are_not_what_was_promised_are_never_stored(
    clients: Clients, open_peer: Registry, repository: str
) -> None:
    client = await clients(open_peer)
    there = client.repository(RepositoryName(repository))
    promised = described(b"what was promised")

    with pytest.raises(ContentInvalid, match=promised.digest):
        await there.put_blob(promised, lambda offset: pieces_of(b"something else !!"), silent)

    assert not await there.has_blob(promised)


async def test_every_tag_is_listed(
    clients: Clients, open_peer: Registry, repository: str, tmp_path: Path
) -> None:
    client = await clients(open_peer)
    there = client.repository(RepositoryName(repository))
    single_image(tmp_path / "image")
    await copy(OciLayout(tmp_path / "image"), there, "first")
    manifest = await there.get(Tag("first"))
    for number in range(12):
        await there.put(manifest, Tag(f"v{number:02}"))

    assert sorted([str(tag) async for tag in there.tags()]) == [
        "first",
        *(f"v{number:02}" for number in range(12)),
    ]


async def test_the_catalog_names_a_repository_that_was_pushed_to(
    clients: Clients, open_peer: Registry, repository: str, tmp_path: Path
) -> None:
    client = await clients(open_peer)
    single_image(tmp_path / "image")
    await copy(OciLayout(tmp_path / "image"), client.repository(RepositoryName(repository)), "v1")

    assert repository in [str(name) async for name in client.catalog()]


async def test_a_manifest_is_the_same_by_tag_and_by_digest_until_it_is_deleted(
    clients: Clients, open_peer: Registry, repository: str, tmp_path: Path
) -> None:
    client = await clients(open_peer)
    there = client.repository(RepositoryName(repository))
    digest = Digest(single_image(tmp_path / "image"))
    await copy(OciLayout(tmp_path / "image"), there, "v1")

    head = await there.head(Tag("v1"))
    assert head
    assert head.digest == digest
    assert (await there.get(Tag("v1"))).raw == (await there.get(digest)).raw

    await there.delete(digest)
    assert await there.head(digest) is None
    with pytest.raises(NotFound, match="MANIFEST_UNKNOWN"):
        await there.get(Tag("v1"))


async def test_a_referrer_is_found_with_the_api_and_without_it(
    clients: Clients, open_peer: Registry, repository: str, tmp_path: Path
) -> None:
    client = await clients(open_peer)
    there = client.repository(RepositoryName(repository))
    digest = Digest(single_image(tmp_path / "image"))
    await copy(OciLayout(tmp_path / "image"), there, "v1")
    empty = described(b"{}")
    await there.put_blob(empty, lambda offset: pieces_of(b"{}", offset), silent)
    subject = await there.head(digest)
    assert subject
    document = {
        "schemaVersion": 2,
        "mediaType": mediatypes.OCI_MANIFEST,
        "artifactType": "application/vnd.example.sbom",
        "config": {**empty.to_json(), "mediaType": mediatypes.OCI_EMPTY},
        "layers": [empty.to_json()],
        "subject": subject.to_json(),
    }
    sbom = parse_manifest(json_bytes(document), mediatypes.OCI_MANIFEST)
    await there.put(sbom, sbom.digest())

    found = await there.referrers(digest)

    assert [(entry.digest, entry.artifact_type) for entry in found] == [
        (sbom.digest(), "application/vnd.example.sbom")
    ]
    assert await there.referrers(digest, "application/vnd.example.other") == []


async def test_without_a_login_a_guarded_registry_says_how_to_log_in(
    clients: Clients, peers, repository: str
) -> None:
    registry = peers("login")
    client = await clients(registry, login=False)

    with pytest.raises(Unauthenticated, match=f"longshore login {registry.host}"):
        await client.ping()


async def test_a_certificate_of_an_unknown_authority_is_refused(peers, repository: str) -> None:
    registry = peers("secure")

    async with RegistryClient(registry.host) as client:
        with pytest.raises(CertificateRejected, match="--ca"):
            await client.ping()


async def test_nobody_at_home_is_said_in_one_line() -> None:
    from tests.services.processes import free_port

    host = f"127.0.0.1:{free_port()}"
    async with RegistryClient(host) as client:
        with pytest.raises(Unreachable, match=host):
            await client.ping()
