"""What clients were told during a storm of pushes, and what must therefore be true afterwards."""

import hashlib
import math
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class Layer:
    """Bytes that can be had again from two numbers, so that a storm need not keep them."""

    seed: int
    size: int

    @property
    def content(self) -> bytes:
        return random.Random(self.seed).randbytes(self.size)

    @cached_property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"


@dataclass
class Upload:
    """A session that its client believes to be open. ``acknowledged`` bytes are in, so the replies
    said; ``finishing`` once a PUT was sent, whose reply may have been lost."""

    repository: str
    location: str
    layer: Layer
    acknowledged: int = 0
    finishing: bool = False


@dataclass
class Tagging:
    """One push to a tag, from its first byte to its reply, or to the moment it broke off."""

    digest: str
    began: float
    ended: float = math.inf
    acknowledged: bool = False


@dataclass
class Ledger:
    """Shared by the threads of a storm, and by the storms of a test."""

    blobs: set[tuple[str, str]] = field(default_factory=set)
    manifests: dict[tuple[str, str], bytes] = field(default_factory=dict)
    taggings: dict[tuple[str, str], list[Tagging]] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    #: Replies that no client of a healthy server should see.
    faults: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def opened(self, upload: Upload) -> None:
        with self._lock:
            self.uploads[upload.location] = upload

    def finished(self, upload: Upload) -> None:
        with self._lock:
            self.uploads.pop(upload.location, None)
            self.blobs.add((upload.repository, upload.layer.digest))

    def pushed(self, repository: str, digest: str) -> None:
        with self._lock:
            self.blobs.add((repository, digest))

    @contextmanager
    def tagging(self, repository: str, tag: str, digest: str, content: bytes) -> Iterator[None]:
        """Around the PUT of a manifest; ended by an exception, it counts as in flight."""
        entry = Tagging(digest, time.monotonic())
        with self._lock:
            self.taggings.setdefault((repository, tag), []).append(entry)
        try:
            yield
            entry.acknowledged = True
            with self._lock:
                self.manifests[repository, digest] = content
        finally:
            entry.ended = time.monotonic()

    def wait_for_blobs(self, more: int, seconds: float = 30) -> None:
        """Return when so many more blobs were pushed than now; a server may be slow, not stuck."""
        wanted, deadline = len(self.blobs) + more, time.monotonic() + seconds
        while len(self.blobs) < wanted:
            assert time.monotonic() < deadline, (
                f"{len(self.blobs)} blobs, no {wanted}: {self.faults}"
            )
            time.sleep(0.005)

    def candidates(self, repository: str, tag: str) -> set[str]:
        """The digests a tag may be at: pushes that no acknowledged one came after."""
        entries = self.taggings.get((repository, tag), [])
        return {
            entry.digest
            for entry in entries
            if not any(other.acknowledged and other.began > entry.ended for other in entries)
        }

    @property
    def certain_tags(self) -> set[tuple[str, str]]:
        """Tags that exist because a client was told so."""
        return {
            key
            for key, entries in self.taggings.items()
            if any(entry.acknowledged for entry in entries)
        }
