"""Small images, made from nothing: OCI layout directories that any client can read.

Layouts follow the image specification's image-layout.md; layers are gzipped tar archives whose
bytes depend only on what is in them.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.services.programs import program

Descriptor = dict[str, Any]

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
EMPTY = "application/vnd.oci.empty.v1+json"


def digest_of(content: bytes) -> str:
    """The sha256 digest as the specifications write it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def descriptor(content: bytes, media_type: str, **more: Any) -> Descriptor:
    """The descriptor of some content."""
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content), **more}


def json_bytes(value: Any) -> bytes:
    """JSON as it is stored here: compact and in a fixed order."""
    return json.dumps(value, separators=(",", ":")).encode()


def tar(files: Mapping[str, bytes | str]) -> bytes:
    """A tar archive: bytes become a file that may be executed, a str a symbolic link to it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        folders = {str(p) for name in files for p in Path(name).parents if str(p) != "."}
        for folder in sorted(folders):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                archive.addfile(entry)
            else:
                entry.size, entry.mode = len(content), 0o755
                archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def busybox_files() -> dict[str, bytes | str]:
    """A root file system with a shell: Debian's static busybox and a few links to it."""
    names = ("sh", "cat", "id", "ls", "echo", "true", "test")
    links = {f"bin/{name}": "busybox" for name in names}
    return {"bin/busybox": Path(program("busybox")).read_bytes(), **links}


class Layout:
    """An OCI image layout directory, filled piece by piece; `path` is what clients are given."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "blobs" / "sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        self._named: list[Descriptor] = []
        self._write_index()

    def blob(self, content: bytes, media_type: str, **more: Any) -> Descriptor:
        """Add a blob and return its descriptor."""
        described = descriptor(content, media_type, **more)
        (self.path / "blobs" / described["digest"].replace(":", "/")).write_bytes(content)
        return described

    def image(
        self,
        *layers: Mapping[str, bytes | str],
        architecture: str = "amd64",
        command: Sequence[str] = ("/bin/sh",),
    ) -> Descriptor:
        """Add an image with a layer for each mapping of names to contents."""
        archives = [tar(files) for files in layers]
        platform = {"os": "linux", "architecture": architecture}
        config = {
            **platform,
            "config": {"Cmd": list(command)},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(a) for a in archives]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blob(json_bytes(config), CONFIG),
            "layers": [self.blob(gzip.compress(a, 1, mtime=0), LAYER) for a in archives],
        }
        return self.blob(json_bytes(manifest), MANIFEST, platform=platform)

    def index(self, *children: Descriptor) -> Descriptor:
        """Add an index of images."""
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(children)}
        return self.blob(json_bytes(index), INDEX)

    def name(self, tag: str, image: Descriptor) -> None:
        """Give an image or index of this layout a name."""
        names = {"org.opencontainers.image.ref.name": tag}
        self._named.append({**image, "annotations": names})
        self._write_index()

    def _write_index(self) -> None:
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self._named}
        (self.path / "index.json").write_bytes(json_bytes(index))


def single_image(path: Path, *layers: Mapping[str, bytes | str], tag: str = "latest") -> str:
    """A layout with one image in it, by default a tiny one; returns the image's digest."""
    layout = Layout(path)
    image = layout.image(*(layers or ({"greeting": b"hello\n"}, {"name": path.name.encode()})))
    layout.name(tag, image)
    digest: str = image["digest"]
    return digest


def multi_platform_image(path: Path, tag: str = "latest") -> tuple[str, dict[str, str]]:
    """A layout with an index for amd64 and arm64: its digest, and its images' by architecture."""
    layout = Layout(path)
    images = {
        architecture: layout.image(
            {"architecture": architecture.encode()}, architecture=architecture
        )
        for architecture in ("amd64", "arm64")
    }
    index = layout.index(*images.values())
    layout.name(tag, index)
    return index["digest"], {name: image["digest"] for name, image in images.items()}
