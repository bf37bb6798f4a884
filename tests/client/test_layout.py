"""Image layout directories: written whole, by many at once, read with care."""

import json
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longshore.client.copying import copy
from longshore.client.errors import ContentInvalid, LocationInvalid, NoSuchImage
from longshore.client.layout import OciLayout
from longshore.oci import mediatypes
from longshore.oci.descriptor import Descriptor
from longshore.oci.digest import Digest
from tests.services.images import Layout, multi_platform_image, single_image

pytestmark = pytest.mark.anyio


async def test_a_name_moves_to_the_image_that_was_copied_last(tmp_path: Path) -> None:
    single_image(tmp_path / "one", {"f": b"1"})
    single_image(tmp_path / "two", {"f": b"2"})
    target = OciLayout(tmp_path / "target")

    await copy(OciLayout(tmp_path / "one"), target, "v1")
    await copy(OciLayout(tmp_path / "one"), target, "old")
    two = await copy(OciLayout(tmp_path / "two"), target, "v1")

    assert (await OciLayout(target.path, "v1").resolve()).digest == two.descriptor.digest
    assert len(await target.entries()) == 2


async def test_without_a_name_a_layout_of_several_images_is_refused_by_naming_them(
    tmp_path: Path,
) -> None:
    single_image(tmp_path / "one")
    target = OciLayout(tmp_path / "target")
    await copy(OciLayout(tmp_path / "one"), target, "v1")
    multi_platform_image(tmp_path / "two")
    await copy(OciLayout(tmp_path / "two"), target, "v2")

    with pytest.raises(NoSuchImage, match="name one of them: v1, v2"):
        await target.resolve()
    with pytest.raises(NoSuchImage, match="has no image 'v3'; it has: v1, v2"):
        await OciLayout(target.path, "v3").resolve()


@pytest.mark.parametrize("selected", ["registry.example/team/app:v1", "v1", "app:v1"])
async def test_an_image_is_found_by_the_names_that_docker_and_containerd_write(
    tmp_path: Path, selected: str
) -> None:
    layout = Layout(tmp_path / "image")
    image = layout.image({"f": b"x"})
    whole = "app:v1" if selected == "app:v1" else "registry.example/team/app:v1"
    image["annotations"] = {"io.containerd.image.name": whole}
    layout._named.append(image)
    layout._write_index()

    assert (await OciLayout(layout.path, selected).resolve()).digest == image["digest"]


async def test_an_image_is_found_by_its_digest(tmp_path: Path) -> None:
    _, images = multi_platform_image(tmp_path / "image")

    found = await OciLayout(tmp_path / "image", Digest(images["arm64"])).resolve()

    assert found.digest == images["arm64"]
    assert found.media_type == mediatypes.OCI_MANIFEST


async def test_many_writers_lose_no_name(tmp_path: Path) -> None:
    for number in range(8):
        single_image(tmp_path / str(number), {"f": bytes([number])})

    async with anyio.create_task_group() as group:
        for number in range(8):
            target = OciLayout(tmp_path / "target")
            group.start_soon(copy, OciLayout(tmp_path / str(number)), target, f"v{number}")

    assert len(await OciLayout(tmp_path / "target").entries()) == 8


