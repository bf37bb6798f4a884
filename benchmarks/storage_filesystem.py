"""How fast the filesystem driver stores: python benchmarks/storage_filesystem.py [DIRECTORY]

All cases are measured in one run, in an order that changes every round, and told as medians.
Everything is durable when the clock stops. "plain" is the least that a program must do: blocking
writes, one sync, one rename, a sync of the new directory and of its parent.
"""

import asyncio
import os
import random
import secrets
import shutil
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter

from longshore.storage import durable
from longshore.storage.driver import Staged, StorageDriver
from longshore.storage.filesystem import FilesystemDriver
from longshore.storage.guarded import guard
from longshore.storage.inmemory import InMemoryDriver

MB = 1_000_000
BATCH = os.urandom(1 << 20)
LARGE = 96 * len(BATCH)
SMALL = os.urandom(10_000)
ROUNDS = 9
CALLS = 320
NEVER = 1 << 60

Case = Callable[[], Awaitable[object]]


def plain(root: Path, pieces: Sequence[bytes]) -> None:
    """What the driver is compared with."""
    name = secrets.token_hex(8)
    aside, directory = root / f"aside-{name}", root / "blobs" / name
    directory.mkdir(parents=True)
    with aside.open("wb", buffering=0) as file:
        for piece in pieces:
            file.write(piece)
        os.fsync(file.fileno())
    aside.rename(directory / "data")
    durable.sync_directory(str(directory))
    durable.sync_directory(str(directory.parent))


async def body(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    """A request's body."""
    for piece in pieces:
        yield piece


async def push(driver: StorageDriver, pieces: Sequence[bytes], parts: int = 1) -> None:
    """One upload, from the first byte to the published object."""
    name = secrets.token_hex(8)
    staged = Staged(name)
    for part in range(parts):
        staged = await driver.append(staged, body(pieces[part::parts]))
    await driver.publish(staged, f"/blobs/{name}/data")


async def write(driver: StorageDriver) -> None:
    """One small object, written at once."""
    await driver.write(f"/blobs/{secrets.token_hex(8)}/data", SMALL)


async def at_once(workers: int, calls: int, case: Case) -> None:
    """``calls`` calls, as many of them at the same time as there are workers."""

    async def work() -> None:
        for _ in range(calls // workers):
            await case()

    await asyncio.gather(*(work() for _ in range(workers)))


async def measure(driver: StorageDriver, cases: Mapping[str, Case], amount: float) -> None:
    """Run the cases in alternation; each handles ``amount`` units per call."""
    rates: dict[str, list[float]] = {case: [] for case in cases}
    for _ in range(ROUNDS):
        for case in random.sample([*cases], len(cases)):
            started = perf_counter()
            await cases[case]()
            rates[case].append(amount / (perf_counter() - started))
            await driver.delete_tree("/blobs")
    for case, values in rates.items():
        median, low, high = statistics.median(values), min(values), max(values)
        print(f"  {case:34} {median:9.0f}   ({low:.0f} to {high:.0f})")


async def large_objects(driver: StorageDriver, root: Path, workers: int) -> None:
    """Objects of about 100 MB."""
    pieces = [BATCH] * (LARGE // len(BATCH))
    early = durable._WRITEBACK

    async def with_writeback(after: int, case: Case) -> None:
        durable._WRITEBACK = after  # type: ignore[misc]
        await at_once(workers, workers, case)
        durable._WRITEBACK = early  # type: ignore[misc]

    whole = partial(push, driver, pieces)
    cases: dict[str, Case] = {
        "plain": partial(with_writeback, early, partial(asyncio.to_thread, plain, root, pieces)),
        "append, publish": partial(with_writeback, early, whole),
        "the same without early writeback": partial(with_writeback, NEVER, whole),
        "four appends, publish": partial(
            with_writeback, early, partial(push, driver, pieces, parts=4)
        ),
    }
    print(f"100 MB, {workers} at once, MB/s")
    await measure(driver, cases, workers * LARGE / MB)


async def small_objects(driver: StorageDriver, root: Path, workers: int) -> None:
    """Objects of 10 kB."""
    blocking = partial(asyncio.to_thread, plain, root, [SMALL])
    cases: dict[str, Case] = {
        "plain": partial(at_once, workers, CALLS, blocking),
        "write": partial(at_once, workers, CALLS, partial(write, driver)),
        "append, publish": partial(at_once, workers, CALLS, partial(push, driver, [SMALL])),
    }
    print(f"10 kB, {workers} at once, objects/s")
    await measure(driver, cases, CALLS)


async def guard_overhead() -> None:
    """What the guard adds to a call."""
    bare: StorageDriver = InMemoryDriver()
    await bare.write("/object", SMALL)
    print("read from memory, calls/s")
    cases: dict[str, Case] = {
        name: partial(at_once, 1, 10 * CALLS, partial(driver.read, "/object"))
        for name, driver in {"bare": bare, "guarded": guard(bare)}.items()
    }
    await measure(bare, cases, 10 * CALLS)


async def main() -> None:
    """All of it, in a directory of its own that is removed afterwards."""
    where = sys.argv[1] if len(sys.argv) > 1 else tempfile.gettempdir()
    root = Path(tempfile.mkdtemp(prefix="longshore-bench-", dir=where))
    driver = FilesystemDriver(root)
    try:
        await driver.open()
        for workers in (1, 8):
            await large_objects(driver, root, workers)
        for workers in (1, 16):
            await small_objects(driver, root, workers)
        await guard_overhead()
    finally:
        await driver.close()
        shutil.rmtree(root)


if __name__ == "__main__":
    asyncio.run(main())
