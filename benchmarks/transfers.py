"""Pushing and pulling blobs, alone or many at once."""

import hashlib
import multiprocessing
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from benchmarks.failure import BenchmarkFailed
from benchmarks.wire import Connection

_TAIL: Final = 32
_OCTETS: Final = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True)
class Blob:
    """A source's bytes with a ``tail`` of its own at the end."""

    digest: str
    tail: bytes


class Source:
    """A file of random bytes, from which any number of different blobs of its size are pushed.

    They differ in their last 32 bytes, so a digest costs next to nothing: the state of the hash
    before those is kept.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.size = size
        self._shared = size - _TAIL
        self._hash = hashlib.sha256()
        with path.open("wb") as file:
            for start in range(0, self._shared, 1 << 20):
                piece = os.urandom(min(1 << 20, self._shared - start))
                file.write(piece)
                self._hash.update(piece)
        self._file = os.open(path, os.O_RDONLY)

    def close(self) -> None:
        os.close(self._file)

    def blob(self) -> Blob:
        """A blob that nobody has seen."""
        tail = secrets.token_bytes(_TAIL)
        state = self._hash.copy()
        state.update(tail)
        return Blob(f"sha256:{state.hexdigest()}", tail)

    def send(self, connection: Connection, blob: Blob, start: int, count: int) -> None:
        """Send ``count`` bytes of ``blob`` as a request's body."""
        own = max(0, start + count - self._shared)
        connection.send_file(self._file, start, count - own)
        if own:
            connection.send_bytes(blob.tail[_TAIL - own :])


def push(
    connection: Connection, repository: str, source: Source, blob: Blob, chunk: int | None = None
) -> None:
    """POST and PUT; with ``chunk`` bytes given: POST, PATCHes of that many, PUT without a body."""
    connection.send("POST", f"/v2/{repository}/blobs/uploads/", length=0)
    target = _target(connection.receive(202).headers)
    start = 0
    if chunk:
        while start < source.size:
            count = min(chunk, source.size - start)
            headers = {**_OCTETS, "Content-Range": f"{start}-{start + count - 1}"}
            connection.send("PATCH", target, headers, length=count)
            source.send(connection, blob, start, count)
            target = _target(connection.receive(202).headers)
            start += count
    separator = "&" if "?" in target else "?"
    left = source.size - start
    connection.send("PUT", f"{target}{separator}digest={blob.digest}", _OCTETS, length=left)
    if left:
        source.send(connection, blob, start, left)
    connection.receive(201)


def pull(connection: Connection, repository: str, digest: str) -> None:
    """GET, the bytes dropped as they come."""
    connection.send("GET", f"/v2/{repository}/blobs/{digest}")
    connection.receive(200)


def _target(headers: Mapping[str, str]) -> str:
    location = urlsplit(headers["location"])
    return f"{location.path}?{location.query}" if location.query else location.path


@dataclass(frozen=True)
class Effort:
    """What ``clients`` did: how often all in all, and how long it took from the first to the last."""

    done: int
    seconds: float


Task = Callable[[Connection], object]


def in_parallel(
    connect: Callable[[], Connection], clients: int, seconds: float, task: Callable[[int], Task]
) -> Effort:
    """Let each client, a process of its own, repeat its task until ``seconds`` have passed.

    What was begun is finished. ``task`` gets the client's number. Connections are made before
    the clock starts. Raises BenchmarkFailed when a client fails.
    """
    with _started(connect, clients, task) as pipes:
        for pipe in pipes:
            _hear(pipe)
        began = time.monotonic()
        for pipe in pipes:
            pipe.send(began + seconds)
        results = [_hear(pipe) for pipe in pipes]
    return Effort(sum(int(done) for done, _ in results), max(ended for _, ended in results) - began)


@contextmanager
def _started(
    connect: Callable[[], Connection], clients: int, task: Callable[[int], Task]
) -> Iterator[list[Pipe]]:
    context = multiprocessing.get_context("fork")
    pipes: list[Pipe] = []
    processes = []
    try:
        for number in range(clients):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, connect, task(number)))
            process.start()
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        yield pipes
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()


def _work(pipe: Pipe, connect: Callable[[], Connection], task: Task) -> None:
    try:
        connection = connect()
        pipe.send((0, 0.0))
        deadline = pipe.recv()
        done = 0
        while done == 0 or time.monotonic() < deadline:
            task(connection)
            done += 1
        pipe.send((done, time.monotonic()))
        connection.close()
    except EOFError:
        pass  # another client failed; this one is no longer needed
    except (OSError, BenchmarkFailed) as error:
        pipe.send(f"{type(error).__name__}: {error}")


def _hear(pipe: Pipe) -> tuple[int, float]:
    try:
        said = pipe.recv()
    except EOFError:
        said = "it ended without a word"
    if isinstance(said, str):
        raise BenchmarkFailed(f"a client failed: {said}")
    done, ended = said
    return done, ended
