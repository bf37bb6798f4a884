"""Much at once: big blobs, thousands of sessions and connections. Memory stays bounded."""

import hashlib
import random
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import sleep
from typing import Any

import httpx
import pytest

from tests.clients import wire
from tests.resilience import raw
from tests.resilience.aftermath import count_uploads
from tests.resilience.server import eventually, resident_memory, workers
from tests.services.images import digest_of
from tests.services.registries import Registry, RegistryFactory

pytestmark = pytest.mark.service

MIB = 1 << 20


@contextmanager
def peak_memory(registry: Registry) -> Iterator[list[int]]:
    """The most that any worker needed meanwhile, in bytes, as a list of one number."""
    pids, done = workers(registry), threading.Event()
    peak = [max(map(resident_memory, pids))]

    def watch() -> None:
        while not done.is_set():
            peak[0] = max(peak[0], *map(resident_memory, pids))
            sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def test_many_big_pushes_at_once_need_little_memory(
    registry_factory: RegistryFactory, repository: str, dice: random.Random
) -> None:
    registry = registry_factory()
    common = dice.randbytes(50 * MIB - 1)

    def push(number: int) -> None:
        first = bytes([number])
        running = hashlib.sha256(first)
        running.update(common)
        digest = f"sha256:{running.hexdigest()}"
        body: dict[str, Any] = {
            "content": pieces(first, common),
            "headers": {"Content-Length": f"{50 * MIB}"},
        }
        with registry.client() as client:
            location = wire.start_upload(client, repository)
            if number % 2:
                patched = client.patch(location, **body)
                assert patched.status_code == httpx.codes.ACCEPTED, patched.text
                body = {}
            put = client.put(wire.with_query(location, digest=digest), **body)
            assert put.status_code == httpx.codes.CREATED, put.text

    with peak_memory(registry) as peak, ThreadPoolExecutor(32) as threads:
        for done in [threads.submit(push, number) for number in range(32)]:
            done.result()

    registry_factory.stop(registry)
    shutil.rmtree(registry.directory)
    assert peak[0] < 200 * MIB, f"{peak[0] / MIB:.0f} MiB"


def pieces(first: bytes, rest: bytes) -> Iterator[bytes]:
    """A body that is nowhere whole."""
    yield first
    for start in range(0, len(rest), MIB):
        yield rest[start : start + MIB]


def test_thousands_of_open_sessions_are_served_and_removed(
    registry_factory: RegistryFactory, repository: str, tmp_path: Path
) -> None:
    registry = registry_factory(directory=tmp_path)

    def start(_: int) -> list[str]:
        with registry.client() as client:
            return [wire.start_upload(client, repository) for _ in range(400)]

    with peak_memory(registry) as peak, ThreadPoolExecutor(8) as threads:
        before = peak[0]
        locations = [location for some in threads.map(start, range(5)) for location in some]
    with registry.client() as client:
        for location in (locations[0], locations[-1]):
            assert client.patch(location, content=b"content").status_code == httpx.codes.ACCEPTED
            wire.finish_upload(client, location, digest_of(b"content"))
    registry_factory.stop(registry)
    purging = {"maintenance": {"uploadpurging": {"age": "1ms", "interval": "100ms"}}}
    registry_factory({"storage": purging}, directory=tmp_path)

    assert peak[0] - before < 50 * MIB
    assert eventually(lambda: count_uploads(f"sqlite:///{tmp_path}/data/longshore.db") == 0)


def test_idle_connections_keep_nobody_out(registry_factory: RegistryFactory) -> None:
    registry = registry_factory()
    with ExitStack() as stack:
        for number in range(2000):
            connection = stack.enter_context(raw.connect(registry))
            if number % 2:
                connection.sendall(b"POST /v2/team/app/blobs/uploads/ HTTP/1.1\r\nHost:")
        with registry.client() as client:
            wire.push_blob(client, "team/app", b"content")
        assert max(map(resident_memory, workers(registry))) < 300 * MIB