async def test_two_writers_of_one_blob_do_not_mix(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    blob = Descriptor(mediatypes.OCTET_STREAM, Digest.of(content), len(content))

    async def slowly(offset: int) -> AsyncGenerator[bytes, None]:
        for start in range(offset, len(content), 250_000):
            await anyio.lowlevel.checkpoint()
            yield content[start : start + 250_000]

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(
                OciLayout(tmp_path / "l").put_blob, blob, slowly, lambda position: None
            )

    pieces = OciLayout(tmp_path / "l").blob(blob)
    assert b"".join([piece async for piece in pieces]) == content
    assert not (tmp_path / "l" / ".incomplete").exists()


async def test_many_writers_of_small_blobs_do_not_get_into_each_others_way(tmp_path: Path) -> None:
    contents = [bytes([number]) for number in range(12)]

    async def store(content: bytes) -> None:
        async def pieces(offset: int) -> AsyncGenerator[bytes, None]:
            yield content[offset:]

        blob = Descriptor(mediatypes.OCTET_STREAM, Digest.of(content), len(content))
        await OciLayout(tmp_path / "l").put_blob(blob, pieces, lambda position: None)

    async with anyio.create_task_group() as group:
        for content in contents * 6:
            group.start_soon(store, content)

    stored = (tmp_path / "l" / "blobs" / "sha256").iterdir()
    assert sorted(path.read_bytes() for path in stored) == contents
    assert not (tmp_path / "l" / ".incomplete").exists()


async def test_wrong_bytes_are_neither_published_nor_kept(tmp_path: Path) -> None:
    blob = Descriptor(mediatypes.OCTET_STREAM, Digest.of(b"right"), 5)

    async def wrong(offset: int) -> AsyncGenerator[bytes, None]:
        yield b"wrong"

    layout = OciLayout(tmp_path / "l")
    with pytest.raises(ContentInvalid, match="damaged"):
        await layout.put_blob(blob, wrong, lambda position: None)

    assert not await layout.has_blob(blob)
    assert list((tmp_path / "l" / ".incomplete").iterdir()) == []


async def test_a_directory_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    single_image(tmp_path / "image")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")

    with pytest.raises(LocationInvalid, match="not empty"):
        await copy(OciLayout(tmp_path / "image"), OciLayout(tmp_path / "home"), "v1")

    assert [path.name for path in (tmp_path / "home").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    "index",
    [
        "{",
        "[]",
        '{"schemaVersion":2}',
        '{"schemaVersion":2,"manifests":[{"digest":"sha256:../../etc/passwd","size":1}]}',
        '{"schemaVersion":2,"manifests":[{"size":1}]}',
        '{"schemaVersion":2,"manifests":[],"manifests":[]}',
    ],
)
async def test_a_damaged_index_is_refused(tmp_path: Path, index: str) -> None:
    single_image(tmp_path / "image")
    (tmp_path / "image" / "index.json").write_text(index)

    with pytest.raises(ContentInvalid):
        await OciLayout(tmp_path / "image").resolve()


async def test_an_unknown_version_of_layout_is_refused(tmp_path: Path) -> None:
    single_image(tmp_path / "image")
    (tmp_path / "image" / "oci-layout").write_text('{"imageLayoutVersion":"2.0.0"}')

    with pytest.raises(ContentInvalid, match=r"version '2\.0\.0'"):
        await OciLayout(tmp_path / "image").resolve()


async def test_other_peoples_keys_in_the_index_stay(tmp_path: Path) -> None:
    single_image(tmp_path / "one")
    target = tmp_path / "target"
    single_image(target, {"f": b"theirs"}, tag="theirs")
    index = json.loads((target / "index.json").read_bytes())
    index["annotations"] = {"com.example.note": "keep"}
    index["manifests"][0]["com.example.extension"] = [1, 2]
    (target / "index.json").write_text(json.dumps(index))

    await copy(OciLayout(tmp_path / "one"), OciLayout(target), "ours")

    after = json.loads((target / "index.json").read_bytes())
    assert after["annotations"] == index["annotations"]
    assert after["manifests"][0] == index["manifests"][0]


LAYERS = st.lists(st.dictionaries(st.sampled_from("abcd"), st.binary(max_size=50)), max_size=4)
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(st.lists(LAYERS, min_size=1, max_size=3), NAMES)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_any_image_survives_a_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    images: list[list[dict[str, bytes]]],
    name: str,
) -> None:
    root = tmp_path_factory.mktemp("round")
    layout = Layout(root / "image")
    made = [
        layout.image(*layers, architecture=f"cpu{number}") for number, layers in enumerate(images)
    ]
    layout.name(name, layout.index(*made))

    there = await copy(OciLayout(layout.path, name), OciLayout(root / "there"), name)
    back = await copy(OciLayout(root / "there", name), OciLayout(root / "back"), name)

    assert there.descriptor.digest == back.descriptor.digest
    for blob in (root / "there" / "blobs").rglob("*"):
        if blob.is_file():
            assert Digest.of(blob.read_bytes()).hex == blob.name
            assert (root / "back" / blob.relative_to(root / "there")).exists()
