"""What `longshore adopt --check` finds in storage."""

import pytest

from longshore.adoption.links import LinkTree
from longshore.adoption.model import Kind, Trouble
from longshore.adoption.survey import Report, Survey
from longshore.oci.digest import Digest
from longshore.storage import layout
from longshore.storage.inmemory import InMemoryDriver
from longshore.testing.builders import artifact, content, image, index
from tests.adoption.legacy import Legacy

pytestmark = pytest.mark.anyio

NAME = "team/app"
NOBODY = Digest.of(b"nobody has these bytes")


async def survey(legacy: Legacy) -> Report:
    said: list[Trouble] = []
    report = await Survey(LinkTree(legacy.driver, thorough=True), said.append).run()
    assert said == report.troubles
    return report


async def found(legacy: Legacy) -> list[tuple[str, str]]:
    return [(trouble.kind, trouble.path) for trouble in (await survey(legacy)).troubles]


async def test_everything_is_counted(legacy):
    one, two = image([b"one"]), image([b"two", b"shared"])
    await legacy.push("app", one, "v1", "latest")
    await legacy.push("app/nested/deep", two, "v2")
    await legacy.push("app", artifact(one.manifest))
    await legacy.manifest("app", index([one.manifest]), "all")

    report = await survey(legacy)

    assert report.troubles == []
    assert report.to_json() == {
        "repositories": 2,
        "manifests": 4,
        "indexes": 1,
        "referrers": 1,
        "tags": 4,
        "layers": 7,
        "blobs": 10,
        "bytes": report.size,
        "trouble": {},
        "troubles": [],
    }
    stored = [entry.stat.size async for entry in legacy.driver.list(layout.BLOBS)]
    assert (report.blobs, report.size) == (len(stored), sum(stored))


async def test_a_driver_that_only_lists_is_read_as_well():
    class OnlyLists(InMemoryDriver):
        directories = None  # type: ignore[assignment]

    legacy = Legacy(OnlyLists())
    await legacy.push("app", image(), "v1")
    await legacy.push("app/nested", image(), "v1")

    report = await survey(legacy)

    assert (report.repositories, report.tags, report.trouble_count) == (2, 2, 0)


async def test_uploads_and_repositories_without_manifests_are_none(legacy):
    await legacy.link(f"{layout.REPOSITORIES}/half/_uploads/123/startedat", "2026-01-01T00:00:00Z")
    await legacy.blob("half", content(b"blob"))

    assert (await survey(legacy)).repositories == 0


async def test_links_that_name_nothing_are_broken(legacy):
    pushed = await legacy.push(NAME, image(), "empty", "wrong")
    empty, wrong = layout.tag_link(NAME, "empty"), layout.tag_link(NAME, "wrong")
    revision, lies = layout.revision_link(NAME, NOBODY), layout.layer_link(NAME, NOBODY)
    await legacy.link(empty, "")
    await legacy.link(wrong, f"{pushed}\n")
    await legacy.link(revision, "sha256:abc")
    await legacy.link(lies, pushed)

    assert sorted(await found(legacy)) == sorted(
        (Kind.LINK, path) for path in (empty, wrong, revision, lies)
    )


async def test_a_link_to_a_longer_digest_may_hold_the_canonical_one(legacy):
    manifest = image().manifest
    await legacy.push(NAME, image(), "v1")
    longer = Digest.of(manifest.data, "sha512")
    await legacy.link(layout.revision_link(NAME, longer), manifest.digest)

    assert await found(legacy) == []


async def test_a_tag_that_names_nothing_now_is_broken(legacy):
    await legacy.push(NAME, image(), "v1")
    await legacy.driver.delete(layout.tag_link(NAME, "v1"))
    await legacy.tag(NAME, NOBODY, ["v2"])

    assert sorted(await found(legacy)) == [
        (Kind.TAG, f"{layout.tags(NAME)}/v1"),
        (Kind.TAG, layout.tag_link(NAME, "v2")),
    ]


async def test_blobs_that_are_missing_or_cut_short_are_reported(legacy):
    picture = image([b"first", b"second"])
    await legacy.push(NAME, picture, "v1")
    first, second = (blob.digest for blob in picture.blobs[1:])
    revision = layout.revision_link(NAME, picture.digest)
    await legacy.driver.delete(layout.blob(first))
    await legacy.driver.write(layout.blob(second), b"sec")

    assert sorted(await found(legacy)) == sorted(
        [
            (Kind.MISSING, layout.layer_link(NAME, first)),
            (Kind.MISSING, revision),
            (Kind.SIZE, revision),
        ]
    )


async def test_a_manifest_that_is_damaged_missing_or_none_is_reported(legacy):
    damaged, missing = image([b"damaged"]), image([b"missing"])
    await legacy.push(NAME, damaged)
    await legacy.push(NAME, missing)
    await legacy.driver.write(layout.blob(damaged.digest), damaged.manifest.data[:-1])
    await legacy.driver.delete(layout.blob(missing.digest))
    schema1 = content(b'{"schemaVersion": 1, "name": "team/app", "fsLayers": []}')
    none = content(b"\x1f\x8b is a layer")
    await legacy.manifest(NAME, schema1)
    await legacy.manifest(NAME, none)

    assert sorted(await found(legacy)) == sorted(
        [
            (Kind.MANIFEST, layout.revision_link(NAME, damaged.digest)),
            (Kind.MISSING, layout.revision_link(NAME, missing.digest)),
            (Kind.MANIFEST, layout.revision_link(NAME, schema1.digest)),
            (Kind.MANIFEST, layout.revision_link(NAME, none.digest)),
        ]
    )


async def test_an_index_whose_child_is_not_there_is_reported(legacy):
    child = image()
    parent = index([child.manifest])
    await legacy.manifest(NAME, parent, "v1")

    assert await found(legacy) == [(Kind.CHILD, layout.revision_link(NAME, parent.digest))]


async def test_a_repository_whose_name_nobody_could_use_is_reported(legacy):
    await legacy.push("Team/App", image(), "v1")

    assert await found(legacy) == [(Kind.NAME, f"{layout.REPOSITORIES}/Team/App")]
