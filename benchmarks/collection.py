"""What garbage collection takes, and what pulls notice of it: python -m benchmarks.collection

Fills a registry with images of ten blobs each, a fifth of them without a tag, then starts a server and
runs ``longshore gc -m`` twice: once to mark, and, when everything has aged, once to sweep. Meanwhile four
clients GET manifests by tag. Rows are written directly, objects are small files: their number counts.
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import psycopg
import sqlalchemy
from sqlalchemy import create_engine

_BLOBS_EACH: Final = 10
_UNTAGGED: Final = 5
_CLIENTS: Final = 4
_PORT_WAIT: Final = 60.0
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
Row = tuple[Any, ...]


class Rows(Protocol):
    """What a database is filled with."""

    def rows(self) -> Iterator[tuple[str, str, Iterable[Row]]]:
        """Table, columns, rows."""


@dataclass(frozen=True)
class Contents:
    """What is made: so many manifests in so many repositories."""

    manifests: int
    repositories: int

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
                if n % _UNTAGGED
            ),
        )


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def fill(url: str, contents: Rows) -> None:
    """Write the rows, as fast as the database takes them."""
    engine = create_engine(url)
    with engine.begin() as connection:
        driver = connection.connection.driver_connection
        for table, columns, rows in contents.rows():
            if isinstance(driver, psycopg.Connection):
                with driver.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)
            elif driver is not None:
                marks = ", ".join("?" * len(columns.split(",")))
                driver.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)  # noqa: S608 - names of ours
    engine.dispose()
    analyze(url)


def analyze(url: str) -> None:
    """Tell planners what there is."""
    engine = create_engine(url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sqlalchemy.text("ANALYZE" if "sqlite" in url else "VACUUM ANALYZE"))
    engine.dispose()


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
            if number % _UNTAGGED == 0:
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


def pulling(
    port: int, contents: Contents, command: Sequence[str] | None
) -> tuple[Pulls, float, int]:
    """Pull while the command runs (None: for ten seconds); its seconds, and the most memory of its own
    that it had (files that it maps are not counted)."""
    pulls = Pulls(port, contents)
    with ThreadPoolExecutor(_CLIENTS) as threads:
        work = [threads.submit(pulls.run, seed) for seed in range(_CLIENTS)]
        since, memory = time.perf_counter(), 0
        if command is None:
            time.sleep(10)
        else:
            process = subprocess.Popen(command)
            while process.poll() is None:
                memory = max(memory, own_memory(process.pid))
                time.sleep(0.1)
            assert process.returncode == 0
        seconds = time.perf_counter() - since
        pulls.stopped.set()
        for one in work:
            one.result()
    return pulls, seconds, memory


def own_memory(pid: int) -> int:
    """Resident bytes that are no file's."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(found[0]) * 1024 if found else 0


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


def prepare(root: Path, url: str, contents: Contents, rate: float) -> tuple[int, Path]:
    """Make everything below ``root``; the server's port and its configuration."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = root / "config.yml"
    document = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": f"{root}/data"}},
        "http": {"addr": f"127.0.0.1:{port}"},
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "longshore": {
            "database": {"url": url},
            "jobs": {"enabled": False},
            "gc": {"rate": rate},
        },
    }
    config.write_text(json.dumps(document))
    (root / "data").mkdir()
    command = [_longshore(), "gc", str(config)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    fill(url, contents)
    make_objects(root / "data", contents)
    return port, config


def measure(port: int, config: Path, url: str, contents: Contents) -> None:
    """Start the server, and print a table."""
    server = subprocess.Popen([_longshore(), "serve", str(config)])
    try:
        wait_for(port)
        report(port, contents, [_longshore(), "gc", str(config), "-m"], url)
    finally:
        server.terminate()
        server.wait()


def _longshore() -> str:
    return str(Path(sys.executable).with_name("longshore"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill, mark, sweep, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifests", type=int, default=100_000)
    parser.add_argument("--repositories", type=int, default=1000)
    parser.add_argument("--database", help="URL of an empty PostgreSQL; default: SQLite")
    parser.add_argument("--directory", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--rate", type=float, default=0.0, help="longshore.gc.rate")
    options = parser.parse_args(arguments)
    contents = Contents(options.manifests, options.repositories)
    with tempfile.TemporaryDirectory(prefix="collection-", dir=options.directory) as name:
        url = options.database or f"sqlite:///{name}/longshore.db"
        print(f"making {contents.manifests} manifests", file=sys.stderr, flush=True)
        port, config = prepare(Path(name), url, contents, options.rate)
        measure(port, config, url, contents)
    return 0


def report(port: int, contents: Contents, command: Sequence[str], url: str) -> None:
    """Measure each phase, and print it."""
    print("| phase | seconds | memory | GETs/s | GET p50 | GET p99 |")
    print("| --- | --: | --: | --: | --: | --: |")
    for phase in ("idle", "mark", "sweep", "nothing left"):
        if phase == "sweep":
            age(url)
        pulls, seconds, memory = pulling(port, contents, None if phase == "idle" else command)
        print(
            f"| {phase} | {seconds:.1f} | {memory / 1e6:.0f} MB | {len(pulls.took) / seconds:.0f} | "
            f"{pulls.quantile(0.5):.1f} ms | {pulls.quantile(0.99):.1f} ms |",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
