"""Images between registries and layouts, with skopeo as the judge."""

import json
from pathlib import Path
from typing import Any

import pytest

from longshore.client.content import parse_manifest
from longshore.client.copying import CopyOptions, Progress, Step, copy
from longshore.client.errors import ContentInvalid, NoSuchImage
from longshore.client.layout import OciLayout
from longshore.client.repository import Repository
from longshore.oci import mediatypes
from longshore.oci.descriptor import Platform
from longshore.oci.digest import Digest
from longshore.oci.names import RepositoryName, Tag
from tests.client.conftest import Clients
from tests.services.images import (
    EMPTY,
    MANIFEST,
    Layout,
    descriptor,
    digest_of,
    json_bytes,
    multi_platform_image,
    single_image,
)
from tests.services.programs import Shell
from tests.services.registries import Registry

pytestmark = [pytest.mark.anyio, pytest.mark.service]

ARM = Platform("linux", "arm64")
AMD = Platform("linux", "amd64")


async def there(clients: Clients, registry: Registry, name: str, tag: str = "v1") -> Repository:
    """A repository of a test registry."""
    return (await clients(registry)).repository(RepositoryName(name), Tag(tag))


async def test_an_image_of_many_platforms_comes_back_unchanged(
    clients: Clients, peer: Registry, repository: str, tmp_path: Path
) -> None:
    digest, images = multi_platform_image(tmp_path / "image")
    target = await there(clients, peer, repository)

    pushed = await copy(OciLayout(tmp_path / "image"), target, "v1")
    pulled = await copy(target, OciLayout(tmp_path / "back"), "v1")

    assert pushed.descriptor.digest == pulled.descriptor.digest == digest
    assert (pushed.manifests, pushed.blobs_copied) == (1 + len(images), 4)
    back = OciLayout(tmp_path / "back", "v1")
    assert (await back.manifest(await back.resolve())).digest() == digest


async def test_nothing_is_sent_that_is_there_already(
    clients: Clients, open_peer: Registry, repository: str, tmp_path: Path
) -> None:
    single_image(tmp_path / "image")
    target = await there(clients, open_peer, repository)
    steps: list[Progress] = []
    watched = CopyOptions(on_progress=steps.append)

    first = await copy(OciLayout(tmp_path / "image"), target, "v1", watched)
    second = await copy(OciLayout(tmp_path / "image"), target, "v2")

    assert (first.blobs_copied, second.blobs_copied, second.bytes_copied) == (3, 0, 0)
    done = [step.descriptor.size for step in steps if step.step is Step.COPIED]
    assert sum(done) == first.bytes_copied + first.descriptor.size
    assert await target.head(Tag("v2"))


async def test_one_platform_of_an_index_is_a_plain_image(
    clients: Clients, open_peer: Registry, repository: str, tmp_path: Path
) -> None:
    _, images = multi_platform_image(tmp_path / "image")
    target = await there(clients, open_peer, repository)

    copied = await copy(OciLayout(tmp_path / "image"), target, "v1", CopyOptions(platforms=[ARM]))

    assert copied.descriptor.digest == images["arm64"]
    assert copied.manifests == 1


async def test_several_platforms_of_an_index_are_a_smaller_index(
    clients: Clients, open_peer: Registry, repository: str, tmp_path: Path
) -> None:
    layout = Layout(tmp_path / "image")
    images = {
        architecture: layout.image({"a": architecture.encode()}, architecture=architecture)
        for architecture in ("amd64", "arm64", "s390x")
    }
    attestation = layout.image({"provenance": b"arm"})
    attestation["platform"] = {"os": "unknown", "architecture": "unknown"}
    attestation["annotations"] = {"vnd.docker.reference.digest": images["arm64"]["digest"]}
    layout.name("latest", layout.index(*images.values(), attestation))
    target = await there(clients, open_peer, repository)

    options = CopyOptions(platforms=[AMD, ARM])
    copied = await copy(OciLayout(tmp_path / "image"), target, "v1", options)

    kept = [child.digest for child in (await target.get(copied.descriptor.digest)).children]
    assert kept == [images["amd64"]["digest"], images["arm64"]["digest"], attestation["digest"]]


