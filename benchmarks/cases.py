"""What is measured, and the budget of each case."""

import http.client
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

from benchmarks import transfers, wrk
from benchmarks.content import (
    MANIFEST,
    REPOSITORY,
    TAG,
    TAGGED,
    Content,
    Scale,
    publish_lists,
    write_image,
)
from benchmarks.failure import BenchmarkFailed
from benchmarks.servers import Program, Server, Setup
from benchmarks.transfers import Source, in_parallel
from benchmarks.wire import Connection

OPEN: Final = Setup("open")
LOGIN: Final = Setup("login", login=True)
MEMORY: Final = Setup("memory", memory=True)
LISTS: Final = Setup("lists")
#: Cases that start and stop servers of their own.
NONE: Final = Setup("none")

_GO_TOOLS: Final = Path(__file__).parents[1] / ".tools/bin"


@dataclass(frozen=True)
class Sample:
    """One measurement: ``value`` in the case's unit; ``cpu`` in seconds of the server's CPU time
    for each operation, where that means something."""

    value: float
    cpu: float | None = None


@dataclass
class Bench:
    """What all measurements share. ``scratch`` is a directory for files that come and go."""

    scale: Scale
    content: Content
    scratch: Path
    numbers: Iterator[int] = field(default_factory=count)


@dataclass
class Contender:
    """A program in the comparison; ``server`` runs while its setup is measured."""

    program: Program
    bench: Bench
    directory: Path
    server: Server | None = None

    @property
    def running(self) -> Server:
        assert self.server is not None
        return self.server

    def start(self, setup: Setup) -> None:
        """Start the server with what the cases of ``setup`` ask for."""
        self.server = Server(self.program, setup, self.directory)
        self.server.wait()
        if setup == LISTS:
            publish_lists(self.server, self.bench.scale)
        else:
            self.bench.content.publish(self.server)

    def stop(self) -> None:
        if self.server:
            self.server.stop()
            self.server = None


@dataclass(frozen=True)
class Case:
    """``unit`` names the value, ``operation`` what the CPU time is for.

    ``at_least`` is the budget as a multiple of the peer, ``at_most`` as a value. ``once`` is for
    what takes long and varies little. ``of_client`` says whether the server that does nothing can
    take part.
    """

    name: str
    setup: Setup
    unit: str
    operation: str
    run: Callable[[Contender], Sample]
    more_is_better: bool = True
    at_least: float | None = None
    at_most: float | None = None
    once: bool = False
    of_client: bool = True

    def times_better(self, ours: float, theirs: float) -> float:
        return ours / theirs if self.more_is_better else theirs / ours


@contextmanager
def _metered(server: Server) -> Iterator[Callable[[], float]]:
    """Gives a function that tells the CPU seconds that the server has used since."""
    before = server.cpu_seconds()
    yield lambda: server.cpu_seconds() - before


# ── GET ───────────────────────────────────────────────────────────────────────────────────────


def _requests(contender: Contender, path: str, connections: int) -> Sample:
    server = contender.running
    headers = {**server.headers, "Accept": MANIFEST}
    with _metered(server) as cpu:
        load = wrk.get(server.url + path, connections, contender.bench.scale.seconds, headers)
        return Sample(load.requests / load.seconds, cpu() / load.requests)


def manifest_get(reference: str, connections: int, setup: Setup) -> Case:
    def run(contender: Contender) -> Sample:
        what = TAG if reference == "tag" else contender.bench.content.digest
        return _requests(contender, f"/v2/{REPOSITORY}/manifests/{what}", connections)

    return Case(
        f"manifest GET by {reference}, {_clients(connections)}"
        + (", htpasswd" if setup.login else ""),
        setup,
        "requests/s",
        "request",
        run,
        at_least=5 if reference == "tag" else None,
    )


