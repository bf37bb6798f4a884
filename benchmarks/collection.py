"""What garbage collection takes, and what pulls notice of it: python -m benchmarks.collection

Fills a registry with images of ten blobs each, some of them without a tag. Rows are written directly,
objects are small files: their number counts. Two runs of ``longshore gc -m`` are timed, as fast as they
can and with nobody else there: one marks, and, when everything has aged, one sweeps. Before each of them a server
does a piece of every phase itself, at its rate, as a job, while four clients GET manifests by tag;
before and after it they GET from the same server when it is idle.
"""

import argparse
import hashlib
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import sqlalchemy
from sqlalchemy import create_engine

from benchmarks.filling import Row, fill
from benchmarks.processes import own_memory
from longshore.gc import task as gc_task
from longshore.jobs import queue, store, tables
from longshore.jobs.model import Job as JobRow
from longshore.jobs.model import JobConflict, Status

_BLOBS_EACH: Final = 10
_CLIENTS: Final = 4
_PORT_WAIT: Final = 60.0
#: Seconds that a server is pulled from at a time.
_WATCHED: Final = 20.0
_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
_DAY: Final = 86400.0
_TIMES: Final = (
    ("blobs", "created_at"),
    ("blobs", "condemned_at"),
    ("repository_blobs", "linked_at"),
    ("repository_blobs", "condemned_at"),
    ("manifests", "pushed_at"),
    ("manifests", "condemned_at"),
)


@dataclass(frozen=True)
class Contents:
    """What is made: so many manifests in so many repositories, one of ``untagged`` without a tag."""

    manifests: int
    repositories: int
    untagged: int = 5

    def images(self) -> Iterator[tuple[int, int, bytes, list[str]]]:
        """Number, repository, manifest, and the digests of its blobs."""
        for number in range(self.manifests):
            blobs = [_digest(f"{number} {n}".encode()) for n in range(_BLOBS_EACH)]
            described = [{"mediaType": _LAYER, "digest": blob, "size": 10} for blob in blobs]
            document = {
                "schemaVersion": 2,
                "mediaType": _TYPE,
                "config": described[0],
                "layers": described[1:],
            }
            yield number + 1, number % self.repositories + 1, json.dumps(document).encode(), blobs

    def rows(self) -> Iterator[tuple[str, str, Iterable[Row]]]:
        """Table, columns, rows; everything is a day old."""
        at = time.time() - _DAY
        yield (
            "repositories",
            "id, name, namespace, created_at",
            (
                (n, f"team{n % 20}/app{n}", f"team{n % 20}", at)
                for n in range(1, self.repositories + 1)
            ),
        )
        yield (
            "blobs",
            "digest, size, created_at",
            ((blob, 10, at) for _, _, _, blobs in self.images() for blob in blobs),
        )
        yield (
            "repository_blobs",
            "repository_id, digest, linked_at",
            ((where, blob, at) for _, where, _, blobs in self.images() for blob in blobs),
        )
        yield (
            "manifests",
            "id, repository_id, digest, media_type, size, pushed_at",
            ((n, where, _digest(raw), _TYPE, len(raw), at) for n, where, raw, _ in self.images()),
        )
        yield (
            "manifest_references",
            "manifest_id, repository_id, digest, kind, size, position",
            (
                (n, where, blob, "blob", 10, position)
                for n, where, _, blobs in self.images()
                for position, blob in enumerate(blobs)
            ),
        )
        yield (
            "tags",
            "repository_id, name, digest, updated_at",
            (
                (where, f"v{n}", _digest(raw), at)
                for n, where, raw, _ in self.images()
                if n % self.untagged
            ),
        )


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def make_objects(root: Path, contents: Contents) -> None:
    """A file for each blob and each manifest."""
    for _, _, raw, blobs in contents.images():
        for digest, content in [(_digest(raw), raw), *((blob, b"0123456789") for blob in blobs)]:
            hexadecimal = digest.removeprefix("sha256:")
            directory = f"{root}/docker/registry/v2/blobs/sha256/{hexadecimal[:2]}/{hexadecimal}"
            os.makedirs(directory)
            with open(f"{directory}/data", "wb", buffering=0) as file:
                file.write(content)
    old = time.time() - _DAY
    for path in root.rglob("data"):
        os.utime(path, (old, old))


