"""Where images come from and where they go: the two protocols of the copy engine.

A registry's repository, an image layout directory and an archive look the same through them.
Everything is named by its digest; only the image that is asked for has a name of its own.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final, Protocol

import anyio.to_thread

from longshore.client.errors import ContentInvalid
from longshore.oci.descriptor import Descriptor
from longshore.oci.digest import Digest, new_hash
from longshore.oci.errors import ManifestInvalid
from longshore.oci.manifest import Manifest

#: The annotation that holds an image's name in a layout (OCI Image Specification, annotations.md).
REF_NAME: Final = "org.opencontainers.image.ref.name"

#: Opens a blob's bytes at an offset. May be called again after a failure.
OpenBlob = Callable[[int], AsyncGenerator[bytes, None]]
#: Told how many bytes of a blob have arrived, counted from its beginning.
Advance = Callable[[int], None]


class Source(Protocol):
    """Gives manifests and blobs, verified where the digest is known."""

    async def resolve(self) -> Descriptor:
        """The image this source was opened for.

        Raises NoSuchImage or NotFound when there is none, or more than one.
        """
        ...

    async def manifest(self, descriptor: Descriptor) -> Manifest:
        """A manifest by digest. Raises ContentInvalid when its bytes are not those promised."""
        ...

    def blob(self, descriptor: Descriptor, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """A blob's bytes from `offset` to its end, in pieces of at most a few MiB.

        The bytes are not verified; see `verified`. Never more bytes than the descriptor says.
        """
        ...

    async def referrers(self, digest: Digest) -> Sequence[Descriptor]:
        """The manifests whose subject is this one."""
        ...


class Target(Protocol):
    """Takes blobs and manifests: blobs first, children before parents."""

    async def has_manifest(self, descriptor: Descriptor) -> bool:
        """Whether it is there with everything it refers to. False is always a safe answer."""
        ...

    async def has_blob(self, descriptor: Descriptor) -> bool:
        """Whether the blob is there."""
        ...

    async def mount(self, descriptor: Descriptor, source: Source) -> bool:
        """Take a blob over from a source in the same place, without moving bytes, if possible."""
        ...

    async def put_blob(self, descriptor: Descriptor, content: OpenBlob, advance: Advance) -> None:
        """Store a blob, verified before it can be seen; continues where a broken attempt ended.

        Raises ContentInvalid when the bytes are not those the descriptor promises.
        """
        ...

    async def put_manifest(
        self, manifest: Manifest, descriptor: Descriptor, *, name: str | None, top: bool
    ) -> None:
        """Store a manifest as it is. `name` is its tag, `top` says that nothing else leads to it."""
        ...


def manifest_from(raw: bytes, descriptor: Descriptor) -> Manifest:
    """A parsed manifest whose bytes were verified against what pointed to it.

    Raises ContentInvalid for other bytes and for a document that is no manifest.
    """
    if descriptor.size and len(raw) != descriptor.size:
        raise ContentInvalid(
            f"manifest {descriptor.digest} has {len(raw)} bytes where {descriptor.size} were promised"
        )
    found = Digest.of(raw, descriptor.digest.algorithm)
    if not found.matches(descriptor.digest):
        raise ContentInvalid(f"manifest {descriptor.digest} is damaged: its bytes are {found}")
    return parse_manifest(raw, descriptor.media_type)


def parse_manifest(raw: bytes, media_type: str) -> Manifest:
    """A manifest of this type. Raises ContentInvalid for a document that is none."""
    try:
        return Manifest.parse(raw, media_type)
    except ManifestInvalid as error:
        raise ContentInvalid(error.message) from error


async def verified(
    descriptor: Descriptor, pieces: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    """The same bytes, of which the last piece is given out only after all were verified.

    So a body that breaks its promise is never complete. Raises ContentInvalid.
    """
    state, size, held = new_hash(descriptor.digest.algorithm), 0, b""
    async with aclosing(pieces):
        async for piece in pieces:
            size += len(piece)
            if size > descriptor.size:
                break
            await anyio.to_thread.run_sync(state.update, piece)
            if held:
                yield held
            held = piece
    check_blob(descriptor, size, Digest.finish(state))
    if held:
        yield held


def check_blob(descriptor: Descriptor, size: int, digest: Digest) -> None:
    """Raise ContentInvalid unless these are the blob's size and digest."""
    if size != descriptor.size:
        compared = "more than" if size > descriptor.size else f"{size} bytes instead of"
        raise ContentInvalid(f"blob {descriptor.digest} has {compared} {descriptor.size} bytes")
    if not digest.matches(descriptor.digest):
        raise ContentInvalid(f"blob {descriptor.digest} is damaged: its bytes are {digest}")
