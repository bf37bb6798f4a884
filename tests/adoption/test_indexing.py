"""What an adoption makes of storage: everything that the other registry would serve, and no more."""

import asyncio
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from longshore.adoption import store
from longshore.adoption.indexing import Indexer
from longshore.oci.digest import Digest
from longshore.oci.names import RepositoryName, Tag
from longshore.registry import store as data_plane
from longshore.registry.model import AdoptionState
from longshore.storage import layout
from longshore.testing.builders import artifact, content, image, index
from tests.adoption.adopting import adopted, begun, finished, names, referrers, resolve, tags

pytestmark = pytest.mark.anyio

NAME = RepositoryName("team/app")


async def rows(registry, query: str) -> list[tuple[Any, ...]]:
    return [
        tuple(row) for row in await registry.database.read(lambda c: c.execute(text(query)).all())
    ]


async def everything(registry) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the data plane but for surrogate keys."""
    return {
        table: sorted(await rows(registry, f"SELECT {columns} FROM {table}"), key=str)  # noqa: S608
        for table, columns in {
            "repositories": "name",
            "blobs": "digest, size",
            "repository_blobs": "digest",
            "manifests": "digest, media_type, size, subject",
            "manifest_references": "digest, kind, position",
            "tags": "name, digest",
            "tag_history": "name, digest, actor",
        }.items()
    }


async def test_what_the_other_registry_served_is_served(legacy, registry):
    one, two = image([b"one"]), image([b"two", b"shared"])
    await legacy.push(NAME, one, "v1", "latest")
    await legacy.push("other/deep/er", two, "v2")
    both = index([one.manifest])
    await legacy.manifest(NAME, both, "all")

    await adopted(registry)

    assert await names(registry) == ["other/deep/er", NAME]
    assert await tags(registry, NAME) == ["all", "latest", "v1"]
    for picture, name, tag in ((one, NAME, "latest"), (two, "other/deep/er", "v2")):
        answer = await registry.client.get(f"/v2/{name}/manifests/{tag}")
        assert answer.content == picture.manifest.data
        assert answer.headers["content-type"] == picture.manifest.descriptor.media_type
        for blob in picture.blobs:
            assert (
                await registry.client.get(f"/v2/{name}/blobs/{blob.digest}")
            ).content == blob.data
    assert await resolve(registry, NAME, both.digest) == both.digest


async def test_a_repository_sees_only_its_own_blobs(legacy, registry):
    mine, other = image([b"mine"]), image([b"others"])
    await legacy.push("mine", mine, "v1")
    await legacy.push("other", other, "v1")

    await adopted(registry)

    answer = await registry.client.get(f"/v2/mine/blobs/{other.blobs[1].digest}")
    assert answer.status_code == 404


async def test_the_rows_are_those_that_pushes_would_have_made(legacy, registry, cluster, tmp_path):
    pushed = image([b"one", b"two"], annotations={"a": "b"})
    sbom = artifact(pushed.manifest)
    for picture, tag in ((pushed, "v1"), (sbom, None)):
        await legacy.push(NAME, picture, *([tag] if tag else []))
    await adopted(registry)
    taken_over = await everything(registry)
    await registry.database.write(lambda c: c.execute(text("DELETE FROM repositories")) and None)
    await registry.database.write(lambda c: c.execute(text("DELETE FROM blobs")) and None)

    for picture, tag in ((pushed, "v1"), (sbom, sbom.digest)):
        await registry.push_image(NAME, tag, picture)
    expected = await everything(registry)

    expected["tag_history"] = [
        (tag, digest, "adoption") for tag, digest, _ in expected["tag_history"]
    ]
    assert taken_over == expected


async def test_referrers_come_from_subjects_and_from_fallback_tags(legacy, registry):
    picture = image()
    signature, sbom = artifact(picture.manifest), artifact(None, "application/vnd.old.sbom")
    for one in (picture, signature, sbom):
        await legacy.push(NAME, one)
    await legacy.manifest(NAME, index([sbom.manifest]), Tag.for_referrers(picture.digest))

    await adopted(registry)

    assert await referrers(registry, NAME, picture.digest) == sorted(
        [signature.digest, sbom.digest]
    )


async def test_tags_bring_their_history(legacy, registry):
    old, new = image([b"old"]), image([b"new"])
    await legacy.push(NAME, old, "latest")
    await asyncio.sleep(0.02)
    await legacy.push(NAME, new, "latest")

    await adopted(registry)

    history = "SELECT digest FROM tag_history WHERE name = 'latest' ORDER BY at"
    assert await rows(registry, history) == [(old.digest,), (new.digest,)]


async def test_what_is_broken_is_left_out_and_remembered(legacy, registry, caplog):
    good, damaged, cut = image([b"good"]), image([b"damaged"]), image([b"cut"])
    await legacy.push(NAME, good, "good", "broken")
    await legacy.push(NAME, damaged, "damaged")
    await legacy.push(NAME, cut, "cut")
    await legacy.link(layout.tag_link(NAME, "broken"), "")
    await legacy.driver.write(layout.blob(damaged.digest), b"{")
    await legacy.driver.delete(layout.blob(cut.blobs[1].digest))

    await adopted(registry)

    assert await tags(registry, NAME) == ["cut", "good"]
    assert await resolve(registry, NAME, damaged.digest) is None
    troubles = await registry.database.read(partial(store.list_troubles, last="", limit=10))
    assert {(trouble.kind, trouble.path) for trouble in troubles} == {
        ("broken link", layout.tag_link(NAME, "broken")),
        ("unreadable manifest", layout.revision_link(NAME, damaged.digest)),
        ("broken tag", layout.tag_link(NAME, "damaged")),
        ("missing blob", layout.revision_link(NAME, cut.digest)),
        ("missing blob", layout.layer_link(NAME, cut.blobs[1].digest)),
    }
    assert "not taken over: unreadable manifest" in caplog.text


async def test_manifests_that_were_deleted_there_do_not_come_back(legacy, registry):
    gone = image()
    await legacy.push(NAME, gone)
    await legacy.driver.delete(layout.revision_link(NAME, gone.digest))
    await legacy.push(NAME, image([b"kept"]), "kept")

    await adopted(registry)

    assert await resolve(registry, NAME, gone.digest) is None


async def test_an_adoption_may_be_repeated_and_changes_nothing_then(legacy, registry):
    await legacy.push(NAME, image(), "v1")
    await adopted(registry)
    before = await everything(registry)

    again = await begun(registry)

    assert (again.state, again.already) == (AdoptionState.FINISHED, True)
    assert await everything(registry) == before


async def test_an_adoption_that_ends_while_somebody_asks_for_it_again_stays_ended(
    legacy, registry, monkeypatch
):
    await legacy.push(NAME, image(), "v1")
    await adopted(registry)
    real = data_plane.adoption_state

    def as_before(connection, *, lock=False):
        return real(connection, lock=lock) if lock else AdoptionState.RUNNING

    with monkeypatch.context() as patch:
        patch.setattr(data_plane, "adoption_state", as_before)
        again = await begun(registry)

    assert (again.state, again.job) == (AdoptionState.FINISHED, None)
    assert await registry.database.read(real) is AdoptionState.FINISHED


async def test_an_adoption_that_died_in_the_middle_goes_on(legacy, registry):
    for number in range(20):
        await legacy.push(NAME, image([str(number).encode()]), f"v{number}")
    await begun(registry)
    steps = 0

    async def die(_: int) -> None:
        nonlocal steps
        steps += 1
        if steps == 2:
            raise SystemError

    with pytest.raises(SystemError):
        await Indexer(registry.database, registry.driver).repository(NAME, die)
    assert await registry.database.read(partial(store.is_waiting, name=NAME))
    await finished(registry)

    assert len(await tags(registry, NAME)) == 20


async def test_two_processes_at_the_same_repository_do_no_harm(legacy, cluster):
    pictures = [image([str(number).encode(), b"shared"]) for number in range(60)]
    for number, picture in enumerate(pictures):
        await legacy.push(NAME, picture, f"v{number}", "latest")
    async with cluster.node() as one, cluster.node() as two:
        await begun(one)
        await asyncio.gather(
            *(Indexer(node.database, node.driver).repository(NAME) for node in (one, two, one))
        )
        await finished(one)

        assert len(await tags(two, NAME)) == 61
        found = await everything(one)
        assert len(found["manifests"]) == 60
        assert len(found["manifest_references"]) == 180
        assert len(found["tag_history"]) == 120


async def test_who_is_late_writes_nothing_into_a_complete_repository(legacy, registry):
    kept, deleted = image([b"kept"]), image([b"deleted"])
    await legacy.push(NAME, kept, "kept")
    await legacy.push(NAME, deleted, "deleted")
    await begun(registry)

    async def overtaken(_: int) -> None:
        await Indexer(registry.database, registry.driver).repository(NAME)
        for reference in ("deleted", deleted.digest):
            await registry.client.delete(f"/v2/{NAME}/manifests/{reference}")

    await Indexer(registry.database, registry.driver).repository(NAME, overtaken)

    assert await tags(registry, NAME) == ["kept"]
    assert await resolve(registry, NAME, deleted.digest) is None


async def test_storage_without_a_registry_is_not_adopted(legacy, registry):
    beginning = await begun(registry)

    assert (beginning.state, beginning.repositories) == (AdoptionState.NOT_STARTED, 0)


async def test_a_link_to_a_layer_that_is_no_manifest_harms_nobody(legacy, registry):
    large = content(b"x" * (17 << 20))
    await legacy.manifest(NAME, large)
    await legacy.push(NAME, image(), "v1")

    await adopted(registry)

    assert await tags(registry, NAME) == ["v1"]
    assert await resolve(registry, NAME, Digest.of(large.data)) is None