def age(url: str) -> None:
    """Let a day pass for everything."""
    engine = create_engine(url)
    with engine.begin() as connection:
        for table, column in _TIMES:
            statement = f"UPDATE {table} SET {column} = {column} - {_DAY}"  # noqa: S608 - names of ours
            connection.execute(sqlalchemy.text(statement))
    engine.dispose()


@dataclass
class Pulls:
    """Clients that GET manifests by tag; how long each took, in seconds."""

    port: int
    contents: Contents
    took: list[float] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - no secret
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while not self.stopped.is_set():
            number = chance.randrange(self.contents.manifests) + 1
            if number % self.contents.untagged == 0:
                continue
            where = (number - 1) % self.contents.repositories + 1
            since = time.perf_counter()
            connection.request("GET", f"/v2/team{where % 20}/app{where}/manifests/v{number}")
            response = connection.getresponse()
            response.read()
            assert response.status == 200, (response.status, number)
            self.took.append(time.perf_counter() - since)
            time.sleep(0.002)  # steady, not as fast as it goes: a second core is for the collector

    def quantile(self, part: float) -> float:
        """Milliseconds."""
        ordered = sorted(self.took)
        return ordered[int(len(ordered) * part)] * 1000


class Job:
    """A run of the server itself, that begins with a phase and is cancelled when that has ended, or after a while."""

    def __init__(self, url: str, phase: str) -> None:
        self._engine, self._phase = create_engine(url), phase
        state: dict[str, Any] = {"phase": phase, "last": None, "tally": {}}
        with self._engine.begin() as connection:
            payload = {"delete_untagged": True}
            self._id = queue.enqueue(connection, gc_task.KIND, payload, now=time.time())
            own = tables.jobs.c.id == self._id
            connection.execute(sqlalchemy.update(tables.jobs).where(own).values(checkpoint=state))

    def _found(self) -> JobRow:
        with self._engine.connect() as connection:
            found = store.find_job(connection, self._id)
        assert found is not None
        return found

    def works(self) -> bool:
        """Whether it waits, or is in its phase."""
        found = self._found()
        ended = found.status not in (Status.QUEUED, Status.RUNNING)
        return not ended and found.checkpoint["phase"] == self._phase

    def cancel(self) -> None:
        """Returns when it has stopped."""
        with self._engine.begin() as connection, suppress(JobConflict):
            store.cancel_job(connection, self._id)
        while (status := self._found().status) in (Status.QUEUED, Status.RUNNING):
            time.sleep(0.2)
        assert status in (Status.CANCELLED, Status.DONE), status


def pulling(port: int, contents: Contents, job: Job | None = None) -> Pulls:
    """Pull for a while, or until the job is not in its phase any more."""
    pulls = Pulls(port, contents)
    with ThreadPoolExecutor(_CLIENTS) as threads:
        work = [threads.submit(pulls.run, seed) for seed in range(_CLIENTS)]
        end = time.monotonic() + _WATCHED
        while time.monotonic() < end and (job is None or job.works()):
            time.sleep(0.2)
        pulls.stopped.set()
        for one in work:
            one.result()
    return pulls


def wait_for(port: int) -> None:
    end = time.monotonic() + _PORT_WAIT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