def small_pull(
    connections: int, setup: Setup = OPEN, name: str = "blob pull, small", least: float | None = 1.5
) -> Case:
    def run(contender: Contender) -> Sample:
        digest = contender.bench.content.pulled_small.digest
        return _requests(contender, f"/v2/{REPOSITORY}/blobs/{digest}", connections)

    title = f"{name}, {_clients(connections)}"
    return Case(title, setup, "requests/s", "blob", run, at_least=least)


def large_pull(clients: int, setup: Setup = OPEN, least: float | None = 1.5) -> Case:
    def run(contender: Contender) -> Sample:
        content, server = contender.bench.content, contender.running

        def task(_number: int) -> transfers.Task:
            return lambda connection: transfers.pull(
                connection, REPOSITORY, content.pulled_large.digest
            )

        with _metered(server) as cpu:
            effort = in_parallel(server.connect, clients, contender.bench.scale.seconds, task)
            return _throughput(effort, content.large.size, cpu())

    name = f"blob pull, large, {_clients(clients)}"
    return Case(name, setup, "MB/s", "blob", run, at_least=least)


def _throughput(effort: transfers.Effort, size: int, cpu: float) -> Sample:
    return Sample(effort.done * size / 1e6 / effort.seconds, cpu / effort.done)


# ── push ──────────────────────────────────────────────────────────────────────────────────────


def _push(contender: Contender, source: Source, clients: int, chunk: int | None) -> Sample:
    bench, server = contender.bench, contender.running

    def task(number: int) -> transfers.Task:
        def push(connection: Connection) -> None:
            transfers.push(connection, f"bench/push{number}", source, source.blob(), chunk)

        return push

    with _metered(server) as cpu:
        effort = in_parallel(server.connect, clients, bench.scale.seconds, task)
        sample = _throughput(effort, source.size, cpu())
    server.drop_blobs(bench.scale.small, bench.content.kept)
    return sample


