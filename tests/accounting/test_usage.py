"""Accounting on both databases: images, an index, a signature, and a base layer that others use."""

from functools import partial

import pytest

from longshore.accounting import store, usage
from longshore.accounting.model import Deletion, Usage
from longshore.oci.names import RepositoryName
from longshore.registry.store import repository_id
from longshore.testing.builders import artifact, image, index

pytestmark = pytest.mark.anyio

BASE, OWN, OTHER = b"b" * 1000, b"o" * 500, b"x" * 300
CONFIG = b"{}"
ONE, TWO = image([BASE, OWN], config=CONFIG), image([BASE, OTHER], config=CONFIG)
MULTI = index([ONE.manifest, TWO.manifest])
SIGNATURE = artifact(ONE.manifest)
PLAIN = image([BASE], config=CONFIG)


@pytest.fixture
async def filled(registry):
    """team/app: an index of two images, one of them signed and with a tag of its own."""
    await registry.push_image("team/app", ONE.digest, ONE)
    await registry.push_image("team/app", "two", TWO)
    await registry.push_manifest("team/app", "multi", MULTI)
    await registry.push_image("team/app", SIGNATURE.digest, SIGNATURE)
    await registry.push_image("team/base", "plain", PLAIN)
    await registry.push_image("base/debian", "plain", PLAIN)
    return registry


def size(*contents):
    return sum(len(found if isinstance(found, bytes) else found.data) for found in contents)


async def asked(registry, work, name, *more):
    def ask(connection):
        return work(connection, repository_id(connection, RepositoryName(name)), *more)

    return await registry.database.read(ask)


async def test_an_index_frees_what_only_it_reaches_and_its_signatures(filled):
    found = await asked(filled, usage.of_repository, "team/app")
    alone = await asked(filled, usage.of_deletion, "team/app", MULTI.digest, "multi")

    exclusive = size(MULTI, ONE.manifest, OWN, SIGNATURE.manifest, b"artifact")
    stored = exclusive + size(TWO.manifest, BASE, OTHER, CONFIG)
    logical = stored + size(BASE, CONFIG, CONFIG)
    assert found.tags["multi"] == Usage(logical, stored, exclusive)
    assert found.tags["two"].exclusive == 0
    assert found.whole == Usage(logical, stored, stored - size(BASE, CONFIG))
    here = size(TWO.manifest, BASE, OTHER, CONFIG)
    elsewhere = dict.fromkeys(["base/debian", "team/base"], size(BASE, CONFIG))
    assert alone == Deletion(found.tags["multi"], 3, here, elsewhere)


async def test_a_second_tag_on_the_same_manifest_frees_nothing(filled):
    await filled.push_manifest("team/base", "again", PLAIN.manifest)

    tag = await asked(filled, usage.of_deletion, "team/base", PLAIN.digest, "again")
    manifest = await asked(filled, usage.of_deletion, "team/base", PLAIN.digest, None)

    assert (tag.same, tag.usage.exclusive, tag.manifests) == (("plain",), 0, 0)
    assert (manifest.same, manifest.usage.exclusive, manifest.manifests) == ((), 0, 1)
    assert manifest.elsewhere == {
        "base/debian": size(BASE, CONFIG, PLAIN.manifest),
        "team/app": size(BASE, CONFIG),
    }


async def test_what_a_project_shares_inside_is_exclusive_to_it(filled):
    repositories = await filled.database.read(partial(store.overview, projects=False))
    projects = await filled.database.read(partial(store.overview, projects=True))
    within = await filled.database.read(partial(store.overview, projects=False, within="team"))
    await filled.client.delete(f"/v2/base/debian/manifests/{PLAIN.digest}")
    await filled.client.delete(f"/v2/base/debian/blobs/{PLAIN.blobs[1].digest}")
    await filled.client.delete(f"/v2/base/debian/blobs/{PLAIN.blobs[0].digest}")
    after = await filled.database.read(partial(store.overview, projects=True))

    assert set(repositories.groups) == {"team/app", "team/base", "base/debian"}
    assert repositories.groups["team/base"].exclusive == 0
    assert set(within.groups) == {"team/app", "team/base"}
    assert within.groups["team/app"] == repositories.groups["team/app"]
    team = projects.groups["team"]
    assert team.shared == size(BASE, CONFIG, PLAIN.manifest) == projects.groups["base"].stored
    assert projects.whole == repositories.whole
    assert projects.whole.stored == team.stored
    assert after.groups["team"].shared == 0
    assert after.groups["base"] == Usage()


async def test_bytes_that_belong_to_nothing_are_told(filled):
    digest = await filled.push_blob("team/app", b"lost")
    before = await filled.database.read(partial(store.overview, projects=True))
    await filled.client.delete(f"/v2/team/app/blobs/{digest}")
    after = await filled.database.read(partial(store.overview, projects=True))

    assert (before.waiting, after.waiting) == (0, 4)
    assert before.whole.stored == after.whole.stored + 4
