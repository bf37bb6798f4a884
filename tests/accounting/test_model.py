"""Accounting is what a simulated collection says, whatever the registry looks like."""

import os
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from longshore import migrations
from longshore.accounting import store as accounting_store
from longshore.accounting import usage
from longshore.accounting.model import Usage
from longshore.db.database import Database
from longshore.oci.digest import Digest
from longshore.oci.manifest import Manifest
from longshore.oci.names import RepositoryName, Tag
from longshore.registry import store
from longshore.registry.model import Blob
from longshore.testing.builders import Content, artifact, content, image, index

BLOBS = [content(bytes([65 + number]) * (number + 1) ** 2) for number in range(6)]
NAMES = ["one/a", "one/b", "two", "two/a/b"]


@dataclass
class Model:
    """One repository in sets: digests of manifests with what they refer to, as the rows have it."""

    manifests: dict[str, Manifest] = field(default_factory=dict)
    links: set[str] = field(default_factory=set)
    tags: dict[str, str] = field(default_factory=dict)

    def below(self, digest: str) -> set[str]:
        children = {child.digest for child in self.manifests[digest].children}
        referrers = {
            other
            for other, manifest in self.manifests.items()
            if manifest.subject and manifest.subject.digest == digest
        }
        return (children | referrers) & self.manifests.keys()

    def reach(self, roots: set[str]) -> set[str]:
        found: set[str] = set()
        waiting = set(roots) & self.manifests.keys()
        while waiting:
            found |= waiting
            waiting = {below for digest in waiting for below in self.below(digest)} - found
        return found

    def needed(self, digests: set[str]) -> list[str]:
        """What these manifests need, each occurrence; what one manifest lists twice counts once."""
        listed = [{blob.digest for blob in self.manifests[digest].blobs} for digest in digests]
        blobs = [blob for found in listed for blob in found]
        return [*digests, *(blob for blob in blobs if blob in self.links)]

    def after(self, tags: dict[str, str], wanted: set[str]) -> set[str]:
        """The digests that are left when only ``tags`` remain, and of what no tag ever reached only
        ``wanted``."""
        left = self.reach({*tags.values(), *wanted})
        before = set(self.needed(set(self.manifests)))
        loose = self.links - before
        return set(self.needed(left)) | loose

    @property
    def untagged(self) -> set[str]:
        return set(self.manifests) - self.reach(set(self.tags.values()))

    @property
    def held(self) -> set[str]:
        return self.links | set(self.manifests)


SIZES: dict[str, int] = {blob.digest: len(blob.data) for blob in BLOBS}


def weigh(digests) -> int:
    return sum(SIZES[digest] for digest in digests)


@st.composite
def repositories(draw):
    """A repository of images, indexes, artifacts about any of them, tags and loose blobs."""
    made: list[Content] = []
    for number in range(draw(st.integers(0, 5))):
        kind = draw(st.sampled_from(["image", "index", "artifact"] if made else ["image"]))
        # The same image may be in several repositories.
        note: dict[str, Any] = {"annotations": {"number": str(draw(st.integers(0, 1)) or number)}}
        if kind == "image":
            layers = draw(st.lists(st.sampled_from(BLOBS), min_size=1, max_size=3, unique_by=id))
            made.append(
                image([layer.data for layer in layers], config=BLOBS[0].data, **note).manifest
            )
        elif kind == "index":
            children = draw(st.lists(st.sampled_from(made), min_size=1, max_size=3, unique_by=id))
            made.append(index(children, **note))
        else:
            made.append(
                artifact(draw(st.sampled_from(made)), annotations={"n": str(number)}).manifest
            )
    names = st.sampled_from(["v1", "v2", "v3", "latest"])
    tags = draw(st.dictionaries(names, st.sampled_from(made), max_size=4)) if made else {}
    loose = draw(st.lists(st.sampled_from(BLOBS), max_size=2))
    return made, tags, loose


