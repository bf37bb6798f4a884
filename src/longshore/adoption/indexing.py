"""Makes rows of what storage says: of a whole repository, or of the one thing that is asked for.

A repository is read in batches, and each batch is one short transaction, so pushes go on beside it.
The last one sets the latch (``linked_repositories.indexed_at``); each of the others looks at it
first. So any number of processes may do the same repository at the same time, or one after another's
crash: nobody writes what is there, and once the repository is complete, and may be changed, nobody
writes at all.
"""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from longshore.adoption import store
from longshore.adoption.fallback import is_generated
from longshore.adoption.links import BATCH, LinkTree
from longshore.adoption.model import Found, Kind, Link, TagEntry, Trouble
from longshore.db.database import Connection, Database
from longshore.oci import mediatypes
from longshore.oci.digest import Digest
from longshore.oci.names import RepositoryName, Tag
from longshore.storage.driver import StorageDriver
from longshore.telemetry import clock

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Told how many manifests, layers and tags of a repository have become rows so far.
Progress = Callable[[int], Awaitable[None]]
#: Bytes of manifests that are in memory together, beside those being read.
_CONTENT: Final = 4 << 20
_READ: Final = 32


class _Complete(Exception):
    """Somebody else has finished the repository."""


class Indexer:
    """One per process."""

    def __init__(self, database: Database, driver: StorageDriver) -> None:
        self._database = database
        self._tree = LinkTree(driver)

    async def repository(self, name: RepositoryName, progress: Progress | None = None) -> None:
        """Write all that storage says of the repository. Raises StorageError when the medium fails;
        what was written stays."""
        done = 0
        try:
            async with aclosing(self._steps(name)) as steps:
                async for count in steps:
                    done += count
                    if progress:
                        await progress(done)
            finish = partial(store.finish_repository, name=name, now=_now())
            await self._write(name, finish, durable=True)
        except _Complete:
            return

    async def manifest(self, name: RepositoryName, reference: Tag | Digest) -> bool:
        """Write one manifest, with its tag; whether there is such a one."""
        entry = None
        digest = reference
        if isinstance(digest, Tag):
            entry = await self._tag(name, digest)
            if entry is None:
                return False
            digest = entry.digest
        link = await self._tree.revision(name, digest)
        found = (await self._tree.manifests(name, [link]))[0] if link else None
        if not isinstance(found, Found) or is_generated(found.manifest):
            return False
        sizes, _ = await self._sizes(_blobs([found]))

        def write(connection: Connection) -> None:
            store.put_manifests(connection, name, [found], sizes)
            if entry:
                store.put_tags(connection, name, [entry])

        with suppress(_Complete):  # then the rows say whether there is one
            await self._write(name, write)
        return True

    async def put(self, name: RepositoryName, found: Sequence[Found]) -> None:
        """Write manifests, wherever they come from. Nobody else may be at work."""
        sizes, _ = await self._sizes(_blobs(found))
        await self._database.write(
            partial(store.put_manifests, name=name, found=found, sizes=sizes)
        )

    async def blob(self, name: RepositoryName, digest: Digest) -> bool:
        """Write that the repository may read a blob; whether there is such a one."""
        link = await self._tree.layer(name, digest)
        if link is None:
            return False
        sizes, missing = await self._sizes([digest])
        if missing:
            return False
        with suppress(_Complete):
            await self._write(name, partial(store.put_layers, name=name, links=[link], sizes=sizes))
        return True

    async def _tag(self, name: RepositoryName, tag: Tag) -> TagEntry | None:
        if await self._database.read(store.are_tags_given):
            return await self._database.read(partial(store.given_tag, name=name, tag=tag))
        found = await self._tree.tag(name, tag)
        return found if isinstance(found, TagEntry) else None

    async def _steps(self, name: RepositoryName) -> AsyncGenerator[int, None]:
        """The batches of a repository: manifests, layers, and then tags, which need manifests."""
        async with aclosing(self._tree.revisions(name)) as links:
            async for batch in links:
                yield await self._manifests(name, batch)
        async with aclosing(self._tree.layers(name)) as links:
            async for batch in links:
                yield await self._layers(name, batch)
        given = await self._database.read(store.are_tags_given)
        tags = self._given_tags(name) if given else self._tree.tags(name)
        async with aclosing(tags) as entries:
            async for some in entries:
                yield await self._tags(name, some)

    async def _given_tags(
        self, name: RepositoryName
    ) -> AsyncGenerator[list[TagEntry | Trouble], None]:
        last = ""
        look = partial(store.list_given_tags, name=name, limit=BATCH)
        while entries := await self._database.read(partial(look, last=last)):
            last = entries[-1].tag
            yield [*entries, *(replace(entry, current=False) for entry in entries)]

    async def _manifests(self, name: RepositoryName, batch: Sequence[Link | Trouble]) -> int:
        links, troubles = _sorted_out(batch)
        digests = [link.digest for link in links]
        known = await self._database.read(
            partial(store.known_manifests, name=name, digests=digests)
        )
        fresh = [link for link in links if link.digest not in known]
        found: list[Found] = []
        for start in range(0, len(fresh), _READ):
            some = fresh[start : start + _READ]
            good, bad = _sorted_out(await self._tree.manifests(name, some))
            found += [one for one in good if not is_generated(one.manifest)]
            troubles += bad
            if sum(one.manifest.size for one in found) > _CONTENT:
                await self._put_manifests(name, found, troubles)
                found, troubles = [], []
        await self._put_manifests(name, found, troubles)
        return len(links)

    async def _put_manifests(
        self, name: RepositoryName, found: Sequence[Found], troubles: Sequence[Trouble]
    ) -> None:
        sizes, missing = await self._sizes(_blobs(found))
        lost = [
            Trouble(Kind.MISSING, name, one.link.path, f"{blob.digest} is not in storage")
            for one in found
            for blob in one.manifest.blobs
            if blob.digest in missing
        ]

        def write(connection: Connection) -> None:
            store.put_manifests(connection, name, found, sizes)
            store.note_troubles(connection, [*troubles, *lost])

        if found or troubles:
            _log(troubles)
            await self._write(name, write)

    async def _layers(self, name: RepositoryName, batch: Sequence[Link | Trouble]) -> int:
        links, troubles = _sorted_out(batch)
        digests = [link.digest for link in links]
        known = await self._database.read(partial(store.known_layers, name=name, digests=digests))
        fresh = [link for link in links if link.digest not in known]
        sizes, missing = await self._sizes([link.digest for link in fresh])
        troubles += [
            Trouble(Kind.MISSING, name, link.path, f"{link.digest} is not in storage")
            for link in fresh
            if link.digest in missing
        ]

        def write(connection: Connection) -> None:
            store.put_layers(connection, name, fresh, sizes)
            store.note_troubles(connection, troubles)

        if fresh or troubles:
            _log(troubles)
            await self._write(name, write)
        return len(links)

    async def _tags(self, name: RepositoryName, batch: Sequence[TagEntry | Trouble]) -> int:
        entries, troubles = _sorted_out(batch)

        def write(connection: Connection) -> list[Trouble]:
            broken = [
                Trouble(Kind.TAG, name, entry.path, f"it names {entry.digest}, which is not there")
                for entry in store.put_tags(connection, name, entries)
                if not entry.tag.is_referrers_fallback  # a list that export-links has written
            ]
            store.note_troubles(connection, [*troubles, *broken])
            return broken

        if entries or troubles:
            _log([*troubles, *await self._write(name, write)])
        return sum(entry.current for entry in entries)

    async def _sizes(self, digests: Iterable[Digest]) -> tuple[dict[Digest, int], set[Digest]]:
        """The sizes of blobs that are in storage, in bytes, and those that are not there. Most
        layers are shared: what a row knows is not asked again."""
        wanted = sorted(set(digests))
        known = await self._database.read(partial(store.known_sizes, digests=wanted))
        asked = [digest for digest in wanted if digest not in known]
        answers = zip(asked, await self._tree.sizes(asked), strict=True)
        fresh = {digest: size for digest, size in answers if size is not None}
        sizes = {digest: known[digest] for digest in wanted if digest in known} | fresh
        return sizes, {digest for digest in wanted if digest not in sizes}

    async def _write(
        self, name: RepositoryName, work: Callable[[Connection], T], *, durable: bool = False
    ) -> T:
        """Raises _Complete if the latch is set. What a power failure takes away before that is
        made again; the durable transaction that sets it makes all before it durable, too."""

        def guarded(connection: Connection) -> T:
            if not store.is_waiting(connection, name, lock=True):
                raise _Complete
            return work(connection)

        return await self._database.write(guarded, durable=durable)


def _blobs(found: Iterable[Found]) -> list[Digest]:
    return [
        blob.digest
        for one in found
        for blob in one.manifest.blobs
        if mediatypes.is_distributable(blob.media_type)
    ]


def _sorted_out(batch: Iterable[T | Trouble]) -> tuple[list[T], list[Trouble]]:
    good: list[T] = []
    bad: list[Trouble] = []
    for one in batch:
        if isinstance(one, Trouble):
            bad.append(one)
        else:
            good.append(one)
    return good, bad


def _log(troubles: Sequence[Trouble]) -> None:
    for trouble in troubles:
        logger.warning("not taken over: %s", trouble)


def _now() -> float:
    return clock.timestamp()
