"""Blocks on their way to become one blob of Azure.

Blocks belong to the name of a blob. Whoever commits a list of blocks under a name throws away all
other uncommitted blocks of that name, also those of somebody else; so two that make the same blob
at the same time can lose theirs, and learn it when they commit. What nobody commits, the service
throws away a week after the last block came.
"""

import asyncio
import re
import secrets
from contextlib import suppress
from typing import Any, Final, Literal

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobBlock, ContentSettings
from azure.storage.blob.aio import BlobClient

from longshore.storage.azure_client import translated
from longshore.storage.driver import StorageError
from longshore.storage.parts import Part
from longshore.telemetry import clock

#: The service's answers when another writer of the same name was in between.
LOST: Final = frozenset({"InvalidBlockList", "InvalidBlobOrBlock"})
#: What every object is stored as.
CONTENT: Final = ContentSettings(content_type="application/octet-stream")
#: Seconds that the service may take to copy a block.
COPY_TIMEOUT: Final = 120
#: Uploads have names of their own, and may be cleared away by anybody when they are old.
_ID: Final = re.compile(r"(?P<kind>[uj])(?P<begun>\d{11})\.[0-9a-f]{16}\.\d{5}")


def begun(identity: str) -> float | None:
    """When the upload began that a block belongs to (POSIX seconds); None if it is none of ours, or
    one of a join, whose name others may be writing to."""
    found = _ID.fullmatch(identity)
    return float(found["begun"]) if found and found["kind"] == "u" else None


async def clear(blob: BlobClient) -> None:
    """Throw away the uncommitted blocks of a name under which no blob is. Raises StorageError."""
    with translated(blob.blob_name), suppress(ResourceExistsError):
        # The only way: a list of blocks ends those that it does not name.
        made = await blob.commit_block_list([], match_condition=MatchConditions.IfMissing)
        await blob.delete_blob(
            etag=str(made["etag"]), match_condition=MatchConditions.IfNotModified
        )


class Blocks:
    """The blocks of one blob: committed, or else given up when the block is left.

    ``kind`` is ``upload`` for a name that nobody else writes to, ``join`` for one that others may
    be writing the same content to: its blocks are left to the service.
    """

    def __init__(self, blob: BlobClient, kind: Literal["upload", "join"], at_once: int) -> None:
        self._blob, self._kind, self._at_once = blob, kind, at_once
        self._prefix = f"{kind[0]}{int(clock.timestamp()):011}.{secrets.token_hex(8)}"
        self._blocks: list[BlobBlock] = []
        self._running: set[asyncio.Task[Any]] = set()
        self._committed = False

    async def __aenter__(self) -> "Blocks":
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if not self._committed and self._kind == "upload" and self._blocks:
            # Also when this task is being cancelled, which must not leave the blocks behind.
            clearing = asyncio.ensure_future(clear(self._blob))
            with suppress(StorageError):
                await asyncio.shield(clearing)

    def _next(self) -> str:
        identity = f"{self._prefix}.{len(self._blocks):05}"
        self._blocks.append(BlobBlock(identity))
        return identity

    async def send(self, part: Part) -> None:
        """Begin to send a part, which is released afterwards; waits while too many are on their way."""

        async def work(identity: str) -> None:
            await self._blob.stage_block(identity, part.content)

        task = asyncio.create_task(work(self._next()))
        # Not in a `finally` above: a task that is cancelled before its first step has none.
        task.add_done_callback(lambda _task: part.release())
        await self._start(task)

    async def take(self, url: str, start: int, length: int, options: dict[str, Any]) -> None:
        """Begin to copy bytes of another blob, inside the service."""
        copying = self._blob.stage_block_from_url(
            self._next(), url, start, length, read_timeout=COPY_TIMEOUT, **options
        )
        await self._start(asyncio.ensure_future(copying))

    async def _start(self, task: "asyncio.Task[Any]") -> None:
        self._running.add(task)
        while len(self._running) >= self._at_once:
            await self._reap(asyncio.FIRST_COMPLETED)

    async def _reap(self, until: str) -> None:
        done, self._running = await asyncio.wait(self._running, return_when=until)
        # Asked of all, or the loop complains about those that nobody asked.
        errors = [error for task in done if (error := task.exception())]
        if errors:
            with translated(self._blob.blob_name):
                raise errors[0]

    async def commit(self) -> None:
        """Wait for all blocks and make the blob of them."""
        while self._running:
            await self._reap(asyncio.FIRST_EXCEPTION)
        with translated(self._blob.blob_name):
            await self._blob.commit_block_list(self._blocks, content_settings=CONTENT)
        self._committed = True
