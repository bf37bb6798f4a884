"""Links written back: storage says what the rows say, and nothing else is touched."""

import asyncio
import json
from functools import partial

import pytest

from longshore.adoption import store
from longshore.adoption.export import Export
from longshore.adoption.export_task import LinkExport, enqueue_everything
from longshore.adoption.links import LinkTree
from longshore.adoption.model import TagEntry
from longshore.adoption.rebuilding import rebuild
from longshore.adoption.survey import Survey
from longshore.jobs import queue
from longshore.jobs.foreground import until_done
from longshore.oci.digest import Digest
from longshore.oci.names import RepositoryName, Tag
from longshore.storage import layout
from longshore.telemetry import clock
from longshore.testing.builders import artifact, content, image, index
from tests.adoption.adopting import adopted, begun, finished, referrers, tags
from tests.services.in_process import Registry

pytestmark = pytest.mark.anyio

NAME = RepositoryName("team/app")
STRANGER = Digest.of(b"pushed by somebody else")


async def export(registry: Registry, *, everything: bool = True) -> list[str]:
    """Run the job; what it logged."""
    now = clock.timestamp()
    changed = partial(queue.enqueue, kind="export-links", payload={}, now=now)
    job = await registry.database.write(enqueue_everything if everything else changed)
    task = LinkExport(registry.database, registry.driver)
    return await until_done(registry.database, task, job, lambda line: None)


async def links(registry: Registry) -> dict[str, str]:
    """Every link below the repositories, with what it holds."""
    paths = [entry.path async for entry in registry.driver.list(layout.REPOSITORIES)]
    contents = await asyncio.gather(*(registry.driver.read(path) for path in paths))
    return {path: data.decode() for path, data in zip(paths, contents, strict=True)}


async def sound(registry: Registry) -> bool:
    report = await Survey(LinkTree(registry.driver, thorough=True), lambda trouble: None).run()
    return report.trouble_count == 0


async def test_a_repository_that_was_pushed_here_gets_all_links(registry):
    picture = image([b"one", b"two"])
    parent = index([picture.manifest])
    await registry.push_image(NAME, "v1", picture)
    await registry.push_manifest(NAME, "all", parent)
    await registry.push_image(NAME, "sha", artifact(picture.manifest))

    log = await export(registry)

    found = await links(registry)
    expected = {
        layout.revision_link(NAME, picture.digest): picture.digest,
        layout.revision_link(NAME, parent.digest): parent.digest,
        layout.tag_link(NAME, "v1"): picture.digest,
        layout.tag_index_link(NAME, "v1", picture.digest): picture.digest,
        layout.tag_link(NAME, "all"): parent.digest,
        layout.tag_index_link(NAME, "all", parent.digest): parent.digest,
        **{layout.layer_link(NAME, blob.digest): blob.digest for blob in picture.blobs},
    }
    assert expected.items() <= found.items()
    assert await sound(registry)
    assert log[-1] == f"1 repositories written back: {len(found)} links written, 0 removed"


async def test_a_second_run_changes_nothing(registry):
    await registry.push_image(NAME, "v1", image())
    await export(registry)
    before = await links(registry)

    assert (await export(registry))[-1] == "1 repositories written back: 0 links written, 0 removed"
    assert (await export(registry, everything=False))[-1].startswith("0 repositories")
    assert await links(registry) == before


async def test_what_was_deleted_and_moved_here_is_gone_and_moved_there(legacy, registry):
    first, second, gone = image([b"first"]), image([b"second"]), image([b"gone"])
    await legacy.push(NAME, first, "stays", "moves", "goes")
    await legacy.push(NAME, gone, "with-its-manifest")
    await legacy.push("emptied", gone, "v1")
    await adopted(registry)
    await registry.push_image(NAME, "moves", second)
    for path in (f"{NAME}/manifests/goes", f"{NAME}/manifests/{gone.digest}"):
        await registry.client.delete(f"/v2/{path}")
    await registry.client.delete(f"/v2/emptied/manifests/{gone.digest}")

    await export(registry)

    found = await links(registry)
    assert found[layout.tag_link(NAME, "stays")] == first.digest
    assert found[layout.tag_link(NAME, "moves")] == second.digest
    assert layout.tag_index_link(NAME, "moves", first.digest) in found
    left = [
        path for path in found if "goes" in path or "with-its" in path or gone.digest.hex in path
    ]
    assert left == []
    assert not (registry.driver.local_path(layout.tags(NAME)) / "goes").exists()
    assert not (registry.driver.local_path(layout.REPOSITORIES) / "emptied/_manifests").exists()
    assert await sound(registry)


async def test_only_changed_repositories_are_looked_at_now_and_then(registry):
    for name in ("one", "two"):
        await registry.push_image(name, "v1", image())
    await export(registry, everything=False)
    await registry.push_image("two", "v2", image([b"new"]))
    await registry.client.delete("/v2/two/manifests/v1")

    log = await export(registry, everything=False)

    assert log[-1].startswith("1 repositories written back")
    found = await links(registry)
    assert layout.tag_link("two", "v2") in found
    assert layout.tag_link("two", "v1") not in found
    assert layout.tag_link("one", "v1") in found