@dataclass(frozen=True)
class Registry:
    """What is collected, all below ``root``."""

    root: Path
    url: str
    contents: Contents
    port: int

    def configure(self, rate: float) -> Path:
        """A configuration in which collection has that rate."""
        config = self.root / f"{rate:.0f}.yml"
        document = {
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": f"{self.root}/data"}},
            "http": {"addr": f"127.0.0.1:{self.port}"},
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "longshore": {"database": {"url": self.url}, "gc": {"rate": rate}},
        }
        config.write_text(json.dumps(document))
        return config

    def fill(self) -> None:
        (self.root / "data").mkdir()
        self.collect()  # makes the tables
        fill(self.url, self.contents)
        make_objects(self.root / "data", self.contents)

    def collect(self) -> tuple[float, int]:
        """The seconds of a run as fast as it can, and the most memory of its own that it had."""
        since, memory = time.perf_counter(), 0
        words = [_longshore(), "gc", str(self.configure(0)), "-m"]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        while process.poll() is None:
            memory = max(memory, own_memory(process.pid))
            time.sleep(0.1)
        assert process.returncode == 0
        return time.perf_counter() - since, memory

    def watch(self, phases: Sequence[str], rate: float) -> None:
        """Pull from a server during a piece of each phase, and print what was noticed of it."""
        server = subprocess.Popen([_longshore(), "serve", str(self.configure(rate))])
        try:
            wait_for(self.port)
            pulling(self.port, self.contents)  # so that it has read what it remembers
            before = pulling(self.port, self.contents)
            for phase in phases:
                job = Job(self.url, phase)
                during = pulling(self.port, self.contents, job)
                job.cancel()
                after = pulling(self.port, self.contents)
                idle = (before.quantile(0.99) + after.quantile(0.99)) / 2
                slow = during.quantile(0.99)
                print(
                    f"| {phase} | {len(during.took)} | {before.quantile(0.5):.1f} ms | {idle:.1f} ms | "
                    f"{during.quantile(0.5):.1f} ms | {slow:.1f} ms | {slow / idle:.1f} |",
                    flush=True,
                )
                before = after
        finally:
            server.terminate()
            server.wait()


def _longshore() -> str:
    return str(Path(sys.executable).with_name("longshore"))


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def report(registry: Registry, rate: float) -> None:
    """Measure everything, and print it."""
    runs: list[str] = []

    def run(name: str) -> None:
        seconds, memory = registry.collect()
        runs.append(f"| {name} | {seconds:.0f} | {memory / 1e6:.0f} MB |")

    print("| phase | GETs | p50, idle | p99, idle | p50 | p99 | times |")
    print("| --- | --: | --: | --: | --: | --: | --: |", flush=True)
    registry.watch(("mark manifests", "mark links", "mark blobs", "mark storage"), rate)
    run("marks")
    age(registry.url)
    registry.watch(("sweep manifests", "sweep links", "sweep blobs"), rate)
    run("sweeps")
    run("finds nothing")
    print("\n| run, as fast as it can | seconds | memory |\n| --- | --: | --: |")
    print("\n".join(runs))


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill, mark, sweep, print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifests", type=int, default=100_000)
    parser.add_argument("--repositories", type=int, default=1000)
    parser.add_argument("--untagged", type=int, default=5, help="one of so many has no tag")
    parser.add_argument("--database", help="URL of an empty PostgreSQL; default: SQLite")
    parser.add_argument("--directory", type=Path, default=Path("/dev/shm"))
    parser.add_argument(
        "--rate", type=float, default=1000.0, help="longshore.gc.rate of the server"
    )
    options = parser.parse_args(arguments)
    contents = Contents(options.manifests, options.repositories, options.untagged)
    with tempfile.TemporaryDirectory(prefix="collection-", dir=options.directory) as name:
        url = options.database or f"sqlite:///{name}/longshore.db"
        registry = Registry(Path(name), url, contents, _free_port())
        print(f"making {contents.manifests} manifests", file=sys.stderr, flush=True)
        registry.fill()
        report(registry, options.rate)
    return 0


if __name__ == "__main__":
    sys.exit(main())
