"""What BuildKit, cosign and others store beside images, as the manifests they really push."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.clients import wire
from tests.services.images import (
    CONFIG,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    EMPTY,
    INDEX,
    LAYER,
    MANIFEST,
    Descriptor,
)
from tests.services.registries import Registry

pytestmark = pytest.mark.service

COSIGN = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGSTORE_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


class Pusher:
    """Pushes manifests to one repository."""

    def __init__(self, client: httpx.Client, repository: str) -> None:
        self.client = client
        self.repository = repository

    def blob(self, content: bytes, media_type: str, **more: Any) -> Descriptor:
        """Push a blob; its descriptor."""
        return wire.blob_descriptor(self.client, self.repository, content, media_type, **more)

    def manifest(
        self, reference: str = "", *, media_type: str = MANIFEST, **body: Any
    ) -> Descriptor:
        """Push a manifest, by tag or by its digest; its descriptor."""
        manifest = {"schemaVersion": 2, "mediaType": media_type, **body}
        return wire.push_manifest(self.client, self.repository, manifest, reference)

    def image(self, reference: str = "", content: bytes = b"layer") -> Descriptor:
        """Push a tiny image."""
        config, layer = self.blob(b"{}", CONFIG), self.blob(content, LAYER)
        return self.manifest(reference, config=config, layers=[layer])

    def stored(self, reference: str) -> httpx.Response:
        """What the registry has under a tag or digest; asked without saying what is accepted."""
        url = f"/v2/{self.repository}/manifests/{reference}"
        return self.client.get(url, headers={"Accept": "*/*"})

    def referrers(self, subject: Descriptor, **query: str) -> list[Descriptor]:
        """What belongs to a manifest."""
        url = f"/v2/{self.repository}/referrers/{subject['digest']}"
        found: list[Descriptor] = self.client.get(url, params=query).json()["manifests"]
        return found


@pytest.fixture
def push(open_registry: Registry, repository: str) -> Iterator[Pusher]:
    """Pushes to a repository of the test's own."""
    with open_registry.client() as client:
        yield Pusher(client, repository)


def test_a_build_cache_of_buildkit_is_kept_as_it_is(push: Pusher) -> None:
    """The form before BuildKit 0.12: an index whose children are layers and a config."""
    layer = push.blob(b"layer", LAYER)
    config = push.blob(b"{}", "application/vnd.buildkit.cacheconfig.v0")
    push.manifest("cache", media_type=INDEX, manifests=[layer, config])

    stored = push.stored("cache")

    assert stored.headers["Content-Type"] == INDEX
    assert stored.json()["manifests"] == [layer, config]


def test_a_build_cache_in_the_form_of_an_image_is_kept_as_it_is(push: Pusher) -> None:
    layer = push.blob(b"layer", LAYER)
    config = push.blob(b"{}", "application/vnd.buildkit.cacheconfig.v0")
    push.manifest("cache", config=config, layers=[layer])

    assert push.stored("cache").json()["config"] == config


def test_an_attestation_travels_in_the_index_of_its_image(push: Pusher) -> None:
    """BuildKit's provenance: a child for the platform unknown/unknown that names its image."""
    image = push.image(content=b"image")
    statement = push.blob(b"{}", "application/vnd.in-toto+json")
    config = push.blob(b"{}", CONFIG)
    attestation = push.manifest(config=config, layers=[statement])
    annotations = {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": image["digest"],
    }
    platform = {"os": "unknown", "architecture": "unknown"}
    children = [
        {**image, "platform": {"os": "linux", "architecture": "amd64"}},
        {**attestation, "platform": platform, "annotations": annotations},
    ]
    push.manifest("v1", media_type=INDEX, manifests=children)

    assert push.stored("v1").json()["manifests"] == children


def test_a_cosign_signature_is_found_under_its_tag(push: Pusher) -> None:
    image = push.image("v1")
    signature = {"dev.cosignproject.cosign/signature": "MEUCIQ=="}
    layer = push.blob(b'{"critical":{}}', COSIGN, annotations=signature)
    tag = image["digest"].replace(":", "-") + ".sig"
    push.manifest(tag, config=push.blob(b"{}", CONFIG), layers=[layer])

    assert push.stored(tag).json()["layers"] == [layer]
    # A tag like this one is not the referrers tag of the specification.
    assert push.referrers(image) == []


def test_a_sigstore_bundle_is_found_as_a_referrer(push: Pusher) -> None:
    image = push.image("v1")
    bundle = push.blob(b'{"mediaType":""}', SIGSTORE_BUNDLE)
    made = push.manifest(
        artifactType=SIGSTORE_BUNDLE,
        config=push.blob(b"{}", EMPTY),
        layers=[bundle],
        subject={key: image[key] for key in ("mediaType", "digest", "size")},
        annotations={"dev.sigstore.bundle.content": "dsse-envelope"},
    )

    (found,) = push.referrers(image, artifactType=SIGSTORE_BUNDLE)

    assert found["digest"] == made["digest"]
    assert found["artifactType"] == SIGSTORE_BUNDLE
    assert found["annotations"] == {"dev.sigstore.bundle.content": "dsse-envelope"}


def test_a_signature_may_come_before_the_image_it_signs(push: Pusher) -> None:
    image = {"mediaType": MANIFEST, "digest": "sha256:" + "ab" * 32, "size": 7}
    config, layer = push.blob(b"{}", EMPTY), push.blob(b"signature", "text/plain")
    signature = "application/vnd.cncf.notary.signature"
    push.manifest(artifactType=signature, config=config, layers=[layer], subject=image)

    (found,) = push.referrers(image)

    assert found["artifactType"] == signature


def test_layers_that_must_not_be_distributed_need_not_be_there(push: Pusher) -> None:
    foreign = {
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "digest": "sha256:" + "cd" * 32,
        "size": 7,
        "urls": ["https://example.test/layer"],
    }
    config = push.blob(b"{}", "application/vnd.docker.container.image.v1+json")
    push.manifest("windows", media_type=DOCKER_MANIFEST, config=config, layers=[foreign])

    assert push.stored("windows").json()["layers"] == [foreign]


@pytest.mark.parametrize("media_type", [INDEX, DOCKER_LIST])
def test_a_manifest_comes_back_byte_for_byte_whatever_the_client_accepts(
    push: Pusher, media_type: str
) -> None:
    children = [push.image(content=name) for name in (b"one", b"two")]
    described = push.manifest("all", media_type=media_type, manifests=children)

    stored = push.stored("all")

    assert stored.headers["Content-Type"] == media_type
    assert stored.headers["Docker-Content-Digest"] == described["digest"]
    assert len(stored.content) == described["size"]


def test_an_unknown_kind_of_manifest_is_kept_as_it_is(push: Pusher) -> None:
    media_type = "application/vnd.example.model.manifest.v7+json"
    push.manifest("v1", media_type=media_type, weights=["nothing", "we", "know"])

    stored = push.stored("v1")

    assert stored.headers["Content-Type"] == media_type
    assert stored.json()["weights"] == ["nothing", "we", "know"]
