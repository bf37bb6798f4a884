"""Writes back as links what the rows say, so that distribution can serve the same storage again, and
the rows can be made anew if the database is lost.

What is missing is written, what no row knows is removed, anything else is left as it is; so a run that
died is made good by the next. Links are only removed in repositories that were adopted or whose links
were all ours: what another registry left, and nobody has taken over, stays.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from longshore.adoption import store
from longshore.adoption.fallback import fallback_index
from longshore.adoption.links import LinkTree
from longshore.adoption.model import Link, TagEntry, Trouble
from longshore.adoption.reading import each
from longshore.adoption.store import Candidate, Wanted
from longshore.db.database import Database
from longshore.oci.digest import Digest
from longshore.oci.names import RepositoryName, Tag
from longshore.storage import layout
from longshore.storage.driver import StorageDriver
from longshore.telemetry import clock

_PAGE: Final = 200


@dataclass(slots=True)
class Report:
    """Counts of what a run did. ``foreign``: repositories left alone because their links are not
    ours."""

    repositories: int = 0
    written: int = 0
    removed: int = 0
    foreign: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.repositories} repositories written back: {self.written} links written, "
            f"{self.removed} removed"
        )


class Export:
    """One run over ``driver``: over everything, or over what has changed.

    Only the first writes lists of referrers, which are manifests of their own: nothing here needs
    them, and distribution only when it is about to be started.
    """

    def __init__(self, database: Database, driver: StorageDriver, *, everything: bool) -> None:
        self._database = database
        self._driver = driver
        self._tree = LinkTree(driver)
        self._everything = everything
        self.report = Report()

    async def pages(self) -> AsyncGenerator[Sequence[Candidate], None]:
        """Repositories whose links have to be looked at: all, or those whose rows have changed."""
        last = 0
        while page := await self._database.read(partial(store.candidates, last=last, limit=_PAGE)):
            last = page[-1].id
            yield [one for one in page if self._everything or one.state != one.exported]

    async def repository(self, candidate: Candidate) -> None:
        """Make the links of one repository those that its rows say. Raises StorageError."""
        name = candidate.name
        wanted = await self._database.read(partial(store.wanted_links, repository=candidate.id))
        kept = await self._database.read(partial(store.trouble_paths, name=name))
        if not candidate.linked:
            if await self._is_foreign(name, wanted):
                self.report.foreign.append(name)
                return
            await self._database.write(partial(store.claim_links, name=name, now=clock.timestamp()))
        if self._everything:
            await self._add_fallbacks(candidate.id, wanted)
        written: set[str] = set()
        if wanted.revisions or kept:
            written = await self._synchronise(name, wanted, kept)
        else:
            # Not even empty directories may stay: distribution would list the repository.
            await self._remove_all(name)
        await self._database.write(
            partial(store.note_exported, name=name, state=candidate.state, mended=written & kept)
        )
        self.report.repositories += 1
        self.report.written += len(written)

    async def forgotten(self) -> None:
        """Remove the links of repositories that have gone as a whole. Raises StorageError."""
        last = ""
        look = partial(store.forgotten_repositories, limit=_PAGE)
        while names := await self._database.read(partial(look, last=last)):
            last = names[-1]
            for name in map(RepositoryName, names):
                if not await self._database.read(partial(store.trouble_paths, name=name)):
                    await self._remove_all(name)
                    await self._database.write(partial(store.forget_links, name=name))

    async def _add_fallbacks(self, repository: int, wanted: Wanted) -> None:
        """Write lists of referrers where no client keeps one."""
        found = await self._database.read(
            partial(store.referrers_by_subject, repository=repository)
        )
        for subject, referrers in found.items():
            tag = Tag.for_referrers(subject)
            if tag in wanted.tags or not tag.fallback_subject:
                continue
            content = fallback_index(referrers)
            digest = Digest.of(content)
            if await self._tree.sizes([digest]) != [len(content)]:
                await self._driver.write(layout.blob(digest), content)
            wanted.revisions.add(digest)
            wanted.tags[tag] = digest
            wanted.history[tag, digest] = 0.0

    async def _synchronise(self, name: RepositoryName, wanted: Wanted, kept: set[str]) -> set[str]:
        """The paths that were written. What is new comes first, and what it needs before it; what
        goes, in the other order."""
        layers = await self._compare(
            self._tree.layers(name), wanted.layers, partial(layout.layer_link, name)
        )
        tags = await self._compare_tags(name, wanted, kept)
        revisions = await self._compare(
            self._tree.revisions(name),
            wanted.revisions,
            partial(layout.revision_link, name),
            tags.spared,
        )
        written = {**layers.missing, **revisions.missing}
        await each(written.items(), self._write)
        await each(tags.missing.values(), self._write_in_order)
        for stale in (tags.stale, revisions.stale, layers.stale):
            gone = [path for path in stale if path not in kept]
            await each(gone, self._remove)
        return {*written, *(path for links in tags.missing.values() for path, _ in links)}

    async def _compare(
        self,
        batches: AsyncGenerator[list[Link | Trouble], None],
        wanted: set[str],
        place: Callable[[Digest], str],
        spared: Collection[Digest] = (),
    ) -> "_Links":
        missing = {place(Digest(digest)): digest for digest in wanted}
        stale = []
        async with aclosing(batches):
            async for batch in batches:
                for found in batch:
                    if isinstance(found, Trouble):
                        continue  # it may be ours, then it is written anew
                    if found.digest in wanted:
                        missing.pop(found.path, None)
                    elif found.digest not in spared:
                        stale.append(found.path)
        return _Links(missing, stale)

    async def _compare_tags(
        self, name: RepositoryName, wanted: Wanted, kept: set[str]
    ) -> "_TagLinks":
        now = dict(wanted.tags)
        ever = dict(wanted.history)
        stale: set[str] = set()
        spared: set[Digest] = set()
        async with aclosing(self._tree.tags(name)) as batches:
            async for batch in batches:
                for found in batch:
                    if isinstance(found, Trouble):
                        continue
                    if found.tag not in wanted.tags:
                        if found.tag.is_referrers_fallback and not self._everything:
                            spared.add(found.digest)
                        elif layout.tag_link(name, found.tag) not in kept:
                            # As a whole: distribution lists the directory, whatever is in it.
                            stale.add(f"{layout.tags(name)}/{found.tag}/")
                    elif found.current:
                        if now.get(found.tag) == found.digest:
                            del now[found.tag]
                    elif (found.tag, found.digest) in wanted.history:
                        ever.pop((found.tag, found.digest), None)
                    else:
                        stale.add(found.path)
        missing: dict[Tag, list[tuple[str, str]]] = {}
        for (tag, digest), _ in sorted(ever.items(), key=lambda item: item[1]):
            link = (layout.tag_index_link(name, tag, digest), digest)
            missing.setdefault(tag, []).append(link)
        for tag, digest in now.items():
            missing.setdefault(tag, []).append((layout.tag_link(name, tag), digest))
        return _TagLinks(missing, sorted(stale), spared)

    async def _is_foreign(self, name: RepositoryName, wanted: Wanted) -> bool:
        """Whether somebody else's links lie where nothing was ever adopted."""
        async with aclosing(self._tree.revisions(name)) as batches:
            async for batch in batches:
                if any(
                    one.digest not in wanted.revisions for one in batch if isinstance(one, Link)
                ):
                    return True
        async with aclosing(self._tree.tags(name)) as entries:
            async for tags in entries:
                found = [one for one in tags if isinstance(one, TagEntry)]
                if any(one.tag not in wanted.tags for one in found):
                    return True
        return False

    async def _write(self, link: tuple[str, str]) -> None:
        path, digest = link
        await self._driver.write(path, digest.encode())

    async def _write_in_order(self, links: Sequence[tuple[str, str]]) -> None:
        """Of one tag: when its links were written is its history."""
        for link in links:
            await self._write(link)

    async def _remove(self, path: str) -> None:
        """The link, and the directory that it alone is in."""
        await self._driver.delete_tree(path.rpartition("/")[0])
        self.report.removed += 1

    async def _remove_all(self, name: RepositoryName) -> None:
        for directory in layout.link_directories(name):
            await self._driver.delete_tree(directory)


@dataclass(frozen=True, slots=True)
class _Links:
    """``missing``: path -> digest; ``stale``: paths that no row knows."""

    missing: dict[str, str]
    stale: list[str]


@dataclass(frozen=True, slots=True)
class _TagLinks:
    """``missing``: the links of a tag, path and digest, in the order in which to write them.
    ``spared``: what lists of referrers are kept under, which this run does not look at."""

    missing: dict[Tag, list[tuple[str, str]]]
    stale: list[str]
    spared: set[Digest]