def push(large: bool, clients: int, chunked: bool, setup: Setup, least: float | None = 2) -> Case:
    def run(contender: Contender) -> Sample:
        bench = contender.bench
        source = bench.content.large if large else bench.content.small
        chunk = (bench.scale.chunk if large else bench.scale.small // 2) if chunked else None
        return _push(contender, source, clients, chunk)

    words = [
        "blob push",
        "large" if large else "small",
        "chunked" if chunked else "monolithic",
        _clients(clients),
        *(["in memory"] if setup.memory else []),
    ]
    return Case(", ".join(words), setup, "MB/s", "blob", run, at_least=least)


def storm() -> Case:
    def run(contender: Contender) -> Sample:
        bench, server = contender.bench, contender.running
        server.forget_peaks()
        _push(contender, bench.content.large, bench.scale.storm, None)
        return Sample(server.peak_memory() / 1e6)

    name = "largest process while many push at once"
    return Case(
        name, OPEN, "MB", "", run, more_is_better=False, at_most=300, once=True, of_client=False
    )


# ── images ────────────────────────────────────────────────────────────────────────────────────


def _crane(*arguments: str, home: Path) -> None:
    program = shutil.which("crane", path=f"{_GO_TOOLS}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        raise BenchmarkFailed("crane is not installed: run scripts/install-go-tools")
    done = subprocess.run(
        [program, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
    )
    if done.returncode:
        raise BenchmarkFailed(f"crane {' '.join(arguments)}: {done.stderr[-500:]}")


def _image(contender: Contender, pulls: bool) -> Sample:
    bench, server = contender.bench, contender.running
    directory = bench.scratch / f"image{next(bench.numbers)}"
    layout = write_image(directory / "pushed", bench.scale.image_layers, bench.scale.image_layer)
    name = f"{server.url.removeprefix('http://')}/bench/{directory.name}:{TAG}"
    try:
        if pulls:
            _crane("push", str(layout), name, home=directory)
        with _metered(server) as cpu:
            began = time.monotonic()
            if pulls:
                _crane("pull", "--format=oci", name, str(directory / "pulled"), home=directory)
            else:
                _crane("push", str(layout), name, home=directory)
            return Sample(time.monotonic() - began, cpu())
    finally:
        shutil.rmtree(directory)


def image(what: str) -> Case:
    def run(contender: Contender) -> Sample:
        return _image(contender, what == "pull")

    name = f"crane {what} of an image"
    return Case(name, OPEN, "s", "image", run, more_is_better=False, of_client=False)


# ── lists ─────────────────────────────────────────────────────────────────────────────────────


def _listing(contender: Contender, first: str, expected: int, names: str) -> Sample:
    """Read a list again and again until the time is over, after one look at what is in it."""
    server, seconds = contender.running, contender.bench.scale.seconds
    connection = server.connect()
    size = len(whole := _read_list(connection, first))
    found = len(re.findall(names.encode(), whole))
    if found != expected:
        raise BenchmarkFailed(f"{first} listed {found} names, not {expected}")
    done = 0
    with _metered(server) as cpu:
        began = time.monotonic()
        while done == 0 or time.monotonic() < began + seconds:
            if len(_read_list(connection, first)) != size:
                raise BenchmarkFailed(f"{first} is another list each time")
            done += 1
        took = time.monotonic() - began
        connection.close()
        return Sample(took / done, cpu() / done)


def _read_list(connection: Connection, first: str) -> bytes:
    """The bodies of all pages."""
    bodies = []
    target: str | None = first
    while target:
        connection.send("GET", target)
        reply = connection.receive(http.client.OK, keep=True)
        bodies.append(reply.body)
        target = _next_page(reply.headers.get("link", ""))
    return b"".join(bodies)


def _next_page(link: str) -> str | None:
    found = re.match(r"<(?:https?://[^/]+)?(/[^>]*)>", link)
    return found[1] if found else None


def tags_list() -> Case:
    def run(contender: Contender) -> Sample:
        path = f"/v2/{TAGGED}/tags/list"
        return _listing(contender, path, contender.bench.scale.tags, r'"v\d{5}"')

    return _list_case("tags/list", run)


def catalog() -> Case:
    def run(contender: Contender) -> Sample:
        expected = contender.bench.scale.repositories
        return _listing(contender, "/v2/_catalog?n=1000", expected, r'"team\d\d/project\d{5}"')

    return _list_case("_catalog in pages of 1,000", run)


def _list_case(name: str, run: Callable[[Contender], Sample]) -> Case:
    return Case(name, LISTS, "s", "list", run, more_is_better=False, at_least=20, of_client=False)


# ── start ─────────────────────────────────────────────────────────────────────────────────────


def cold_start() -> Case:
    def run(contender: Contender) -> Sample:
        directory = contender.directory / f"start{next(contender.bench.numbers)}"
        began = time.monotonic()
        server = Server(contender.program, OPEN, directory)
        try:
            server.wait()
            return Sample(time.monotonic() - began, server.cpu_seconds())
        finally:
            server.stop()

    name = "start on an empty directory to first 200"
    return Case(name, NONE, "s", "start", run, more_is_better=False, at_most=1.5, of_client=False)


def _clients(number: int) -> str:
    return f"{number} client{'s' if number > 1 else ''}"


CASES: Final = (
    *(
        manifest_get(reference, connections, setup)
        for setup in (OPEN, LOGIN)
        for reference in ("tag", "digest")
        for connections in (1, 32, 256)
    ),
    *(small_pull(connections) for connections in (1, 64)),
    *(large_pull(clients) for clients in (1, 64)),
    *(
        push(large, clients, chunked, setup)
        for setup in (OPEN, MEMORY)
        for large in (False, True)
        for chunked in (False, True)
        for clients in (1, 16)
        if large or not setup.memory
    ),
    image("push"),
    image("pull"),
    tags_list(),
    catalog(),
    storm(),
    cold_start(),
)
