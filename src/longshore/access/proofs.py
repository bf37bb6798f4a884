"""What was proved before: so that bcrypt and signatures are paid once and not on every request."""

import hashlib
import secrets
from collections.abc import MutableMapping
from typing import Generic, TypeVar

T = TypeVar("T")


class Proofs(Generic[T]):
    """Authorization header -> what it proved, for as long as the source of truth (a file of
    passwords or keys) is of the same ``generation``. Generations only grow.

    The key is a keyed BLAKE2b (RFC 7693) of the whole header under a key that never leaves this
    process: memory holds neither passwords and tokens nor anything that could be guessed at offline.
    OpenSSL's HMAC takes ten times as long for so short a text.
    """

    def __init__(self, cache: MutableMapping[bytes, T]) -> None:
        """``cache`` bounds how many proofs are kept, and how long."""
        self._keyed = hashlib.blake2b(key=secrets.token_bytes(32), digest_size=32)
        self._cache = cache
        self._generation = 0

    def key(self, header: bytes) -> bytes:
        """What stands for ``header`` here."""
        hashed = self._keyed.copy()  # half the time of beginning with the key
        hashed.update(header)
        return hashed.digest()

    def find(self, key: bytes, generation: int) -> T | None:
        """What the header behind ``key`` proved; None when it did not, or too long ago."""
        if generation != self._generation:
            self._turn(generation)
            return None
        return self._cache.get(key)

    def remember(self, key: bytes, generation: int, proof: T) -> None:
        """Keep a proof made against ``generation``; one against an older one is dropped."""
        self._turn(generation)
        if generation == self._generation:
            self._cache[key] = proof

    def _turn(self, generation: int) -> None:
        if generation > self._generation:
            self._cache.clear()
            self._generation = generation
