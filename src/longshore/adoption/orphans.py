"""The last resort: manifests in storage that no link and no row names, found by their content.

Which repository they were in, and under which tags, nobody can tell any more. They are put into one
repository, and are pulled by digest.
"""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Final

from longshore.adoption import store
from longshore.adoption.indexing import Indexer
from longshore.adoption.links import BATCH, LinkTree
from longshore.adoption.model import Found, Link
from longshore.db.database import Database
from longshore.oci import mediatypes
from longshore.oci.digest import Digest
from longshore.oci.names import RepositoryName
from longshore.storage import layout
from longshore.storage.driver import StorageDriver
from longshore.telemetry import clock

#: No registry takes larger manifests, and layers of few bytes are read in vain only.
_LARGEST: Final = 4 << 20
#: Bytes that are read together.
_TOGETHER: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class Orphans:
    """A search that puts what it finds into ``repository``. ``say`` is told a line for each."""

    database: Database
    driver: StorageDriver
    repository: RepositoryName
    say: Callable[[str], None]

    async def run(self) -> int:
        """How many were found. Raises StorageError."""
        tree = LinkTree(self.driver)
        count = 0
        batch: list[Digest] = []
        together = 0
        async with aclosing(tree.blobs()) as blobs:
            async for digest, size in blobs:
                if 0 < size <= _LARGEST:
                    batch.append(digest)
                    together += size
                if len(batch) == BATCH or together > _TOGETHER:
                    count += await self._adopt(tree, batch)
                    batch, together = [], 0
        return count + await self._adopt(tree, batch)

    async def _adopt(self, tree: LinkTree, digests: Sequence[Digest]) -> int:
        named = await self.database.read(partial(store.named_digests, digests=digests))
        some = [digest for digest in digests if digest not in named]
        now = clock.timestamp()
        links = [Link(digest, layout.blob(digest), now) for digest in some]
        read = await tree.manifests(self.repository, links)
        found = [one for one in read if isinstance(one, Found) and _is_one(one)]
        if found:
            await Indexer(self.database, self.driver).put(self.repository, found)
        for one in found:
            self.say(f"{one.link.digest} {one.manifest.media_type} {one.manifest.size} bytes")
        return len(found)


def _is_one(found: Found) -> bool:
    """JSON of another type than these may be anything."""
    return found.manifest.media_type in mediatypes.MANIFESTS | mediatypes.INDEXES
