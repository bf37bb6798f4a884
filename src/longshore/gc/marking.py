"""The first half of a run: find what is unused, and write down since when."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, Final, Generic, TypeVar

from longshore.db.clock import database_time
from longshore.db.database import Connection
from longshore.gc.run import Run
from longshore.gc.store import mark
from longshore.oci.digest import Digest
from longshore.registry import store
from longshore.storage import layout
from longshore.storage.driver import Entry
from longshore.telemetry import clock

T = TypeVar("T")
Found = Sequence[tuple[int, Sequence[T]]]
"""What was found in repositories, by their ids."""

#: Rows that one question looks at.
_PAGE: Final = 200
#: Manifests that one question about a repository finds: each follows all that its tags reach.
_MANIFESTS: Final = 5000
_REPOSITORIES: Final = 100


class _Batches(Generic[T]):
    """Collects what is found in several repositories for one transaction."""

    def __init__(self, size: int, write: Callable[[Found[T], int], Awaitable[None]]) -> None:
        """``write`` is also told how many things there are."""
        self._size, self._write = size, write
        self._found: list[tuple[int, Sequence[T]]] = []
        self._count = 0

    async def add(self, repository: int, found: Sequence[T]) -> None:
        while found:
            some = found[: self._size - self._count]
            found = found[len(some) :]
            self._found.append((repository, some))
            self._count += len(some)
            if self._count == self._size:
                await self.flush()

    async def flush(self) -> None:
        if self._found:
            found, count = self._found, self._count
            self._found, self._count = [], 0
            await self._write(found, count)


class Marking:
    """The phases that condemn. Each goes on after ``last``, where an interrupted run was."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._tally = run.tally

    async def manifests(self, last: int | None) -> None:
        """Those that no tag reaches, if they are to go. In all repositories before anything else: pulls of manifests
        remember nothing while they are marked."""
        if self._run.options.delete_untagged:
            await self._in_repositories(last, self._manifests, "repositories looked at: manifests")

    async def links(self, last: int | None) -> None:
        """Blobs that a repository may read, and that no manifest of it needs."""
        await self._in_repositories(last, self._links, "repositories looked at: blobs")

    async def _in_repositories(
        self,
        last: int | None,
        condemn: Callable[[Sequence[int], float], Awaitable[None]],
        message: str,
    ) -> None:
        after, seen = last or 0, 0
        while page := await self._run.look(
            partial(mark.repositories_after, last=after, limit=_REPOSITORIES)
        ):
            await condemn(page, await self._run.expired())
            after, seen = page[-1], seen + len(page)
            await self._run.checkpoint(after)
            await self._run.progress(seen, None, message)

    async def _manifests(self, repositories: Sequence[int], before: float) -> None:
        condemned = _Batches(self._run.options.batch, self._condemn_manifests)
        for repository in repositories:
            await self._absolve(repository)
            last: int | None = 0
            while last is not None:
                look = partial(
                    mark.unreached_manifests,
                    repository=repository,
                    pushed_before=before,
                    last=last,
                    limit=_MANIFESTS,
                )
                found = await self._run.look(look)
                await condemned.add(repository, found)
                last = found[-1].id if len(found) == _MANIFESTS else None
        await condemned.flush()

    async def _absolve(self, repository: int) -> None:
        find = partial(mark.wrongly_condemned, repository=repository, limit=self._run.options.batch)
        while wrongly := await self._run.look(find):
            await self._run.change(partial(mark.absolve_manifests, ids=wrongly), len(wrongly))

    async def _condemn_manifests(self, found: Found[mark.Unreached], count: int) -> None:
        def condemn(connection: Connection) -> None:
            some = [manifest for _, manifests in found for manifest in manifests]
            mark.condemn_manifests(connection, some, database_time(connection))

        await self._run.change(condemn, count)
        self._tally.condemned_manifests += count

    async def _links(self, repositories: Sequence[int], before: float) -> None:
        condemned = _Batches(self._run.options.batch, self._condemn_links)
        for repository in repositories:
            last: str | None = ""
            while last is not None:
                look = partial(
                    mark.unused_links,
                    repository=repository,
                    linked_before=before,
                    last=last,
                    length=_PAGE,
                )
                found, last = await self._run.look(look)
                await condemned.add(repository, found)
        await condemned.flush()

    async def _condemn_links(self, found: Found[Digest], count: int) -> None:
        def condemn(connection: Connection) -> None:
            now = database_time(connection)
            for repository, digests in found:
                mark.condemn_links(connection, repository, digests, now)

        await self._run.change(condemn, count)
        self._tally.condemned_links += count

    async def blobs(self, last: str | None) -> None:
        """Bytes that no repository may read."""
        condemned = _Batches(self._run.options.batch, self._condemn_blobs)
        after: str | None = last or ""
        seen = 0
        while after is not None:
            before = await self._run.expired()
            look = partial(mark.unused_blobs, last=after, created_before=before, length=_PAGE)
            found, after = await self._run.look(look)
            await condemned.add(0, found)
            seen += _PAGE
            if after is not None:
                await self._run.progress(seen, None, "blobs looked at")
                await self._run.checkpoint(after)
        await condemned.flush()

    async def _condemn_blobs(self, found: Found[Digest], count: int) -> None:
        def condemn(connection: Connection) -> None:
            digests = [digest for _, some in found for digest in some]
            mark.condemn_blobs(connection, digests, database_time(connection))

        await self._run.change(condemn, count)
        self._tally.condemned_blobs += count

    async def storage(self, _: Any) -> None:
        """Look at what lies in storage: a crash may have left bytes that no row knows, or a copy in a
        backend where nobody reads it, which ``placement`` removes."""
        old = clock.timestamp() - self._run.options.lease
        for name, backend in self._run.backends.all.items():
            batch: dict[Digest, Entry] = {}
            began = clock.monotonic()
            async with aclosing(backend.driver.list(layout.BLOBS)) as entries:
                async for entry in entries:
                    digest = layout.blob_digest(entry.path)
                    if digest is not None and entry.stat.modified <= old:
                        batch[digest] = entry
                    if len(batch) == self._run.options.batch:
                        await self._run.rest(began)
                        await self._condemn_unknown(name, batch)
                        batch.clear()
                        began = clock.monotonic()
            await self._condemn_unknown(name, batch)

    async def _condemn_unknown(self, backend: str, batch: dict[Digest, Entry]) -> None:
        found = await self._run.look(partial(mark.unknown, digests=list(batch)))
        if found:
            sizes = [(d, entry.stat.size) for d, entry in batch.items() if d in found]

            def condemn(connection: Connection) -> None:
                mark.condemn_unknown(connection, sizes, database_time(connection), backend)

            await self._run.change(condemn, len(sizes))
            self._tally.unknown += len(sizes)
        if self._run.backends.are_several:
            digests = [digest for digest in batch if digest not in found]
            look = partial(mark.misplaced, backend=backend, digests=digests)
            for digest in await self._run.look(look):
                size = batch[digest].stat.size
                note = partial(store.add_spare, digest=digest, backend=backend, size=size)
                await self._run.change(note, 1)
