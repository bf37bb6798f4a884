"""Seals: HMAC-SHA256 over a row and the seal of the row before (RFC 2104)."""

import hmac
import json
from collections.abc import Sequence
from typing import Final

from longshore.audit.model import Entry, Row, State

#: What comes before the first row.
GENESIS: Final = "0" * 64


class Sealing:
    """``secrets``: the first seals, all verify. ``kept`` is one of them that lies in the database."""

    def __init__(self, secrets: Sequence[str], kept: str = "") -> None:
        keys = [_key(secret) for secret in dict.fromkeys(secrets)]
        if not keys:
            raise ValueError("sealing needs a key")
        self._first = keys[0]
        self._keys = {_name(key): key for key in keys}
        self.key_id = _name(keys[0])
        #: The name of the key that whoever writes to the database can read, too.
        self.kept_id = _name(_key(kept)) if kept else ""

    def knows(self, key_id: str) -> bool:
        """Whether it has that key."""
        return key_id in self._keys

    def row(self, entry: Entry, number: int, previous: str) -> str:
        """The seal of a new row."""
        return _seal(self._first, "row", number, previous, entry.canonical())

    def holds(self, row: Row) -> bool:
        """Whether a row is what was sealed; its ``previous`` is part of that."""
        key = self._keys.get(row.key_id)
        if key is None:
            return False
        made = _seal(key, "row", row.id, row.previous, row.entry().canonical())
        return hmac.compare_digest(made.encode(), row.seal.encode("utf-8", "replace"))

    def state(self, last_id: int, last_seal: str, removed: int, removed_seal: str) -> State:
        """The sealed ends of a chain."""
        seal = _seal(self._first, "ends", last_id, last_seal, removed, removed_seal)
        return State(last_id, last_seal, removed, removed_seal, self.key_id, seal)

    def holds_ends(self, state: State) -> bool:
        """Whether the ends are what was sealed."""
        key = self._keys.get(state.key_id)
        if key is None:
            return False
        made = _seal(
            key, "ends", state.last_id, state.last_seal, state.removed_through, state.removed_seal
        )
        return hmac.compare_digest(made.encode(), state.seal.encode("utf-8", "replace"))


def _key(secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"longshore audit seal", "sha256")


def _name(key: bytes) -> str:
    return hmac.digest(key, b"name", "sha256").hex()[:12]


def _seal(key: bytes, *parts: str | int) -> str:
    return hmac.digest(key, json.dumps(parts).encode(), "sha256").hex()
