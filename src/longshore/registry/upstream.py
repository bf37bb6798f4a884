"""Where what no row knows may still come from: asked only after a miss, or before a list or a change
that needs all of a repository. The composition root decides whether there is one."""

from collections.abc import Sequence
from typing import Protocol

from longshore.oci.digest import Digest
from longshore.oci.names import RepositoryName, Tag


class Upstream(Protocol):
    """Whoever can turn something into rows when somebody asks for it.

    While ``active`` is false nothing else is called, and everything is as if there were none.
    """

    @property
    def active(self) -> bool:
        """Whether it may have anything. Cheap: read at every miss."""

    async def find_manifest(self, name: RepositoryName, reference: Tag | Digest) -> bool:
        """Look for a manifest that the rows lack; whether they have it now."""

    async def find_blob(self, name: RepositoryName, digest: Digest) -> bool:
        """Look for a blob that the rows lack; whether they have it now."""

    async def complete(self, name: RepositoryName) -> None:
        """Return when the rows say all of the repository: before it is listed or changed.

        Raises Unavailable when that takes longer than a client would wait.
        """

    async def names(self, last: str, limit: int) -> Sequence[str]:
        """Repositories after ``last``, in ASCII order, that rows may not know yet."""


class NoUpstream:
    """The rows say everything."""

    active = False

    async def find_manifest(self, name: RepositoryName, reference: Tag | Digest) -> bool:
        """Never."""
        return False

    async def find_blob(self, name: RepositoryName, digest: Digest) -> bool:
        """Never."""
        return False

    async def complete(self, name: RepositoryName) -> None:
        """At once."""

    async def names(self, last: str, limit: int) -> Sequence[str]:
        """None."""
        return ()
