"""Offline collection: mark what is reached, sweep the rest. No push may run meanwhile.

Reached is: every manifest (or, when untagged ones go too, every manifest that a tag names, and from
there children of an index and whatever has a reached manifest as its subject), and every blob that a
reached manifest refers to. The lines are those that distribution's command prints, because scripts
search them.
"""

from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from longshore.db.database import Database
from longshore.gc.store import offline as store
from longshore.gc.unknown import refuse_unknown
from longshore.oci.digest import Digest
from longshore.storage import layout
from longshore.storage.backends import DEFAULT, Backends
from longshore.storage.driver import PathNotFound, StorageError


@dataclass(slots=True)
class Report:
    """What a run found and freed. Counts, and bytes of storage; ``failed`` blobs are still there."""

    marked: int = 0
    manifests: int = 0
    links: int = 0
    blobs: int = 0
    freed: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class OfflineCollection:
    """One run. ``say`` gets a line of progress at a time."""

    database: Database
    backends: Backends
    say: Callable[[str], None]
    dry_run: bool = False
    delete_untagged: bool = False

    async def run(self) -> Report:
        """Raises StorageUnknown when this is the storage of another registry, AdoptionRunning while
        it is being taken over."""
        report = Report()
        kept: set[str] = set()
        repositories = await self.database.read(store.repositories_in_order)
        await refuse_unknown(self.database, self.backends)
        for repository, name in repositories:
            await self._repository(repository, name, kept, report)
        if not self.dry_run:
            await self.database.write(store.delete_unlinked_blobs)
        report.marked = len(kept)
        places = await self.database.read(store.elsewhere)
        for name in self.backends.all:
            here = kept if not places else {d for d in kept if places.get(d, DEFAULT) == name}
            await self._sweep(name, here, report)
        if not (self.dry_run or report.failed):
            await self.database.write(store.forget_spare_copies)
        return report

    async def _repository(self, repository: int, name: str, kept: set[str], report: Report) -> None:
        self.say(name)
        nodes = await self.database.read(partial(store.nodes, repository=repository))
        edges: dict[int, list[str]] = defaultdict(list)
        for manifest, digest in await self.database.read(
            lambda connection: list(store.edges(connection, repository))
        ):
            edges[manifest].append(digest)
        reached = reach(nodes, edges) if self.delete_untagged else {node.id for node in nodes}
        for node in nodes:
            if node.id not in reached:
                self.say(f"manifest eligible for deletion: {node.digest}")
                continue
            self.say(f"{name}: marking manifest {node.digest} ")
            kept.add(node.digest)
            for digest in edges[node.id]:
                self.say(f"{name}: marking blob {digest}")
                kept.add(digest)
        gone = [node.id for node in nodes if node.id not in reached]
        report.manifests += len(gone)
        await self._unlink(repository, name, gone, {d for i in reached for d in edges[i]}, report)

    async def _unlink(
        self, repository: int, name: str, gone: list[int], used: Collection[str], report: Report
    ) -> None:
        if gone and not self.dry_run:
            await self.database.write(partial(store.delete_manifests, ids=gone))
        unused = [
            digest
            for digest in await self.database.read(partial(store.links, repository=repository))
            if digest not in used
        ]
        for digest in unused:
            self.say(f"{name}: layer link eligible for deletion: {digest}")
        report.links += len(unused)
        if unused and not self.dry_run:
            await self.database.write(
                partial(store.delete_links, repository=repository, digests=unused)
            )

    async def _sweep(self, backend: str, kept: Collection[str], report: Report) -> None:
        """Look at every object below blobs/: also bytes that no row ever knew go, and copies that
        are not read."""
        async for entry in self.backends[backend].driver.list(layout.BLOBS):
            digest = layout.blob_digest(entry.path)
            if digest is None or digest in kept:
                continue
            self.say(f"blob eligible for deletion: {digest}")
            report.blobs += 1
            try:
                if not self.dry_run:
                    await self._delete(backend, digest, entry.path)
            except StorageError as error:
                # One object that cannot go must not keep the rest; the next run finds it again.
                self.say(f"blob left in place: {digest}: {error}")
                report.failed += 1
            else:
                report.freed += entry.stat.size

    async def _delete(self, backend: str, digest: Digest, path: str) -> None:
        # The marks say that nothing needs these bytes; the rows have the last word.
        if await self.database.read(partial(store.is_read, digest=digest, backend=backend)):
            return
        with suppress(PathNotFound):
            await self.backends[backend].driver.delete(path)


def reach(nodes: Collection[store.Node], edges: dict[int, list[str]]) -> set[int]:
    """The ids of manifests that a tag reaches: through an index to its children, and from a
    subject to what refers to it (signatures, SBOMs), to any depth."""
    by_digest = {node.digest: node for node in nodes}
    referrers: dict[str, list[store.Node]] = defaultdict(list)
    for node in nodes:
        if node.subject:
            referrers[node.subject].append(node)
    reached: set[int] = set()
    waiting = [node for node in nodes if node.tagged]
    while waiting:
        node = waiting.pop()
        if node.id in reached:
            continue
        reached.add(node.id)
        waiting.extend(referrers[node.digest])
        waiting.extend(by_digest[digest] for digest in edges[node.id] if digest in by_digest)
    return reached
