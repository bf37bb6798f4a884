"""Archives: what docker and others save is read, what is written can be loaded, the rest refused."""

import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.client.archive_writer import ArchiveTarget
from longshore.client.connection import Connection
from longshore.client.copying import Copied, CopyOptions, copy
from longshore.client.credentials import Anonymous
from longshore.client.errors import ClientError, ContentInvalid, LocationInvalid, NoSuchImage
from longshore.client.layout import OciLayout
from longshore.client.locations import Images, parse_location
from longshore.client.tar_files import TarFiles
from longshore.oci import mediatypes
from longshore.oci.names import RepositoryName
from tests.services.docker_engine import DockerEngine
from tests.services.images import (
    digest_of,
    json_bytes,
    multi_platform_image,
    single_image,
    tar,
)
from tests.services.programs import Shell

pytestmark = pytest.mark.anyio

Entry = tuple[tarfile.TarInfo, bytes]


def file(name: str, content: bytes) -> Entry:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Entry:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def pack(path: Path, entries: Sequence[Entry]) -> Path:
    """A tar archive of these entries, in this order."""
    with tarfile.open(path, "w") as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return path


def saved_image(
    layers: Sequence[bytes], names: Sequence[str] = ("app:v1",), *, compressed: bool = False
) -> list[Entry]:
    """What `docker save` wrote before version 25: equal layers are links to the first."""
    config = json_bytes(
        {
            "os": "linux",
            "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        }
    )
    entries, first = [], dict[bytes, str]()
    for number, layer in enumerate(layers):
        name = f"{number}/layer.tar"
        if layer in first:
            entries.append(link(name, f"../{first[layer]}"))
        else:
            first[layer] = name
            entries.append(file(name, gzip.compress(layer) if compressed else layer))
    manifest = {
        "Config": "config.json",
        "RepoTags": list(names),
        "Layers": [f"{number}/layer.tar" for number in range(len(layers))],
    }
    entries.append(file("config.json", config))
    return [*entries, file("manifest.json", json_bytes([manifest]))]


async def convert(source: str, target: Path, name: str | None = None, **more: Any) -> Copied:
    """Copy whatever `source` names into a layout."""
    location = await anyio.to_thread.run_sync(parse_location, source)
    async with Images(Anonymous(), Connection()) as images:
        found = await images.source(location)
        return await copy(found, OciLayout(target), name, CopyOptions(**more))


async def write(layout: Path, path: Path, repository: str | None = None) -> Copied:
    """Copy a layout's image into an archive, as `v1`."""
    async with ArchiveTarget(path, repository) as target:
        return await copy(OciLayout(layout), target, "v1")


LAYERS = (tar({"a": b"x" * 5000}), tar({"b": b"y"}), tar({"a": b"x" * 5000}))


@pytest.mark.parametrize("outside", ["plain", "gzip"])
@pytest.mark.parametrize("compressed", [False, True], ids=["plain-layers", "gzip-layers"])
async def test_an_image_that_docker_saved_is_read(
    tmp_path: Path, outside: str, compressed: bool
) -> None:
    path = pack(tmp_path / "saved.tar", saved_image(LAYERS, compressed=compressed))
    if outside == "gzip":
        path.write_bytes(gzip.compress(path.read_bytes()))

    copied = await convert(f"docker-archive:{path}", tmp_path / "out", "v1")

    back = OciLayout(tmp_path / "out")
    manifest = await back.manifest(copied.descriptor)
    contents = [await content_of(back, layer) for layer in manifest.blobs[1:]]
    assert manifest.media_type == mediatypes.DOCKER_MANIFEST
    assert [gzip.decompress(content) for content in contents] == list(LAYERS)
    assert copied.blobs_copied == 3  # the config and the two layers that differ


async def content_of(layout: OciLayout, blob: Any) -> bytes:
    return b"".join([piece async for piece in layout.blob(blob)])


async def test_the_same_archive_gives_the_same_digest_every_time(tmp_path: Path) -> None:
    path = pack(tmp_path / "saved.tar", saved_image(LAYERS))

    digests = {(await convert(str(path), tmp_path / name, "v1")).descriptor.digest for name in "ab"}

    assert len(digests) == 1


async def test_one_of_several_images_is_chosen_by_name(tmp_path: Path) -> None:
    one, two = saved_image(LAYERS[:1], ["app:v1"]), saved_image(LAYERS[1:2], ["app:v2"])
    manifests = [json.loads(entries[-1][1])[0] for entries in (one, two)]
    manifests[1] |= {"Config": "config2.json", "Layers": ["second/layer.tar"]}
    entries = [
        *one[:-1],
        file("config2.json", two[-2][1]),
        file("second/layer.tar", LAYERS[1]),
        file("manifest.json", json_bytes(manifests)),
    ]
    path = pack(tmp_path / "saved.tar", entries)

    found = await convert(f"docker-archive:{path}:docker.io/library/app:v2", tmp_path / "out", "v")

    manifest = await OciLayout(tmp_path / "out").manifest(found.descriptor)
    assert [blob.size for blob in manifest.blobs[1:]] != []
    with pytest.raises(NoSuchImage, match="several images, name one of them: app:v1, app:v2"):
        await convert(f"docker-archive:{path}", tmp_path / "out")
    with pytest.raises(NoSuchImage, match="no image 'app:v3'; it has: app:v1, app:v2"):
        await convert(f"docker-archive:{path}:app:v3", tmp_path / "out")


async def test_an_archive_that_was_written_is_a_layout_and_comes_back(tmp_path: Path) -> None:
    digest, _ = multi_platform_image(tmp_path / "image")

    await write(tmp_path / "image", tmp_path / "image.tar")
    copied = await convert(f"oci-archive:{tmp_path / 'image.tar'}:v1", tmp_path / "back", "v1")

    assert copied.descriptor.digest == digest


async def test_an_archive_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    single_image(tmp_path / "image")
    for blob in (tmp_path / "image" / "blobs" / "sha256").iterdir():
        if blob.read_bytes().startswith(b"\x1f\x8b"):
            blob.write_bytes(bytes(blob.stat().st_size))
    (tmp_path / "out").mkdir()

    with pytest.raises(ContentInvalid):
        await write(tmp_path / "image", tmp_path / "out" / "image.tar")

    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.service
async def test_skopeo_reads_what_was_written_in_both_ways(tmp_path: Path, shell: Shell) -> None:
    digest = single_image(tmp_path / "image")
    path = tmp_path / "image.tar"
    await write(tmp_path / "image", path, "registry.example/team/app")

    as_docker = shell("skopeo", "inspect", f"docker-archive:{path}:registry.example/team/app:v1")
    as_layout = shell("skopeo", "inspect", f"oci-archive:{path}:v1")

    assert json.loads(as_docker.out)["Architecture"] == "amd64"
    assert json.loads(as_layout.out)["Digest"] == digest


@pytest.mark.service
async def test_what_skopeo_saved_is_read(tmp_path: Path, shell: Shell) -> None:
    single_image(tmp_path / "image")
    saved = f"docker-archive:{tmp_path / 'saved.tar'}:app:v1"
    shell("skopeo", "copy", f"oci:{tmp_path / 'image'}:latest", saved)

    copied = await convert(saved, tmp_path / "back", "v1")

    manifest = await OciLayout(tmp_path / "back").manifest(copied.descriptor)
    assert len(manifest.blobs) == 3


@pytest.mark.service
async def test_docker_loads_what_was_written_and_what_docker_saves_is_read(
    tmp_path: Path, shell: Shell, docker_engine: DockerEngine
) -> None:
    shell = shell.with_env(DOCKER_HOST=docker_engine.address)
    single_image(tmp_path / "image")
    name = RepositoryName(f"team/{tmp_path.name.replace('_', '-')}")
    await write(tmp_path / "image", tmp_path / "image.tar", f"registry.example/{name}")

    loaded = shell("docker", "load", "--input", tmp_path / "image.tar")
    shell("docker", "save", "--output", tmp_path / "saved.tar", f"registry.example/{name}:v1")
    shell("docker", "image", "rm", f"registry.example/{name}:v1")
    copied = await convert(
        f"docker-archive:{tmp_path / 'saved.tar'}:registry.example/{name}:v1",
        tmp_path / "back",
        "v1",
    )

    assert f"registry.example/{name}:v1" in loaded.out
    manifest = await OciLayout(tmp_path / "back").manifest(copied.descriptor)
    original = OciLayout(tmp_path / "image")
    expected = await original.manifest(await original.resolve())
    assert manifest.config
    assert len(manifest.blobs) == len(expected.blobs)


def with_manifest(**changes: Any) -> list[Entry]:
    """A saved image whose manifest.json lies."""
    entries = saved_image(LAYERS[:1])
    manifest = json.loads(entries[-1][1])
    manifest[0].update(changes)
    return [*entries[:-1], file("manifest.json", json_bytes(manifest))]


def device(name: str) -> Entry:
    info = tarfile.TarInfo(name)
    info.type = tarfile.BLKTYPE
    return info, b""


HOSTILE: Mapping[str, tuple[list[Entry], str]] = {
    "a name that climbs": ([file("../../etc/cron.d/x", b"x")], "leads out"),
    "an absolute name": ([file("/etc/passwd", b"x")], "leads out"),
    "a link that climbs": ([link("a/b", "../../../etc/passwd")], "leads out"),
    "an absolute link": ([link("a", "/etc/passwd")], "leads out"),
    "a hard link that climbs": ([link("a", "../x", tarfile.LNKTYPE)], "leads out"),
    "a device": ([device("sda")], "not a regular file"),
    "two files of one name": ([file("a", b"1"), file("./a", b"2")], "two files named"),
    "a circle of links": (
        [*with_manifest(Layers=["one"]), link("one", "two"), link("two", "one")],
        "circle",
    ),
    "a layer of the archive's own link to nowhere": (
        [*with_manifest(Layers=["gone"]), link("gone", "nowhere")],
        "has no gone",
    ),
    "a layer that is not the one promised": (
        [*saved_image(LAYERS[:1])[1:], file("0/layer.tar", b"other")],
        "damaged",
    ),
    "fewer layers than the config has": (with_manifest(Layers=[]), "lists 1 layers"),
    "a config outside": (with_manifest(Config="../../etc/passwd"), "has no"),
    "a manifest that is no list": ([file("manifest.json", b"{}")], "has no image"),
    "a manifest of numbers": ([file("manifest.json", b"[1]")], "not what docker writes"),
    "a config that is no image": (
        [*saved_image(LAYERS[:1])[:1], file("config.json", b"{}"), saved_image(LAYERS[:1])[-1]],
        "lists no layers",
    ),
    "nothing": ([], "holds no image"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_archive_is_refused(tmp_path: Path, name: str) -> None:
    entries, complaint = HOSTILE[name]
    path = pack(tmp_path / "hostile.tar", entries)

    with pytest.raises((ContentInvalid, NoSuchImage), match=complaint):
        await convert(f"docker-archive:{path}", tmp_path / "out")

    assert not (tmp_path / "out").exists()


async def test_a_file_that_says_it_is_larger_than_the_archive_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "lie.tar", [file("a", b"x" * 600)])
    content = bytearray(path.read_bytes())
    header = tarfile.TarInfo("a")
    header.size = 10_000_000
    content[:512] = header.tobuf(tarfile.USTAR_FORMAT)[:512]
    path.write_bytes(content)

    with pytest.raises(ContentInvalid):
        async with TarFiles(path):
            pass


async def test_a_header_that_would_fill_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.tar"
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 50_000_000
    with path.open("wb") as sink:
        sink.write(header.tobuf(tarfile.GNU_FORMAT))
        sink.truncate(60_000_000)

    with pytest.raises(ContentInvalid, match="header of"):
        async with TarFiles(path):
            pass


async def test_a_layer_of_a_layout_archive_that_lies_about_its_size_is_refused(
    tmp_path: Path,
) -> None:
    single_image(tmp_path / "image")
    await write(tmp_path / "image", tmp_path / "image.tar")
    entries: list[Entry] = []
    with tarfile.open(tmp_path / "image.tar") as archive:
        for member in archive:
            content = archive.extractfile(member)
            assert content
            entries.append(file(member.name, content.read()))
    longer = [
        file(info.name, content + b"!") if content.startswith(b"\x1f\x8b") else (info, content)
        for info, content in entries
    ]
    path = pack(tmp_path / "longer.tar", longer)

    with pytest.raises(ContentInvalid, match="it should have"):
        await convert(f"oci-archive:{path}", tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"not a tar" * 100, b"\x1f\x8b not gzip", bytes(10240)])
async def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "something.tar"
    path.write_bytes(content)

    with pytest.raises(ContentInvalid):
        await convert(f"docker-archive:{path}", tmp_path / "out")


async def test_an_archive_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocationInvalid, match=r"gone\.tar"):
        await convert(f"docker-archive:{tmp_path / 'gone.tar'}", tmp_path / "out")


SOUND = io.BytesIO()
with tarfile.open(fileobj=SOUND, mode="w") as _archive:
    for _info, _content in saved_image(LAYERS[1:2]):
        _archive.addfile(_info, io.BytesIO(_content))


LENGTH = len(SOUND.getvalue())
DAMAGE = st.lists(st.tuples(st.integers(0, LENGTH - 1), st.integers(0, 255)), max_size=8)


@given(DAMAGE, st.integers(1, LENGTH))
@settings(max_examples=60, deadline=None)
async def test_no_damage_to_an_archive_is_more_than_an_error(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]], length: int
) -> None:
    content = bytearray(SOUND.getvalue())
    for position, value in damage:
        content[position] = value
    del content[length:]
    directory = tmp_path_factory.mktemp("damage")
    (directory / "saved.tar").write_bytes(content)

    try:
        await convert(f"docker-archive:{directory / 'saved.tar'}", directory / "out", "v1")
    except ClientError:
        return
    layout = OciLayout(directory / "out")
    manifest = await layout.manifest(await layout.resolve())
    assert gzip.decompress(await content_of(layout, manifest.blobs[1])) == LAYERS[1]
