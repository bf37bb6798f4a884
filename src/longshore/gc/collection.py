"""Offline collection: mark what is reached, sweep the rest. No push may run meanwhile.

Reached is: every manifest (or, when untagged ones go too, every manifest that a tag names, and from
there children of an index and whatever has a reached manifest as its subject), and every blob that a
reached manifest refers to. The lines are those that distribution's command prints, because scripts
search them.
"""

from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial

from longshore.db.database import Database
from longshore.gc import store
from longshore.oci.digest import Digest
from longshore.storage import layout
from longshore.storage.driver import PathNotFound, StorageDriver, StorageError


class StorageUnknown(Exception):
    """Storage holds what the database never knew of: to collect would be to delete all of it."""


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
    driver: StorageDriver
    say: Callable[[str], None]
    dry_run: bool = False
    delete_untagged: bool = False

    async def run(self) -> Report:
        """Raises StorageUnknown when this is the storage of another registry."""
        report = Report()
        kept: set[str] = set()
        repositories = await self.database.read(store.repositories_in_order)
        await self._refuse_unknown({name for _, name in repositories})
        for repository, name in repositories:
            await self._repository(repository, name, kept, report)
        if not self.dry_run:
            await self.database.write(store.delete_unlinked_blobs)
        report.marked = len(kept)
        await self._sweep(kept, report)
        return report

    async def _refuse_unknown(self, known: Collection[str]) -> None:
        async with aclosing(self.driver.list(layout.REPOSITORIES)) as links:
            async for link in links:
                name = layout.linked_manifest_repository(link.path)
                if name is not None and name not in known:
                    raise StorageUnknown(
                        f"storage has manifests of repository {name!r}, which the database does not "
                        "know: another registry has written there, and its blobs would be deleted. "
                        "Is longshore.database.url right, and was that registry taken over?"
                    )
        if known:
            return
        async with aclosing(self.driver.list(layout.BLOBS)) as blobs:
            async for _ in blobs:
                raise StorageUnknown(
                    "storage has blobs, but nothing was ever pushed to this database, so all of "
                    "them would be deleted. Is longshore.database.url right?"
                )

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

    async def _sweep(self, kept: Collection[str], report: Report) -> None:
        """Look at every object below blobs/: also bytes that no row ever knew go."""
        async for entry in self.driver.list(layout.BLOBS):
            digest = layout.blob_digest(entry.path)
            if digest is None or digest in kept:
                continue
            self.say(f"blob eligible for deletion: {digest}")
            report.blobs += 1
            try:
                if not self.dry_run:
                    await self._delete(digest, entry.path)
            except StorageError as error:
                # One object that cannot go must not keep the rest; the next run finds it again.
                self.say(f"blob left in place: {digest}: {error}")
                report.failed += 1
            else:
                report.freed += entry.stat.size

    async def _delete(self, digest: Digest, path: str) -> None:
        # The marks say that nothing needs these bytes; the rows have the last word.
        if not await self.database.read(partial(store.in_use, digests=[digest])):
            with suppress(PathNotFound):
                await self.driver.delete(path)


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
