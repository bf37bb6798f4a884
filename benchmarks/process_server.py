"""Granian and uvicorn side by side, under Longshore's own process server: which one is the default.

``python -m benchmarks.process_server [--rounds N] [--seconds N]`` serves one small application with
each engine, plain and over TLS, in alternation, and prints medians as a Markdown table. The reply
from memory stands for a manifest, the upload is hashed in a thread as a blob is, the downloads come
from a file. Results and what follows from them: docs/decisions/006-process-server.md.
"""

import argparse
import asyncio
import contextlib
import hashlib
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import wrk
from benchmarks.failure import BenchmarkFailed
from longshore.http.application import Application
from longshore.http.certificates import issue
from longshore.http.request import Request
from longshore.http.response import FileResponse, Response, StreamResponse
from longshore.http.routing import Route
from longshore.http.server import Engine, ServerOptions, Service
from longshore.http.server.run import serve
from longshore.http.tls import TLSOptions

ENGINES: Final = (Engine.GRANIAN, Engine.UVICORN)
#: Most of the time of many TLS connections would be their handshakes.
CONNECTIONS: Final = {"plain": (1, 32, 256), "TLS": (1, 32)}
_LARGE: Final = 100_000_000
_UPLOAD: Final = 64_000_000
_PIECE: Final = 1 << 18


@dataclass(frozen=True)
class Case:
    """``measure`` gets the server's base URL and returns ``unit`` a second."""

    name: str
    unit: str
    measure: Callable[[str], float]


def application(file: Path) -> Application:
    """What a registry does with the server, and nothing else."""
    manifest = b"m" * 1000

    async def get(request: Request) -> Response:
        return Response(200, {"Content-Type": "application/json"}, manifest)

    async def upload(request: Request) -> Response:
        content = hashlib.sha256()
        async for batch in request.batches():
            await asyncio.to_thread(content.update, batch)
        return Response(201, {"Docker-Content-Digest": f"sha256:{content.hexdigest()}"})

    async def named(request: Request) -> Response:
        return FileResponse(200, {}, file, 0, _LARGE, _LARGE)

    async def pieces(request: Request) -> Response:
        async def read() -> AsyncGenerator[bytes, None]:
            with file.open("rb") as source:
                while piece := await asyncio.to_thread(source.read, _PIECE):
                    yield piece

        return StreamResponse(200, {}, read(), _LARGE)

    handlers = {"/get": ("GET", get), "/upload": ("PUT", upload)}
    handlers |= {"/file": ("GET", named), "/pieces": ("GET", pieces)}
    routes = [Route(path, path, {verb: does}, "") for path, (verb, does) in handlers.items()]
    return Application(routes, contextlib.nullcontext())


@contextlib.contextmanager
def served(engine: Engine, file: Path, tls: TLSOptions | None) -> Iterator[str]:
    """The application, by as many workers as there are CPUs, until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    options = ServerOptions(f"127.0.0.1:{port}", engine=engine, tls=tls, drain=5)
    process = multiprocessing.get_context("fork").Process(
        target=serve, args=(lambda _slot: Service(application(file)), options)
    )
    process.start()
    try:
        _wait(port)
        # The second worker starts when the first is ready.
        time.sleep(0.5)
        yield f"{options.scheme}://127.0.0.1:{port}"
    finally:
        os.kill(process.pid or 0, signal.SIGTERM)
        process.join()


def _wait(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError as error:
            if time.monotonic() > deadline:
                raise BenchmarkFailed("the server did not start") from error
            time.sleep(0.02)
        else:
            return


def cases(upload: Path, seconds: int, connections: Sequence[int]) -> list[Case]:
    """Everything that is measured, with this file to upload."""

    def get(connections: int) -> Callable[[str], float]:
        def measure(base: str) -> float:
            load = wrk.get(f"{base}/get", connections, seconds, {})
            return load.requests / load.seconds

        return measure

    def transfer(path: str, clients: int, size: int, *more: str) -> Callable[[str], float]:
        def measure(base: str) -> float:
            return _curl(f"{base}{path}", clients, *more) * size / 1e6

        return measure

    put = ("--upload-file", str(upload))
    return [
        *(Case(f"GET 1 kB, {n} connections", "requests", get(n)) for n in connections),
        *(Case(f"PUT 64 MB, {n} at once", "MB", transfer("/upload", n, _UPLOAD, *put)) for n in (1, 4)),
        *(Case(f"GET 100 MB by file name, {n} at once", "MB", transfer("/file", n, _LARGE)) for n in (1, 8)),
        *(Case(f"GET 100 MB in pieces, {n} at once", "MB", transfer("/pieces", n, _LARGE)) for n in (1, 8)),
    ]  # fmt: skip


def _curl(url: str, clients: int, *options: str) -> float:
    """Transfers a second, of ``clients`` at once."""
    program = shutil.which("curl")
    if program is None:
        raise BenchmarkFailed("curl is not installed")
    command = [program, "--silent", "--fail", "--insecure", "--output", "/dev/null", *options, url]
    began = time.monotonic()
    running = [subprocess.Popen(command) for _ in range(clients)]
    codes = [one.wait(120) for one in running]
    if any(codes):
        raise BenchmarkFailed(f"curl {url} ended with codes {codes}")
    return clients / (time.monotonic() - began)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each load of GET requests")
    given = parser.parse_args()
    found: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    units: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="longshore-bench-") as scratch:
        file, upload = Path(scratch, "large"), Path(scratch, "upload")
        file.write_bytes(os.urandom(_LARGE))
        upload.write_bytes(file.read_bytes()[:_UPLOAD])
        pair = issue(Path(scratch), ["127.0.0.1"])
        transports = {"plain": None, "TLS": TLSOptions(pair.certificate, pair.key)}
        for _ in range(given.rounds):
            for transport, tls in transports.items():
                for engine in ENGINES:
                    with served(engine, file, tls) as base:
                        for case in cases(upload, given.seconds, CONNECTIONS[transport]):
                            name = f"{case.name}, {transport}"
                            units[name] = case.unit
                            found[name, engine.value].append(case.measure(base))
    print(table(found, units))


def table(found: dict[tuple[str, str], list[float]], units: dict[str, str]) -> str:
    """Medians with the range, and how many times faster the first engine is."""
    first, second = (engine.value for engine in ENGINES)
    lines = [f"| case | {first} | {second} | ratio |", "|---|---:|---:|---:|"]
    for name, unit in units.items():
        ours, theirs = found[name, first], found[name, second]
        ratio = median(ours) / median(theirs)
        lines.append(f"| {name} | {_shown(ours, unit)} | {_shown(theirs, unit)} | {ratio:.2f} |")
    return "\n".join(lines)


def _shown(samples: list[float], unit: str) -> str:
    return f"{median(samples):,.0f} {unit}/s ({min(samples):,.0f}..{max(samples):,.0f})"


if __name__ == "__main__":
    main()
