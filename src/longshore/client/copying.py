"""Copying an image from a source to a target: blobs first, children before parents."""

import enum
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import anyio

from longshore.client.content import Source, Target
from longshore.client.errors import ContentInvalid, NoSuchImage, first_error
from longshore.client.image_config import image_platform
from longshore.client.platforms import choose, describe, has_platforms, subset
from longshore.oci import mediatypes
from longshore.oci.descriptor import Descriptor, Platform
from longshore.oci.manifest import Manifest

if TYPE_CHECKING:
    from longshore.oci.digest import Digest

T = TypeVar("T")

#: Indexes of indexes are legal; this deep nobody makes them.
_DEEPEST = 8
_IMAGES_AT_ONCE = 4


class Step(enum.Enum):
    """What happened to a blob or a manifest."""

    STARTED = "started"
    ADVANCED = "advanced"
    COPIED = "copied"
    MOUNTED = "mounted"
    PRESENT = "present"


@dataclass(frozen=True)
class Progress:
    """One step; `position` counts the bytes of a blob that have arrived."""

    descriptor: Descriptor
    step: Step
    position: int = 0


@dataclass(frozen=True)
class CopyOptions:
    """What to copy and how. No `platforms` means all of them, the image as it is.

    `preferred` is the one to take out of an index of platforms when none is asked for.
    """

    platforms: Sequence[Platform] = ()
    preferred: Platform | None = None
    referrers: bool = False
    #: Blobs on their way at the same time.
    parallel: int = 6
    on_progress: Callable[[Progress], None] = field(default=lambda progress: None)


@dataclass
class Copied:
    """What a copy did. `descriptor` is the image as it is at the target now."""

    descriptor: Descriptor
    manifests: int = 0
    blobs_copied: int = 0
    blobs_mounted: int = 0
    blobs_present: int = 0
    bytes_copied: int = 0
    referrers: int = 0


async def copy(
    source: Source, target: Target, name: str | None = None, options: CopyOptions | None = None
) -> Copied:
    """Copy the image that `source` was opened for, and call it `name` at the target.

    Whatever is at the target already is not sent again. Memory does not grow with the size of
    the image. Raises ClientErrors; what was copied until then stays and is not sent again.
    """
    options = options or CopyOptions()
    root = await source.resolve()
    manifest = await source.manifest(root)
    root, manifest = await _narrowed(source, root, manifest, options)
    work = _Copy(source, target, options, Copied(root))
    try:
        await work.image(root, manifest, name=name, top=True)
    except BaseExceptionGroup as group:
        raise first_error(group) from None
    return work.result


async def _narrowed(
    source: Source, root: Descriptor, manifest: Manifest, options: CopyOptions
) -> tuple[Descriptor, Manifest]:
    """The part of an image that was asked for: itself, one child, or a smaller index."""
    platforms = options.platforms
    if not platforms and options.preferred and has_platforms(manifest):
        platforms = [options.preferred]
    if not platforms:
        return root, manifest
    if not manifest.is_index:
        await _check_platform(source, manifest, platforms)
        return root, manifest
    chosen = [choose(manifest, platform) for platform in platforms]
    if len({child.digest for child in chosen}) == 1:
        return chosen[0], await source.manifest(chosen[0])
    smaller = subset(manifest, chosen)
    return describe(smaller), smaller


async def _check_platform(
    source: Source, manifest: Manifest, platforms: Sequence[Platform]
) -> None:
    found = await image_platform(source, manifest)
    if found and not any(
        (p.os, p.architecture) == (found.os, found.architecture) for p in platforms
    ):
        wanted = ", ".join(map(str, platforms))
        raise NoSuchImage(f"the image is for {found} only, not for {wanted}")


class _Copy:
    def __init__(
        self, source: Source, target: Target, options: CopyOptions, result: Copied
    ) -> None:
        self.result = result
        self._source = source
        self._target = target
        self._options = options
        self._blobs = anyio.CapacityLimiter(options.parallel)
        self._begun: dict[Digest, anyio.Event] = {}
        self._seen: set[Digest] = set()

    async def image(
        self,
        descriptor: Descriptor,
        manifest: Manifest,
        *,
        name: str | None = None,
        top: bool = False,
        depth: int = 0,
    ) -> None:
        """A manifest and everything below it."""
        if depth > _DEEPEST:
            raise ContentInvalid(f"index {descriptor.digest} is nested more than {_DEEPEST} deep")
        self._seen.add(descriptor.digest)

        async def child(entry: Descriptor) -> None:
            await self.image(entry, await self._source.manifest(entry), depth=depth + 1)

        await _each(manifest.children, child, _IMAGES_AT_ONCE)
        present = not manifest.children and await self._target.has_manifest(descriptor)
        if not present:
            await _each(_wanted(manifest), self._blob, self._options.parallel)
        if name is not None or not present:
            await self._target.put_manifest(manifest, descriptor, name=name, top=top)
        self.result.manifests += 1
        self._report(descriptor, Step.PRESENT if present else Step.COPIED, manifest.size)
        if self._options.referrers:
            await self._referrers(descriptor, depth)

    async def _referrers(self, subject: Descriptor, depth: int) -> None:
        for entry in await self._source.referrers(subject.digest):
            if entry.digest in self._seen:
                continue
            manifest = await self._source.manifest(entry)
            await self.image(entry, manifest, top=True, depth=depth + 1)
            self.result.referrers += 1

    async def _blob(self, descriptor: Descriptor) -> None:
        """Bring one blob over, once, however many images share it."""
        if (begun := self._begun.get(descriptor.digest)) is not None:
            await begun.wait()
            return
        self._begun[descriptor.digest] = done = anyio.Event()
        async with self._blobs:
            await self._transfer(descriptor)
        done.set()

    async def _transfer(self, descriptor: Descriptor) -> None:
        if await self._target.has_blob(descriptor):
            self.result.blobs_present += 1
            self._report(descriptor, Step.PRESENT, descriptor.size)
        elif await self._target.mount(descriptor, self._source):
            self.result.blobs_mounted += 1
            self._report(descriptor, Step.MOUNTED, descriptor.size)
        else:
            self._report(descriptor, Step.STARTED, 0)
            await self._target.put_blob(
                descriptor,
                lambda offset: self._open(descriptor, offset),
                lambda position: self._report(descriptor, Step.ADVANCED, position),
            )
            self.result.blobs_copied += 1
            self.result.bytes_copied += descriptor.size
            self._report(descriptor, Step.COPIED, descriptor.size)

    def _open(self, descriptor: Descriptor, offset: int) -> AsyncGenerator[bytes, None]:
        return self._source.blob(descriptor, offset)

    def _report(self, descriptor: Descriptor, step: Step, position: int) -> None:
        self._options.on_progress(Progress(descriptor, step, position))


def _wanted(manifest: Manifest) -> list[Descriptor]:
    """Every blob of a manifest once, without layers that stay with their vendor."""
    unique = {blob.digest: blob for blob in manifest.blobs}
    return [blob for blob in unique.values() if mediatypes.is_distributable(blob.media_type)]


async def _each(items: Iterable[T], action: Callable[[T], Awaitable[None]], at_once: int) -> None:
    """Run `action` for every item, so many at a time; the first failure ends the others."""
    remaining = iter(items)

    async def work() -> None:
        for item in remaining:
            await action(item)

    async with anyio.create_task_group() as group:
        for _ in range(at_once):
            group.start_soon(work)
