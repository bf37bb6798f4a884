"""Reads what distribution keeps in storage: repositories, links to manifests and layers, tags.

What is broken comes as a :class:`~longshore.adoption.model.Trouble` among what is not, so that
nothing ends a run but a medium that fails. Memory is bounded by a batch, but for the names that lie
directly below one path.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

from longshore.adoption.model import Found, Kind, Link, TagEntry, Trouble
from longshore.adoption.reading import PARALLEL, Reader, each
from longshore.oci.digest import Digest
from longshore.oci.errors import DigestInvalid, ManifestInvalid, NameInvalid, TagInvalid
from longshore.oci.manifest import Manifest
from longshore.oci.names import MAX_NAME_LENGTH, RepositoryName, Tag
from longshore.storage import layout
from longshore.storage.driver import Directories, Entry, PathNotFound, StorageDriver
from longshore.storage.layout import TagLink

#: Links that are looked at together.
BATCH: Final = 256
#: A manifest of more bytes is none: distribution takes 4 MiB.
LARGEST: Final = 16 << 20
_LONGEST_LINK: Final = 1024


class LinkTree:
    """The links in ``driver``. ``thorough``: read each one, though its path and size say already
    what it holds."""

    def __init__(self, driver: StorageDriver, *, thorough: bool = False) -> None:
        self._driver = driver
        self._reader = Reader(driver)
        self._thorough = thorough

    async def repositories(self) -> AsyncGenerator[RepositoryName | Trouble, None]:
        """Every repository that has manifests, in no promised order."""
        waiting = [""]
        while waiting:
            some, waiting = waiting[-PARALLEL:], waiting[:-PARALLEL]
            for name, below in zip(some, await each(some, self._below), strict=True):
                if layout.MANIFESTS in below and name:
                    yield _repository(name)
                deeper = [part for part in below if not part.startswith("_")]
                names = (f"{name}/{part}" if name else part for part in deeper)
                # A circle of symbolic links ends here, too.
                waiting.extend(longer for longer in names if len(longer) <= MAX_NAME_LENGTH)

    async def revisions(self, name: RepositoryName) -> AsyncGenerator[list[Link | Trouble], None]:
        """Links to the manifests of a repository."""
        async with aclosing(self._links(name, layout.revisions(name))) as batches:
            async for batch in batches:
                yield batch

    async def layers(self, name: RepositoryName) -> AsyncGenerator[list[Link | Trouble], None]:
        """Links to the blobs that a repository may read."""
        async with aclosing(self._links(name, layout.layers(name))) as batches:
            async for batch in batches:
                yield batch

    async def tags(self, name: RepositoryName) -> AsyncGenerator[list[TagEntry | Trouble], None]:
        """What tags name now and have named."""
        below = layout.tags(name)
        seen: set[str] = set()
        current: set[str] = set()

        async with aclosing(_batches(self._driver.list(below))) as batches:
            async for batch in batches:
                links = [(found, TagLink.parse(found.path, below)) for found in batch]
                sound = [(found, link) for found, link in links if link]
                seen.update(link.tag for _, link in sound)
                current.update(link.tag for _, link in sound if link.digest is None)
                targets = await self._targets(name, [(found, link.digest) for found, link in sound])
                yield [
                    _tag_entry(name, found, link, target)
                    for (found, link), target in zip(sound, targets, strict=True)
                ]
        yield [_headless(name, tag) for tag in sorted(seen - current)]

    async def tag(self, name: RepositoryName, tag: Tag) -> TagEntry | Trouble | None:
        """What the tag names now; None if there is no such tag."""
        path = layout.tag_link(name, tag)
        try:
            stat = await self._driver.stat(path)
        except PathNotFound:
            return None
        [target] = await self._targets(name, [(Entry(path, stat), None)])
        return target if isinstance(target, Trouble) else TagEntry(tag, target, stat.modified, True)

    async def revision(self, name: RepositoryName, digest: Digest) -> Link | None:
        """The link to a manifest, if there is a sound one."""
        return await self._one(layout.revision_link(name, digest), digest)

    async def layer(self, name: RepositoryName, digest: Digest) -> Link | None:
        """The link to a blob, if there is a sound one."""
        return await self._one(layout.layer_link(name, digest), digest)

    async def manifests(self, name: RepositoryName, links: Sequence[Link]) -> list[Found | Trouble]:
        """The manifests that links name, their digests verified."""
        paths = [layout.blob(link.digest) for link in links]
        raws = await self._reader.contents(paths, LARGEST + 1)
        return [_manifest(name, link, raw) for link, raw in zip(links, raws, strict=True)]

    async def sizes(self, digests: Sequence[Digest]) -> list[int | None]:
        """How many bytes of each blob are in storage; None for one that is missing."""
        return await self._reader.sizes([layout.blob(digest) for digest in digests])

    async def blobs(self) -> AsyncGenerator[tuple[Digest, int], None]:
        """Everything below ``blobs``, with its size in bytes."""
        async with aclosing(self._driver.list(layout.BLOBS)) as entries:
            async for entry in entries:
                digest = layout.blob_digest(entry.path)
                if digest:
                    yield digest, entry.stat.size

    async def _below(self, name: str) -> set[str]:
        prefix = f"{layout.REPOSITORIES}/{name}".rstrip("/")
        if isinstance(self._driver, Directories):
            async with aclosing(self._driver.directories(prefix)) as names:
                return {found async for found in names}
        async with aclosing(self._driver.list(prefix)) as entries:
            rest = [entry.path.removeprefix(f"{prefix}/") async for entry in entries]
        return {path.partition("/")[0] for path in rest if "/" in path}

    async def _links(
        self, name: RepositoryName, below: str
    ) -> AsyncGenerator[list[Link | Trouble], None]:
        async with aclosing(_batches(self._driver.list(below))) as batches:
            async for batch in batches:
                links = [
                    (found, layout.linked_digest(found.path, below))
                    for found in batch
                    if found.path.endswith("/link")
                ]
                sound = [(found, digest) for found, digest in links if digest]
                targets = await self._targets(name, sound)
                found_links: list[Link | Trouble] = [
                    target
                    if isinstance(target, Trouble)
                    else Link(target, found.path, found.stat.modified)
                    for (found, _), target in zip(sound, targets, strict=True)
                ]
                nameless = [
                    Trouble(Kind.LINK, name, found.path, "the path names no digest")
                    for found, digest in links
                    if digest is None
                ]
                yield [*found_links, *nameless]

    async def _one(self, path: str, digest: Digest) -> Link | None:
        try:
            stat = await self._driver.stat(path)
        except PathNotFound:
            return None
        [target] = await self._targets("", [(Entry(path, stat), digest)])
        return Link(digest, path, stat.modified) if target == digest else None

    async def _targets(
        self, name: str, links: Sequence[tuple[Entry, Digest | None]]
    ) -> list[Digest | Trouble]:
        """What links hold, each with the digest that its path names, if it does.

        The content of a link counts, not its path: the link of a sha512 digest may name the sha256
        digest of the same bytes. Where the size says that they agree, it need not be read."""
        unread = [
            found.path
            for found, expected in links
            if self._thorough or expected is None or found.stat.size != len(expected)
        ]
        contents = dict(
            zip(unread, await self._reader.contents(unread, _LONGEST_LINK), strict=True)
        )
        return [
            _target(name, found, expected, contents[found.path])
            if found.path in contents or expected is None
            else expected
            for found, expected in links
        ]


def _target(
    name: str, found: Entry, expected: Digest | None, content: bytes | None
) -> Digest | Trouble:
    if content is None:
        return Trouble(Kind.LINK, name, found.path, "it vanished while it was being read")
    try:
        digest = Digest(content.decode("ascii", "replace"))
    except DigestInvalid:
        shown = repr(content[:100])[1:] if content else "it is empty"
        return Trouble(Kind.LINK, name, found.path, f"no digest, but {shown}")
    if expected and expected.algorithm == digest.algorithm and digest != expected:
        return Trouble(Kind.LINK, name, found.path, f"it names {digest}")
    return digest


def _tag_entry(
    name: RepositoryName, found: Entry, link: TagLink, target: Digest | Trouble
) -> TagEntry | Trouble:
    try:
        tag = Tag(link.tag)
    except TagInvalid as error:
        return Trouble(Kind.TAG, name, found.path, error.message)
    if isinstance(target, Trouble):
        return target
    return TagEntry(tag, target, found.stat.modified, link.digest is None, found.path)


def _manifest(name: RepositoryName, link: Link, raw: bytes | None) -> Found | Trouble:
    path = layout.blob(link.digest)
    if raw is None:
        reason = f"the manifest is not in storage: {path} is missing"
        return Trouble(Kind.MISSING, name, link.path, reason)
    if len(raw) > LARGEST:
        reason = f"{path} is larger than {LARGEST} bytes: no manifest is"
        return Trouble(Kind.MANIFEST, name, link.path, reason)
    actual = Digest.of(raw, link.digest.algorithm)
    if actual != link.digest:
        reason = f"the content of {path} has the digest {actual}: the file is damaged"
        return Trouble(Kind.MANIFEST, name, link.path, reason)
    try:
        return Found(link, Manifest.parse(raw))
    except (ManifestInvalid, DigestInvalid) as error:
        return Trouble(Kind.MANIFEST, name, link.path, error.message)


async def _batches(entries: AsyncGenerator[Entry, None]) -> AsyncGenerator[list[Entry], None]:
    batch: list[Entry] = []
    async with aclosing(entries):
        async for entry in entries:
            batch.append(entry)
            if len(batch) == BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


def _repository(name: str) -> RepositoryName | Trouble:
    try:
        return RepositoryName(name)
    except NameInvalid as error:
        return Trouble(Kind.NAME, name, f"{layout.REPOSITORIES}/{name}", error.message)


def _headless(name: RepositoryName, tag: str) -> Trouble:
    path = f"{layout.tags(name)}/{tag}"
    return Trouble(Kind.TAG, name, path, "it has named manifests, but names none now")
