"""What an object storage service is to the driver above it: whole objects under flat keys.

One implementation for each service; :class:`longshore.storage.objects.ObjectDriver` makes a
:class:`~longshore.storage.driver.StorageDriver` of any of them. Keys are complete (the root directory
included) and begin with no slash.

Every method raises the errors of :mod:`longshore.storage.driver`, with the key as their path, and
has a time-out and a bounded number of retries for each request that it makes.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from longshore.storage.driver import Stat


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object met while listing."""

    key: str
    stat: Stat


@dataclass(frozen=True, slots=True)
class Source:
    """An object whose whole content, ``size`` bytes, is to become a part of another."""

    key: str
    size: int


class ObjectStore(Protocol):
    """A bucket or container. What a call has returned from is durable and visible to everybody."""

    name: str

    async def open(self) -> None:
        """Connect and check that the bucket exists and may be used. Raises StorageUnavailable with
        a sentence that says what to correct."""

    async def close(self) -> None:
        """Release connections."""

    async def get(self, key: str) -> bytes:
        """The content of a small object. Raises PathNotFound."""

    def stream(
        self, key: str, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """As StorageDriver.stream: beyond the end is nothing. Raises PathNotFound before the first
        piece, StorageUnavailable if the object ends early."""

    async def stat(self, key: str) -> Stat:
        """Raises PathNotFound."""

    async def put(self, key: str, content: bytes) -> None:
        """Store a small object, replacing what was there."""

    async def upload(self, key: str, pieces: AsyncIterable[bytes]) -> int:
        """Store an object of unknown size from pieces of any size, in bounded memory; its size.

        Nothing is visible under ``key`` before the end. When ``pieces`` raises, or the call fails
        or is cancelled, what was sent is given up (multipart aborted, segments deleted) and the
        error passes through unchanged. No bytes at all leave no object: the size is 0.
        """

    async def join(self, sources: Sequence[Source], destination: str) -> None:
        """Make ``destination`` the concatenation of ``sources`` in one step, inside the service
        where it can do that, whatever the sizes. The sources stay readable.

        Raises PathNotFound if a source is gone.
        """

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, in as few requests as the service allows. Missing ones are no error."""

    def list(self, prefix: str) -> AsyncGenerator[StoredObject, None]:
        """Every object whose key starts with the characters ``prefix``, page by page."""

    async def presigned_url(self, key: str, method: str, lifetime: float) -> str | None:
        """A URL with which anybody may GET or HEAD the object for ``lifetime`` seconds; None when
        the credentials cannot sign one."""

    async def remove_abandoned(self, prefix: str, before: float) -> int:
        """Give up uploads below ``prefix`` that were begun before that time (POSIX seconds) and
        never ended, because a process was killed; how many. For background work only."""


@runtime_checkable
class CommonPrefixes(Protocol):
    """A store that can list what keys begin with up to the next slash."""

    def prefixes(self, prefix: str) -> AsyncGenerator[str, None]:
        """``prefix`` (it ends with a slash) with what follows in some key up to the next slash,
        that slash included; each once."""
