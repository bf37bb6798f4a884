"""What the servers hold while they are measured."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.failure import BenchmarkFailed
from benchmarks.servers import Server
from benchmarks.transfers import Source, Task, in_parallel, push
from benchmarks.wire import Connection

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"

#: The repository that is pulled from.
REPOSITORY: Final = "bench/image"
TAG: Final = "latest"


@dataclass(frozen=True)
class Scale:
    """How much is done. Sizes in bytes; ``seconds`` is how long one load lasts, at least.

    ``image_layers`` layers of ``image_layer`` bytes make the image that crane pushes;
    ``storm`` clients push at once while memory is watched.
    """

    rounds: int
    seconds: int
    large: int = 100_000_000
    small: int = 10_000
    chunk: int = 10_000_000
    image_layers: int = 50
    image_layer: int = 200_000
    tags: int = 10_000
    repositories: int = 10_000
    storm: int = 64


FULL: Final = Scale(rounds=5, seconds=1)
QUICK: Final = Scale(
    rounds=1, seconds=1, large=20_000_000, chunk=4_000_000, tags=2_000, repositories=2_000
)
#: For the test of this package: everything happens, nothing is measured well.
TINY: Final = Scale(
    rounds=1,
    seconds=0,
    large=2_000_000,
    chunk=1_000_000,
    image_layers=3,
    image_layer=1_000,
    tags=20,
    repositories=20,
    storm=3,
)


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Content:
    """Blobs of two sizes and the manifest of an image of eleven blobs; the same for every server."""

    def __init__(self, directory: Path, scale: Scale) -> None:
        self.large = Source(directory / "large", scale.large)
        self.small = Source(directory / "small", scale.small)
        self.pulled_large, self.pulled_small = self.large.blob(), self.small.blob()
        self._parts = [self.small.blob() for _ in range(11)]
        self.manifest = self._manifest()
        self.digest = digest_of(self.manifest)

    def _manifest(self) -> bytes:
        config, *layers = [
            {"mediaType": _LAYER, "digest": blob.digest, "size": self.small.size}
            for blob in self._parts
        ]
        config["mediaType"] = _CONFIG
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config,
            "layers": layers,
        }
        return json.dumps(document, indent=2).encode()

    def close(self) -> None:
        self.large.close()
        self.small.close()

    @property
    def kept(self) -> frozenset[str]:
        """Digests that are still asked for when a measurement is over."""
        return frozenset({self.pulled_large.digest})

    def publish(self, server: Server) -> None:
        """Push everything. Raises BenchmarkFailed unless the manifest comes back as it went."""
        connection = server.connect()
        for blob in (*self._parts, self.pulled_small):
            push(connection, REPOSITORY, self.small, blob)
        push(connection, REPOSITORY, self.large, self.pulled_large)
        target = f"/v2/{REPOSITORY}/manifests/{TAG}"
        put_manifest(connection, target, self.manifest, MANIFEST)
        connection.send("GET", target, {"Accept": MANIFEST})
        if connection.receive(200, keep=True).body != self.manifest:
            raise BenchmarkFailed(f"{server.program.name} returned another manifest")
        connection.close()


def put_manifest(connection: Connection, target: str, manifest: bytes, media_type: str) -> None:
    connection.send("PUT", target, {"Content-Type": media_type}, body=manifest)
    connection.receive(201)


# ── long lists ────────────────────────────────────────────────────────────────────────────────

TAGGED: Final = "bench/tagged"
_EMPTY_INDEX: Final = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode()
_SEEDERS: Final = 16
#: Tags that one push may bring.
_TAGS: Final = 100


def list_tags(count: int) -> list[str]:
    return [f"v{number:05}" for number in range(count)]


def list_repositories(count: int) -> list[str]:
    """Names below 100 first components, as teams would have them."""
    return [f"team{number % 100:02}/project{number:05}" for number in range(count)]


def publish_lists(server: Server, scale: Scale) -> None:
    """Fill one repository with tags, and the catalog with repositories.

    Through the API where that takes seconds. distribution would need many minutes: it gets the
    directories that its own listing reads, and nothing of what else a push leaves behind.
    """
    tags, repositories = list_tags(scale.tags), list_repositories(scale.repositories)
    if server.program.seeded_on_disk:
        _make_directories(server.root / "docker/registry/v2/repositories", tags, repositories)
        return
    digest = digest_of(_EMPTY_INDEX)
    targets = [
        f"/v2/{TAGGED}/manifests/{digest}?tag={'&tag='.join(tags[start : start + _TAGS])}"
        for start in range(0, len(tags), _TAGS)
    ]
    _put_all(server, targets + [f"/v2/{name}/manifests/{TAG}" for name in repositories])


def _put_all(server: Server, targets: Sequence[str]) -> None:
    def put_share(number: int) -> Task:
        def put(connection: Connection) -> None:
            for target in targets[number::_SEEDERS]:
                put_manifest(connection, target, _EMPTY_INDEX, INDEX)

        return put

    in_parallel(server.connect, _SEEDERS, 0, put_share)


def _make_directories(root: Path, tags: Sequence[str], repositories: Sequence[str]) -> None:
    for tag in tags:
        (root / TAGGED / "_manifests/tags" / tag).mkdir(parents=True)
    for name in repositories:
        for part in ("_layers", "_manifests", "_uploads"):
            (root / name / part).mkdir(parents=True)


# ── images for crane ──────────────────────────────────────────────────────────────────────────


def write_image(layout: Path, layers: int, size: int) -> Path:
    """An image of random layers as an OCI layout directory, which must not exist yet."""
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)

    def write(content: bytes, media_type: str) -> dict[str, Any]:
        digest = digest_of(content)
        (blobs / digest.removeprefix("sha256:")).write_bytes(content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    parts = [write(os.urandom(size), _LAYER) for _ in range(layers)]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [part["digest"] for part in parts]},
    }
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": write(json.dumps(config).encode(), _CONFIG),
        "layers": parts,
    }
    manifest = write(json.dumps(document).encode(), MANIFEST)
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]}
    (layout / "index.json").write_text(json.dumps(index))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return layout