async def test_what_could_not_be_taken_over_is_left_for_the_way_back(legacy, registry):
    old = content(b'{"schemaVersion": 1, "name": "team/app", "fsLayers": []}')
    await legacy.manifest(NAME, old, "ancient")
    await legacy.push(NAME, image(), "v1")
    await adopted(registry)
    before = await links(registry)

    await export(registry)

    assert await links(registry) == before


async def test_a_tag_that_replaced_a_broken_one_is_removed_when_it_is_deleted(legacy, registry):
    await legacy.push(NAME, image(), "v1", "broken")
    await legacy.link(layout.tag_link(NAME, "broken"), "")
    await adopted(registry)
    await registry.push_image(NAME, "broken", image([b"mended"]))
    await export(registry)
    assert await sound(registry)
    await registry.client.delete(f"/v2/{NAME}/manifests/broken")

    await export(registry)

    assert not [path for path in await links(registry) if "broken" in path]


async def test_links_that_nobody_took_over_are_left_alone(legacy, registry):
    await legacy.push(NAME, image([b"theirs"]), "theirs")
    before = await links(registry)
    await registry.push_image(NAME, "ours", image([b"ours"]))
    await registry.push_image("other", "ours", image([b"ours"]))

    log = await export(registry)

    found = await links(registry)
    assert before.items() <= found.items()
    assert layout.tag_link(NAME, "ours") not in found
    assert layout.tag_link("other", "ours") in found
    assert log[0].startswith(f"{NAME}: left as it is")


async def test_nothing_is_written_back_while_an_adoption_runs(legacy, registry):
    await legacy.push(NAME, image(), "v1")
    await begun(registry)
    before = await links(registry)

    log = await export(registry)

    assert "is being taken over" in log[0]
    assert await links(registry) == before


async def test_an_export_that_died_is_made_good_by_the_next(registry, monkeypatch):
    await registry.push_image(NAME, "v1", image([b"one", b"two"]))
    write = registry.driver.write
    count = 0

    async def dying(path: str, data: bytes) -> None:
        nonlocal count
        count += 1
        if count == 3:
            raise SystemError
        await write(path, data)

    monkeypatch.setattr(registry.driver, "write", dying)
    run = Export(registry.database, registry.driver, everything=True)
    with pytest.raises(SystemError):
        async for page in run.pages():
            await run.repository(page[0])
    monkeypatch.undo()

    await export(registry, everything=False)

    assert await sound(registry)
    assert layout.tag_link(NAME, "v1") in await links(registry)


async def test_an_adoption_of_what_was_written_back_gives_the_same_history(legacy, registry):
    old, new = image([b"old"]), image([b"new"])
    await registry.push_image(NAME, "latest", old)
    await registry.push_image(NAME, "latest", new)

    await export(registry)

    entries: list[TagEntry] = []
    async for batch in LinkTree(registry.driver).tags(NAME):
        entries += [one for one in batch if isinstance(one, TagEntry) and not one.current]
    assert [entry.digest for entry in sorted(entries, key=lambda entry: entry.at)] == [
        old.digest,
        new.digest,
    ]


async def test_referrers_get_the_list_that_clients_look_for_where_there_is_no_api(registry):
    picture = image()
    sbom, signature = artifact(picture.manifest), artifact(picture.manifest, "application/vnd.sig")
    await registry.push_image(NAME, "v1", picture)
    for one in (sbom, signature):
        await registry.push_image(NAME, one.digest, one)
    tag = Tag.for_referrers(picture.digest)

    await export(registry)

    found = await links(registry)
    listed = json.loads(
        await registry.driver.read(layout.blob(Digest(found[layout.tag_link(NAME, tag)])))
    )
    answer = (await registry.client.get(f"/v2/{NAME}/referrers/{picture.digest}")).json()
    assert listed["manifests"] == answer["manifests"]
    assert await sound(registry)
    assert await tags(registry, NAME) == ["v1"]
    await registry.push_image(NAME, "v2", image([b"two"]))
    await export(registry, everything=False)
    assert layout.tag_link(NAME, tag) in await links(registry)
    await registry.client.delete(f"/v2/{NAME}/manifests/{sbom.digest}")
    await registry.client.delete(f"/v2/{NAME}/manifests/{signature.digest}")
    await export(registry)
    assert not [path for path in await links(registry) if tag in path]
    assert await sound(registry)


async def test_a_list_of_referrers_that_a_client_keeps_is_left_to_it(legacy, registry):
    picture = image()
    sbom = artifact(None)
    await legacy.push(NAME, picture, "v1")
    await legacy.push(NAME, sbom)
    tag = Tag.for_referrers(picture.digest)
    kept = await legacy.manifest(NAME, index([sbom.manifest]), tag)
    await adopted(registry)

    await export(registry)

    assert (await links(registry))[layout.tag_link(NAME, tag)] == kept


async def test_a_list_that_was_written_here_is_not_taken_over_again(registry):
    picture = image()
    sbom = artifact(picture.manifest)
    await registry.push_image(NAME, "v1", picture)
    await registry.push_image(NAME, sbom.digest, sbom)
    await export(registry)

    await rebuild(registry.database, registry.driver, replace=True, discard=False)
    await finished(registry)

    assert await tags(registry, NAME) == ["v1"]
    assert await referrers(registry, NAME, picture.digest) == [sbom.digest]
    troubles = await registry.database.read(partial(store.list_troubles, last="", limit=10))
    assert troubles == []