def fill(connection, instance) -> dict[str, Model]:
    models = {}
    for name, (made, tags, loose) in zip(NAMES, instance, strict=True):
        model = models[name] = Model()
        named = RepositoryName(name)
        repository = store.ensure_repository(connection, named, 0.0)

        def link(digest, model=model, named=named):
            store.link_blob(connection, named, Blob(Digest(digest), SIZES[digest]), 0.0)
            model.links.add(digest)

        for data in made:
            manifest = Manifest.parse(data.data, data.descriptor.media_type)
            for blob in manifest.blobs:
                SIZES[blob.digest] = blob.size
                link(blob.digest)
            SIZES[data.digest] = len(data.data)
            model.manifests[data.digest] = manifest
            store.put_manifest(connection, named, data.digest, manifest, 0.0)
        for blob in loose:
            link(blob.digest)
        for tag, data in tags.items():
            model.tags[tag] = data.digest
            put = partial(store.put_tag, connection, repository, Tag(tag), data.digest)
            put("", 0.0, lambda _: None)
    return models


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('db')}/longshore.db")
    database.open()
    migrations.upgrade(database)
    yield database
    database.close()


def check_groups(connection, models, groups):
    """``groups``: which repositories make up each."""
    found = accounting_store.overview(connection, projects="one" in groups)
    assert set(found.groups) == set(groups)
    for name, members in groups.items():
        mine = set().union(*(models[member].held for member in members))
        rest = [model for member, model in models.items() if member not in members]
        others = set().union(*(model.held for model in rest))
        assert found.groups[name] == Usage(
            sum(logical(models[member]) for member in members), weigh(mine), weigh(mine - others)
        )
    everything = set().union(*(model.held for model in models.values()))
    assert found.whole == Usage(
        sum(map(logical, models.values())), weigh(everything), weigh(everything)
    )
    assert found.waiting == 0


def logical(model):
    needed = model.needed(set(model.manifests))
    return weigh(needed) + weigh(model.held - set(needed))


def check_repository(connection, models, name):
    model = models[name]
    others = set().union(*(other.held for key, other in models.items() if key != name))
    number = store.ensure_repository(connection, RepositoryName(name), 0.0)
    found = usage.of_repository(connection, number)
    assert found.whole == Usage(logical(model), weigh(model.held), weigh(model.held - others))
    assert set(found.tags) == set(model.tags)
    for tag, digest in model.tags.items():
        reached = model.reach({digest})
        rest = {other: at for other, at in model.tags.items() if other != tag}
        freed = model.held - model.after(rest, model.untagged) - others
        expected = Usage(
            weigh(model.needed(reached)), weigh(set(model.needed(reached))), weigh(freed)
        )
        assert found.tags[tag] == expected
        alone = usage.of_deletion(connection, number, digest, tag)
        assert alone.usage == expected
        assert bool(alone.same) == (digest in rest.values())
    freed = model.held - model.after(model.tags, set()) - others
    assert found.untagged.exclusive == weigh(freed)
    assert found.untagged.stored == weigh(set(model.needed(model.reach(model.untagged))))


def check_manifests(connection, models, name):
    model = models[name]
    others = set().union(*(other.held for key, other in models.items() if key != name))
    number = store.ensure_repository(connection, RepositoryName(name), 0.0)
    for digest in model.manifests:
        rest = {tag: at for tag, at in model.tags.items() if at != digest}
        loose = set(model.manifests) - model.reach({*model.tags.values(), digest})
        found = usage.of_deletion(connection, number, digest, None)
        freed = model.held - model.after(rest, loose) - others
        mine = set(model.needed(model.reach({digest})))
        assert found.usage.exclusive == weigh(freed & mine)
        # What only hung on a tag of this manifest is part of it.
        assert freed <= mine
        for other, size in found.elsewhere.items():
            assert size == weigh(mine & models[other].held)
        assert (found.usage.shared > 0) == bool(found.elsewhere or found.here)


#: ACCOUNTING_EXAMPLES=1000 makes it look longer.
EXAMPLES = int(os.environ.get("ACCOUNTING_EXAMPLES", "20"))


@settings(
    max_examples=EXAMPLES,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.tuples(*[repositories() for _ in NAMES]))
def test_it_is_what_a_simulated_collection_says(database, instance):
    with database.engine.connect() as connection:
        models = fill(connection, instance)
        check_groups(connection, models, {name: [name] for name in NAMES})
        check_groups(connection, models, {"one": ["one/a", "one/b"], "two": ["two", "two/a/b"]})
        for name in NAMES:
            check_repository(connection, models, name)
            check_manifests(connection, models, name)
        connection.rollback()
