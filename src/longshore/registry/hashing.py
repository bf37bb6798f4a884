"""Hashing what streams by, in threads, while the previous piece is being written."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterable, AsyncIterator
from typing import TYPE_CHECKING, Final

from longshore.oci.digest import Digest, new_hash

if TYPE_CHECKING:
    from hashlib import _Hash

#: Below this a hop to a thread costs more than the hash (bytes).
INLINE: Final = 32 << 10
_REMEMBERED: Final = 1024


class RunningHash:
    """The hash of an upload's bytes so far."""

    def __init__(self, algorithm: str, state: "_Hash | None" = None) -> None:
        self._state = state or new_hash(algorithm)

    @property
    def digest(self) -> Digest:
        """The digest of everything so far; more may follow."""
        return Digest.finish(self._state)

    def copy(self) -> "RunningHash":
        return RunningHash(self._state.name, self._state.copy())

    async def update(self, piece: bytes) -> None:
        if len(piece) <= INLINE:
            self._state.update(piece)
        else:
            await asyncio.to_thread(self._state.update, piece)

    async def over(self, pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """Pass ``pieces`` on. Each is hashed while whoever takes it writes it."""
        pending: asyncio.Task[None] | None = None
        try:
            async for piece in pieces:
                if pending:
                    await pending
                    pending = None
                if len(piece) <= INLINE:
                    self._state.update(piece)
                else:
                    pending = asyncio.create_task(self.update(piece))
                yield piece
        finally:
            if pending:
                await pending

    async def take(self, pieces: AsyncIterable[bytes]) -> None:
        """Hash all of ``pieces`` and drop them."""
        async for piece in pieces:
            await self.update(piece)


class HashMemory:
    """Running hashes of uploads that this process saw last, so that the next chunk need not read
    the earlier ones again. Only a shortcut: an entry counts if it is at the recorded digest."""

    def __init__(self) -> None:
        self._states: OrderedDict[str, RunningHash] = OrderedDict()

    def keep(self, upload_id: str, state: RunningHash) -> None:
        self._states[upload_id] = state
        self._states.move_to_end(upload_id)
        if len(self._states) > _REMEMBERED:
            self._states.popitem(last=False)

    def find(self, upload_id: str, digest: Digest) -> RunningHash | None:
        """A copy that may be continued; None when this process has not got that far."""
        state = self._states.get(upload_id)
        return state.copy() if state and state.digest == digest else None

    def forget(self, upload_id: str) -> None:
        self._states.pop(upload_id, None)
