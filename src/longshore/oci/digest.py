"""Content digests: ``algorithm:hex``, the identity of every blob and manifest.

OCI Image Specification, "Digests". Longshore accepts the two registered algorithms.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from longshore.oci.errors import DigestInvalid

if TYPE_CHECKING:
    from hashlib import _Hash

#: Registered algorithms and the length of their hexadecimal form.
ALGORITHMS: Final[Mapping[str, int]] = {"sha256": 64, "sha512": 128}
CANONICAL: Final = "sha256"

_DIGEST = re.compile(r"(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})")


class Digest(str):
    """A digest that is known to be well formed. It is its own text, so it goes anywhere text goes.

    Raises :class:`~longshore.oci.errors.DigestInvalid` for anything else.
    """

    __slots__ = ()

    def __new__(cls, value: str) -> "Digest":
        if not _DIGEST.fullmatch(value):
            raise DigestInvalid(_explain(value), detail={"digest": value[:200]})
        return super().__new__(cls, value)

    @classmethod
    def of(cls, content: bytes, algorithm: str = CANONICAL) -> "Digest":
        """The digest of ``content``."""
        return cls.finish(new_hash(algorithm, content))

    @classmethod
    def finish(cls, state: "_Hash") -> "Digest":
        """The digest that a running hash has arrived at; the hash may go on afterwards."""
        return str.__new__(cls, f"{state.name}:{state.hexdigest()}")

    @property
    def algorithm(self) -> str:
        return self.partition(":")[0]

    @property
    def hex(self) -> str:
        return self.partition(":")[2]

    def matches(self, other: "Digest") -> bool:
        """Equality that takes the same time wherever the two differ."""
        return hmac.compare_digest(self, other)


def new_hash(algorithm: str, content: bytes = b"") -> "_Hash":
    """A running hash. Raises DigestInvalid for an algorithm that is not registered."""
    if algorithm not in ALGORITHMS:
        raise DigestInvalid(
            f"digest algorithm {algorithm[:40]!r} is not supported; use {' or '.join(ALGORITHMS)}",
            detail={"algorithm": algorithm[:40]},
        )
    return hashlib.new(algorithm, content, usedforsecurity=False)


def _explain(value: str) -> str:
    shown = repr(value if len(value) <= 150 else value[:150] + "...")
    algorithm, colon, hexadecimal = value.partition(":")
    if not colon:
        return f"{shown} is not a digest: expected algorithm:hex, for example sha256:e3b0c442..."
    if algorithm not in ALGORITHMS:
        return f"{shown} uses an unsupported digest algorithm; use {' or '.join(ALGORITHMS)}"
    if len(hexadecimal) != ALGORITHMS[algorithm]:
        return (
            f"{shown} has {len(hexadecimal)} hexadecimal characters where "
            f"{algorithm} has {ALGORITHMS[algorithm]}"
        )
    return f"{shown} holds characters other than 0-9 and lower-case a-f"