async def test_a_platform_that_is_not_there_is_answered_with_those_that_are(
    clients: Clients, open_peer: Registry, repository: str, tmp_path: Path
) -> None:
    multi_platform_image(tmp_path / "many")
    single_image(tmp_path / "one")
    target = await there(clients, open_peer, repository)
    windows = CopyOptions(platforms=[Platform("windows", "amd64")])

    with pytest.raises(NoSuchImage, match="there is linux/amd64, linux/arm64"):
        await copy(OciLayout(tmp_path / "many"), target, "v1", windows)
    with pytest.raises(NoSuchImage, match="for linux/amd64 only"):
        await copy(OciLayout(tmp_path / "one"), target, "v1", windows)


async def test_inside_one_registry_layers_are_mounted(
    clients: Clients, open_peer: Registry, repository: str, tmp_path: Path
) -> None:
    single_image(tmp_path / "image")
    client = await clients(open_peer)
    one = client.repository(RepositoryName(repository), Tag("v1"))
    other = client.repository(RepositoryName(f"{repository}-copy"))
    await copy(OciLayout(tmp_path / "image"), one, "v1")

    copied = await copy(one, other, "v1")

    assert (copied.blobs_mounted, copied.blobs_copied) == (3, 0)


async def test_layers_that_many_images_share_are_sent_once(
    clients: Clients, open_peer: Registry, repository: str, tmp_path: Path
) -> None:
    layout = Layout(tmp_path / "image")
    shared = {f"shared-{n}": bytes([n]) for n in range(3)}
    images = [
        layout.image(*({name: content} for name, content in shared.items()), architecture=name)
        for name in ("amd64", "arm64", "s390x", "ppc64le")
    ]
    layout.name("latest", layout.index(*images))
    target = await there(clients, open_peer, repository)

    copied = await copy(OciLayout(tmp_path / "image"), target, "v1")

    assert copied.blobs_copied == len(shared) + len(images)


def with_referrers(path: Path) -> tuple[str, list[str]]:
    """A layout with an image, a signature of it, and a signature of the signature."""
    layout = Layout(path)
    image = layout.image({"f": b"x"})
    layout.name("latest", image)
    subject, digests = image, []
    for kind in ("application/vnd.example.sbom", "application/vnd.example.signature"):
        empty = layout.blob(b"{}", EMPTY)
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": kind,
            "config": empty,
            "layers": [empty],
            "subject": {key: subject[key] for key in ("mediaType", "digest", "size")},
        }
        subject = layout.blob(json_bytes(document), MANIFEST)
        digests.append(subject["digest"])
        layout._named.append(subject)
    layout._write_index()
    return image["digest"], digests


async def test_referrers_come_along_when_asked_for(
    clients: Clients, open_peer: Registry, repository: str, tmp_path: Path
) -> None:
    digest, referrers = with_referrers(tmp_path / "image")
    target = await there(clients, open_peer, repository)
    options = CopyOptions(referrers=True)

    pushed = await copy(OciLayout(tmp_path / "image", "latest"), target, "v1", options)
    pulled = await copy(target, OciLayout(tmp_path / "back"), "v1", options)
    back = OciLayout(tmp_path / "back", "v1")

    assert pushed.referrers == pulled.referrers == 2
    assert [entry.digest for entry in await target.referrers(Digest(digest))] == referrers[:1]
    assert [entry.digest for entry in await target.referrers(Digest(referrers[0]))] == referrers[1:]
    assert (await back.resolve()).digest == digest
    assert [entry.digest for entry in await back.referrers(Digest(digest))] == referrers[:1]


async def test_without_being_asked_for_referrers_stay(
    clients: Clients, open_peer: Registry, repository: str, tmp_path: Path
) -> None:
    digest, _ = with_referrers(tmp_path / "image")
    target = await there(clients, open_peer, repository)

    await copy(OciLayout(tmp_path / "image", "latest"), target, "v1")

    assert await target.referrers(Digest(digest)) == []


