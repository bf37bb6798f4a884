"""How several objects become the parts of one, when no part but the last may be small."""

from collections.abc import Sequence
from contextlib import aclosing
from typing import NamedTuple

from longshore.storage.driver import PathNotFound
from longshore.storage.object_store import ObjectStore, Source


class Piece(NamedTuple):
    """``length`` bytes of an object, from byte ``start``."""

    key: str
    start: int
    length: int


def plan(sources: Sequence[Source], minimum: int, maximum: int) -> list[list[Piece]]:
    """Groups of pieces, in order: each is to become one part.

    A group of one piece (``minimum`` to ``maximum`` bytes, or the last one) can be copied inside the
    service. A group of several is less than ``2 * minimum`` bytes: those have to be fetched and sent.
    Together the groups are exactly the sources.
    """
    groups: list[list[Piece]] = []
    small: list[Piece] = []  # not enough for a part yet
    held = 0
    for source in sources:
        start = 0
        while start < source.size:
            rest = source.size - start
            if held:
                length = min(rest, minimum - held)
            elif rest <= maximum:
                length = rest
            else:
                # What is left must be enough for a part, so that it need not be fetched.
                length = min(maximum, rest - minimum) if rest < maximum + minimum else maximum
            small.append(Piece(source.key, start, length))
            held += length
            start += length
            if held >= minimum:
                groups.append(small)
                small, held = [], 0
    if small:
        groups.append(small)
    return groups


async def fetch(store: ObjectStore, group: Sequence[Piece]) -> bytes:
    """The bytes of small pieces, which the service would not take as parts of their own. Raises
    PathNotFound if one is not there in full."""
    found: list[bytes] = []
    for piece in group:
        async with aclosing(store.stream(piece.key, piece.start, piece.length)) as content:
            read = b"".join([some async for some in content])
        if len(read) < piece.length:
            raise PathNotFound(store.name, piece.key, f"only {len(read)} bytes are there")
        found.append(read)
    return b"".join(found)
