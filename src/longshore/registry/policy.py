"""Where others may say no: gates that the composition root lists in order.

A gate returns, or raises a RegistryError that explains. A gate that cannot decide refuses.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from longshore.db.database import Connection
from longshore.oci.digest import Digest
from longshore.oci.errors import Denied
from longshore.oci.manifest import Manifest
from longshore.oci.names import RepositoryName, Tag
from longshore.outbox.model import NOBODY, Origin
from longshore.registry.model import Upload


@dataclass(frozen=True, slots=True)
class Push:
    """A manifest about to be written, by whom ``origin`` says, under ``tags``."""

    repository: RepositoryName
    manifest: Manifest
    digest: Digest
    tags: Sequence[Tag]
    origin: Origin = NOBODY

    @property
    def actor(self) -> str:
        """Who pushes; empty: anonymous."""
        return self.origin.actor


class PushGate(Protocol):
    """Asked inside the transaction that writes the manifest, so that it decides about the state
    that it sees."""

    def check(self, connection: Connection, push: Push) -> None:
        """Return to allow; raise a RegistryError to refuse. May be called more than once."""


class Settlement(Protocol):
    """One transaction that a StorageGate watches."""

    def settle(self) -> Sequence[str]:
        """Called when all rows are written, before the commit. Return what the client should be warned
        of, or raise Denied: then nothing of it happens."""


class StorageGate(Protocol):
    """Asked whether a repository may hold more: bytes, blobs, manifests, tags.

    What it refuses with is Denied, always. All but ``explain`` run inside transactions and may be called
    more than once.
    """

    def begin(self, connection: Connection, repository: RepositoryName) -> None:
        """Somebody wants to upload an unknown number of bytes. Raises Denied when none has room."""

    def expect(self, connection: Connection, upload: Upload, total: int) -> int | None:
        """The upload will have ``total`` bytes, as far as is known: keep room for them until the upload
        is recorded or ends. How many it may have without asking again; None: any number. Raises
        Denied."""

    def watch(
        self, connection: Connection, repository: RepositoryName, push: Push | None
    ) -> Settlement | None:
        """The transaction will add to the repository: a blob, what an upload brought, or ``push``. None:
        there is nothing to watch."""

    async def explain(self, refusal: Denied, origin: Origin, reference: str) -> Denied:
        """A request ends with ``refusal``, perhaps this gate's: complete what it says, and tell others.
        Outside any transaction."""


class StorageGates:
    """Several in order, as the data plane asks them; none costs nothing."""

    def __init__(self, gates: Sequence[StorageGate] = ()) -> None:
        self._gates = tuple(gates)

    def __bool__(self) -> bool:
        return bool(self._gates)

    def begin(self, connection: Connection, repository: RepositoryName) -> None:
        """See :meth:`StorageGate.begin`."""
        for gate in self._gates:
            gate.begin(connection, repository)

    def expect(self, connection: Connection, upload: Upload, total: int) -> int | None:
        """See :meth:`StorageGate.expect`: what all of them allow."""
        allowed = [gate.expect(connection, upload, total) for gate in self._gates]
        return min((some for some in allowed if some is not None), default=None)

    @contextmanager
    def watching(
        self, connection: Connection, repository: RepositoryName, push: Push | None = None
    ) -> Iterator[list[str]]:
        """The part of a transaction that adds to the repository. The list has the warnings afterwards.
        Raises Denied."""
        warnings: list[str] = []
        watches = [gate.watch(connection, repository, push) for gate in self._gates]
        yield warnings
        for watch in watches:
            if watch is not None:
                warnings.extend(watch.settle())

    @asynccontextmanager
    async def explaining(
        self, origin: Callable[[], Origin], reference: Callable[[], str]
    ) -> AsyncIterator[None]:
        """The part of a request whose refusals the gates explain."""
        try:
            yield
        except Denied as refusal:
            for gate in self._gates:
                refusal = await gate.explain(refusal, origin(), reference())
            raise refusal from refusal.__cause__


NO_GATES: Final = StorageGates()
