"""Copying the bytes of one digest from one driver to another, verified on the way."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Final

from longshore.oci.digest import Digest
from longshore.placement.model import Outcome, Stored
from longshore.registry.hashing import RunningHash
from longshore.storage import layout
from longshore.storage.driver import PathNotFound, Staged, StorageDriver

#: Bytes up to which a copy is one read and one write.
SMALL: Final = 1 << 20
#: What a copy is staged as begins with this: a digest has one name, so the next attempt finds what
#: a killed one left.
STAGED: Final = "move-"

#: Awaited before so many bytes go on.
Take = Callable[[int], Awaitable[None]]


async def copy(stored: Stored, source: StorageDriver, target: StorageDriver, take: Take) -> Outcome:
    """Put the bytes into ``target``, durable and visible, if they are those of the digest: MOVED.

    MISSING and DAMAGED leave nothing in ``target``. Raises StorageError.
    """
    digest = Digest(stored.digest)
    path = layout.blob(digest)
    try:
        outcome = await (
            _copy_small(digest, source, target, take)
            if stored.size <= SMALL
            else _copy_large(digest, source, target, take)
        )
    except PathNotFound:
        return Outcome.MISSING
    if outcome is Outcome.MOVED and (await target.stat(path)).size != stored.size:
        return Outcome.DAMAGED
    return outcome


async def _copy_small(
    digest: Digest, source: StorageDriver, target: StorageDriver, take: Take
) -> Outcome:
    path = layout.blob(digest)
    content = await source.read(path)
    await take(len(content))
    running = RunningHash(digest.algorithm)
    await running.update(content)
    if not running.digest.matches(digest):
        return Outcome.DAMAGED
    await target.write(path, content)
    return Outcome.MOVED


async def _copy_large(
    digest: Digest, source: StorageDriver, target: StorageDriver, take: Take
) -> Outcome:
    path = layout.blob(digest)
    staged = Staged(STAGED + digest.replace(":", "-"))
    await target.discard(staged.upload)
    running = RunningHash(digest.algorithm)
    try:
        async with aclosing(source.stream(path)) as pieces:
            staged = await target.append(staged, running.over(_within(take, pieces)))
        if not running.digest.matches(digest):
            return Outcome.DAMAGED
        await target.publish(staged, path)
    finally:
        await target.discard(staged.upload)
    return Outcome.MOVED


async def _within(take: Take, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for piece in pieces:
        await take(len(piece))
        yield piece
