"""Cutting a stream into parts of one size, in memory that is bounded for the whole process."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass
from typing import Final

#: Services refuse smaller parts of a multipart upload, but for the last one (bytes).
MINIMUM_PART: Final = 5 << 20


@dataclass(slots=True)
class Part:
    """Bytes that hold a place in memory until :meth:`release` is called."""

    content: bytes
    places: "PartMemory"

    def release(self) -> None:
        self.places.release()
        self.content = b""


class PartMemory:
    """At most ``total`` bytes in parts of at most ``size`` bytes, shared by all uploads of a process.

    A place is taken when the first byte of a part arrives, so an upload that waits for its client
    holds none between parts. When all are taken, whoever brings more waits: the connection then
    pushes back on the client.
    """

    def __init__(self, size: int, total: int) -> None:
        self.size = size
        self._places = asyncio.Semaphore(max(4, total // size))

    def release(self) -> None:
        self._places.release()

    async def parts(self, pieces: AsyncIterable[bytes]) -> AsyncGenerator[Part, None]:
        """``pieces`` as parts of ``size`` bytes, the last one shorter. Whoever takes a part releases
        it; what is being collected when ``pieces`` raises is released here."""
        held: list[bytes] = []
        length = 0
        try:
            async for piece in pieces:
                rest = memoryview(piece)
                while rest:
                    if not held:
                        await self._places.acquire()
                    some = rest[: self.size - length]
                    held.append(bytes(some) if len(some) < len(piece) else piece)
                    length += len(some)
                    rest = rest[len(some) :]
                    if length == self.size:
                        part, held, length = Part(b"".join(held), self), [], 0
                        yield part
            if held:
                part, held = Part(b"".join(held), self), []
                yield part
        finally:
            if held:
                self.release()