async def test_a_damaged_layer_is_not_copied(
    clients: Clients, open_peer: Registry, repository: str, tmp_path: Path
) -> None:
    layout = Layout(tmp_path / "image")
    image = layout.image({"f": b"x" * 1000})
    layout.name("latest", image)
    manifest = json.loads((layout.path / "blobs" / image["digest"].replace(":", "/")).read_bytes())
    layer = layout.path / "blobs" / manifest["layers"][0]["digest"].replace(":", "/")
    layer.write_bytes(bytes(layer.stat().st_size))
    target = await there(clients, open_peer, repository)

    with pytest.raises(ContentInvalid, match="damaged"):
        await copy(OciLayout(layout.path), target, "v1")

    assert await target.head(Tag("v1")) is None


async def test_what_the_client_pushed_skopeo_reads(
    clients: Clients, open_peer: Registry, repository: str, tmp_path: Path, shell: Shell
) -> None:
    digest, _ = multi_platform_image(tmp_path / "image")
    await copy(OciLayout(tmp_path / "image"), await there(clients, open_peer, repository), "v1")

    reference = f"docker://{open_peer.host}/{repository}:v1"
    shell(
        *("skopeo", "copy", "--all", "--src-tls-verify=false"),
        *(reference, f"oci:{tmp_path / 'skopeo'}:v1"),
    )

    index = json.loads((tmp_path / "skopeo" / "index.json").read_bytes())
    assert index["manifests"][0]["digest"] == digest


async def test_what_skopeo_pushed_the_client_reads_and_the_other_way_round(
    clients: Clients, open_peer: Registry, repository: str, tmp_path: Path, shell: Shell
) -> None:
    digest = single_image(tmp_path / "image")
    reference = f"docker://{open_peer.host}/{repository}:v1"
    shell(
        *("skopeo", "copy", "--dest-tls-verify=false"),
        *(f"oci:{tmp_path / 'image'}:latest", reference),
    )

    source = await there(clients, open_peer, repository)
    await copy(source, OciLayout(tmp_path / "back"), "mine")
    seen = shell("skopeo", "inspect", f"oci:{tmp_path / 'back'}:mine")

    inspected: dict[str, Any] = json.loads(seen.out)
    assert inspected["Digest"] == digest


async def test_a_docker_image_keeps_dockers_types(
    clients: Clients, open_peer: Registry, repository: str, tmp_path: Path, shell: Shell
) -> None:
    single_image(tmp_path / "image")
    reference = f"docker://{open_peer.host}/{repository}:v1"
    shell(
        *("skopeo", "copy", "--dest-tls-verify=false", "--format=v2s2"),
        *(f"oci:{tmp_path / 'image'}:latest", reference),
    )
    source = await there(clients, open_peer, repository)

    copied = await copy(source, await there(clients, open_peer, f"{repository}-copy"), "v1")

    assert copied.descriptor.media_type == mediatypes.DOCKER_MANIFEST


async def test_a_manifest_with_sha512_keeps_its_digest(
    clients: Clients, open_peer: Registry, repository: str, tmp_path: Path
) -> None:
    layout = Layout(tmp_path / "image")
    image = layout.image({"f": b"x"})
    raw = (layout.path / "blobs" / image["digest"].replace(":", "/")).read_bytes()
    digest = Digest.of(raw, "sha512")
    (layout.path / "blobs" / "sha512").mkdir()
    (layout.path / "blobs" / "sha512" / digest.hex).write_bytes(raw)
    layout.name("latest", {**descriptor(raw, MANIFEST), "digest": digest})

    back = OciLayout(tmp_path / "back")
    copied = await copy(OciLayout(layout.path), back, "v1")

    assert copied.descriptor.digest == digest
    assert parse_manifest(raw, MANIFEST).digest() == digest_of(raw)
    assert (await OciLayout(tmp_path / "back", "v1").resolve()).digest == digest
