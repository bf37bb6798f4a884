"""Where others may say no: gates that the composition root lists in order.

A gate returns, or raises a RegistryError that explains. A gate that cannot decide refuses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from longshore.db.database import Connection
from longshore.oci.digest import Digest
from longshore.oci.manifest import Manifest
from longshore.oci.names import RepositoryName, Tag


@dataclass(frozen=True, slots=True)
class Push:
    """A manifest about to be written, by ``actor`` (empty: anonymous), under ``tags``."""

    repository: RepositoryName
    manifest: Manifest
    digest: Digest
    tags: Sequence[Tag]
    actor: str


class PushGate(Protocol):
    """Asked inside the transaction that writes the manifest, so that it decides about the state
    that it sees."""

    def check(self, connection: Connection, push: Push) -> None:
        """Return to allow; raise a RegistryError to refuse. May be called more than once."""
