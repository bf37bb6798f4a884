"""What changes in the data plane is told: every committed change, no other, in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import pytest

from longshore.oci.errors import Denied
from longshore.outbox import store
from longshore.outbox.model import Recorded
from longshore.outbox.recording import Outbox
from longshore.registry.events import (
    EVENTS,
    ManifestDeleted,
    ManifestPushed,
    TagDeleted,
    TagMoved,
)
from longshore.testing.builders import artifact, image
from tests.outbox.listening import Hearing
from tests.services.in_process import Registry

pytestmark = pytest.mark.anyio

IMAGE, OTHER = image([b"one"]), image([b"two"])


class RefuseOther:
    """A gate that does not let OTHER in."""

    def check(self, connection, push):
        if push.digest == OTHER.digest:
            raise Denied("not this one")


@pytest.fixture
def cluster(cluster):
    cluster.outbox = Outbox([Hearing()])
    return cluster


async def told(registry):
    """The events that wait, and nothing else of them than what they say about the registry."""
    waiting = await registry.database.read(partial(store.oldest, listener="hearing", limit=10_000))
    return [EVENTS[found.kind].from_json(found.body) for found in waiting]


def said(events):
    return [(type(event), getattr(event, "tag", None), event.digest) for event in events]


async def test_a_push_tells_of_the_manifest_and_of_each_tag_that_moves(registry):
    await registry.push_image("team/app", "v1", IMAGE)
    await registry.push_image("team/app", "v1", IMAGE)
    await registry.push_image("team/app", "v1", OTHER)
    events = await told(registry)

    assert said(events) == [
        (ManifestPushed, None, IMAGE.digest),
        (TagMoved, "v1", IMAGE.digest),
        (ManifestPushed, None, IMAGE.digest),
        (ManifestPushed, None, OTHER.digest),
        (TagMoved, "v1", OTHER.digest),
    ]
    assert [event.previous for event in events if isinstance(event, TagMoved)] == [
        None,
        IMAGE.digest,
    ]
    first = events[0]
    assert (first.repository, first.tags) == ("team/app", ("v1",))
    assert first.media_type == IMAGE.manifest.descriptor.media_type
    assert first.size == len(IMAGE.manifest.data)
    assert (first.origin.method, first.origin.host) == ("PUT", "test")
    assert first.origin.request_id


async def test_an_artifact_tells_its_subject_and_type(registry):
    sbom = artifact(IMAGE.manifest)
    await registry.push_image("team/app", "v1", IMAGE)
    await registry.push_image("team/app", sbom.digest, sbom)
    event = (await told(registry))[-1]

    assert (event.subject, event.artifact_type) == (IMAGE.digest, "application/vnd.example.sbom")
    assert event.tags == ()


async def test_what_is_deleted_is_told_tags_before_their_manifest(registry):
    for tag in ("v1", "v2", "latest"):
        await registry.push_image("team/app", tag, IMAGE)
    before = len(await told(registry))
    for reference in ("v2", IMAGE.digest, IMAGE.digest, "v1"):
        await registry.client.delete(f"/v2/team/app/manifests/{reference}")

    assert said((await told(registry))[before:]) == [
        (TagDeleted, "v2", IMAGE.digest),
        (TagDeleted, "latest", IMAGE.digest),
        (TagDeleted, "v1", IMAGE.digest),
        (ManifestDeleted, None, IMAGE.digest),
    ]


async def test_what_is_refused_is_not_told(cluster):
    cluster.gates = (RefuseOther(),)
    async with cluster.node() as registry:
        for blob in (*IMAGE.blobs, *OTHER.blobs):
            await registry.push_blob("team/app", blob.data)
        refused = await registry.push_manifest("team/app", "v1", OTHER.manifest)
        unknown = await registry.push_manifest("team/app", "v1", image([b"three"]).manifest)
        late = await registry.client.put(
            "/v2/team/app/manifests/v1",
            content=IMAGE.manifest.data,
            headers={
                "If-Match": OTHER.digest,
                "Content-Type": IMAGE.manifest.descriptor.media_type,
            },
        )

        assert [answer.status_code for answer in (refused, unknown, late)] == [403, 400, 412]
        assert await told(registry) == []


async def test_moves_of_one_tag_by_many_at_once_are_told_in_the_order_in_which_they_happened(
    cluster,
):
    """Each says from where to where, so the events are a chain."""
    images = [image([f"layer {number}".encode()]) for number in range(12)]
    async with nodes(cluster, 3) as registries:
        for found in images:
            for blob in found.blobs:
                await registries[0].push_blob("team/app", blob.data)
        async with anyio.create_task_group() as group:
            for number, found in enumerate(images * 2):
                node = registries[number % 3]
                group.start_soon(node.push_manifest, "team/app", "latest", found.manifest)
        events = await told(registries[0])
        served = await registries[0].client.get("/v2/team/app/manifests/latest")

    moves = [event for event in events if isinstance(event, TagMoved)]
    pushes = [event for event in events if isinstance(event, ManifestPushed)]
    assert sorted(event.digest for event in pushes) == sorted(found.digest for found in images * 2)
    assert [move.previous for move in moves] == [None, *(move.digest for move in moves[:-1])]
    assert served.headers["docker-content-digest"] == moves[-1].digest


async def test_of_two_who_make_a_tag_that_must_not_exist_one_is_refused(cluster):
    async with nodes(cluster, 2) as registries:
        for found in (IMAGE, OTHER):
            for blob in found.blobs:
                await registries[0].push_blob("team/app", blob.data)
        for number in range(10):
            answers = await asyncio.gather(
                *(
                    node.client.put(
                        f"/v2/team/app/manifests/v{number}",
                        content=found.manifest.data,
                        headers={
                            "If-None-Match": "*",
                            "Content-Type": found.manifest.descriptor.media_type,
                        },
                    )
                    for node, found in zip(registries, (IMAGE, OTHER), strict=True)
                )
            )
            assert sorted(answer.status_code for answer in answers) == [201, 412]


@asynccontextmanager
async def nodes(cluster, count) -> AsyncIterator[list[Registry]]:
    """So many processes' worth of applications."""
    if count == 0:
        yield []
        return
    async with cluster.node() as node, nodes(cluster, count - 1) as others:
        yield [node, *others]


def test_every_event_is_the_same_after_it_was_written_and_read():
    for kind, event in EVENTS.items():
        names: dict[str, Any] = {
            "repository": "a",
            "digest": "b",
            "media_type": "c",
            "size": 1,
            "tag": "d",
        }
        wanted = {name: value for name, value in names.items() if name in event.__slots__}
        made = event(at=1.5, **wanted)

        assert made.kind == kind
        assert Recorded("x", event.from_json(made.to_json())).event == made
