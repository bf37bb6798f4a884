"""How fast another registry's data is taken over: python -m benchmarks.adoption [--manifests N]

Makes a directory as distribution would have left it: images of five layers shared by their repository
and a config of their own, each with one tag. Every step is a command in a process of its own: what it
took, how many manifests a second that is, and the most memory of its own that the process had (not
what it has mapped of the database's file, which the system takes back when it needs it). Last a server
takes over the same data while one client pulls tags, in an order by chance, and another pushes them.
"""

import argparse
import hashlib
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.processes import own_memory
from benchmarks.servers import Server, Setup, longshore

_LAYERS: Final = 5
#: Seconds between looks at the memory.
_SAMPLE: Final = 0.05
_TREE: Final = "docker/registry/v2"
_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
_STEPS: Final = (
    ("adopt --check", ("adopt", "--check")),
    ("adopt (then all is served)", ("adopt",)),
    ("adopt --wait (the job)", ("adopt", "--wait")),
    ("export-links, nothing missing", ("export-links",)),
    ("reindex --replace", ("reindex", "--replace")),
)


@dataclass(frozen=True)
class Measured:
    """Wall-clock and CPU seconds, and bytes of memory at most."""

    seconds: float
    cpu: float
    memory: int


class Tree:
    """What distribution keeps below ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = str(root / _TREE)

    def image(self, repository: str, tag: str, layers: Sequence[dict[str, Any]]) -> None:
        """One image with a config of its own."""
        config = self.blob(repository, f'{{"of": "{repository}:{tag}"}}'.encode(), _CONFIG)
        document = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": config,
            "layers": layers,
            "annotations": {"org.opencontainers.image.version": tag},
        }
        digest = self._store(json.dumps(document).encode())
        hexadecimal = digest.partition(":")[2]
        below = f"repositories/{repository}/_manifests"
        for path in (
            f"{below}/revisions/sha256/{hexadecimal}/link",
            f"{below}/tags/{tag}/current/link",
            f"{below}/tags/{tag}/index/sha256/{hexadecimal}/link",
        ):
            self._write(path, digest.encode())

    def blob(self, repository: str, content: bytes, media_type: str) -> dict[str, Any]:
        """A blob with its link; its descriptor."""
        digest = self._store(content)
        path = f"repositories/{repository}/_layers/{digest.replace(':', '/')}/link"
        self._write(path, digest.encode())
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def _store(self, content: bytes) -> str:
        hexadecimal = hashlib.sha256(content).hexdigest()
        self._write(f"blobs/sha256/{hexadecimal[:2]}/{hexadecimal}/data", content)
        return f"sha256:{hexadecimal}"

    def _write(self, path: str, content: bytes) -> None:
        file = f"{self._root}/{path}"
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(file, "wb", buffering=0) as output:
            output.write(content)


def make(root: Path, manifests: int, repositories: int) -> None:
    """A tree of that many images, spread evenly."""
    tree = Tree(root)
    for number in range(repositories):
        name = f"team{number % 20}/app{number}"
        layers = [tree.blob(name, f"{name} {n}".encode(), _LAYER) for n in range(_LAYERS)]
        for tag in range(manifests // repositories):
            tree.image(name, f"v{tag}", layers)


def measure(words: Sequence[str], config: Path) -> Measured:
    """Run a command of the Longshore beside this Python. Raises CalledProcessError."""
    program = Path(sys.executable).with_name("longshore")
    since = time.perf_counter()
    process = subprocess.Popen(
        [str(program), words[0], str(config), *words[1:]], stdout=subprocess.DEVNULL
    )
    memory = 0
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        memory = max(memory, own_memory(process.pid))
        time.sleep(_SAMPLE)
    seconds = time.perf_counter() - since
    process.returncode = os.waitstatus_to_exitcode(ended[1])
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words)
    return Measured(seconds, ended[2].ru_utime + ended[2].ru_stime, memory)


def serve(root: Path, manifests: int, repositories: int) -> list[str]:
    """Pull and push while a server's workers take the tree over; rows of a table."""
    server = Server(longshore(), Setup("adoption"), root / "server")
    try:
        server.wait()
        (root / "data" / "docker").rename(server.root / "docker")
        measure(("adopt",), server.directory / "config.yml")
        done = threading.Event()
        chance = random.Random(1)  # noqa: S311 - nothing secret

        def some_tag() -> str:
            number = chance.randrange(repositories)
            name = f"team{number % 20}/app{number}"
            return f"/v2/{name}/manifests/v{chance.randrange(manifests // repositories)}"

        def push() -> list[float]:
            connection, times = server.connect(), []
            while not done.is_set():
                path = some_tag()
                connection.send("GET", path)
                content = connection.receive(200, keep=True).body
                since = time.perf_counter()
                connection.send("PUT", f"{path}-again", {"Content-Type": _MANIFEST}, body=content)
                connection.receive(201)
                times.append(time.perf_counter() - since)
            return times

        with ThreadPoolExecutor(1) as pool:
            pushing = pool.submit(push)
            connection, pulls = server.connect(), []
            since = time.perf_counter()
            while _waiting(server.root / "longshore.db"):
                for _ in range(50):
                    before = time.perf_counter()
                    connection.send("GET", some_tag())
                    connection.receive(200)
                    pulls.append(time.perf_counter() - before)
            seconds = time.perf_counter() - since
            done.set()
            pushes = pushing.result()
        return [
            f"the job lasted {seconds:.0f} s ({manifests / seconds:,.0f} manifests/s) meanwhile",
            f"pulls: {_spread(pulls)}",
            f"pushes of a manifest: {_spread(pushes)}",
        ]
    finally:
        server.stop()


def _waiting(database: Path) -> bool:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        state = connection.execute("SELECT value FROM settings WHERE name = 'adoption'").fetchone()
    return bool(state) and "running" in state[0]


def _spread(seconds: Sequence[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100)
    milliseconds = [cuts[49], cuts[98], max(seconds)]
    median, late, worst = (f"{one * 1000:.1f} ms" for one in milliseconds)
    return f"{len(seconds)}; median {median}, 99 of 100 within {late}, the slowest {worst}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a tree, run every step, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifests", type=int, default=100_000)
    parser.add_argument("--repositories", type=int, default=1000)
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"))
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="longshore-bench-", dir=options.directory) as name:
        root = Path(name)
        print(f"making {options.manifests} manifests in {root}", file=sys.stderr, flush=True)
        make(root / "data", options.manifests, options.repositories)
        config = root / "config.yml"
        config.write_text(
            f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {root}/data}}}}\n"
        )
        print("| step | seconds | manifests/s | CPU | memory |\n| --- | --: | --: | --: | --: |")
        for title, words in _STEPS:
            found = measure(words, config)
            print(
                f"| {title} | {found.seconds:.1f} | {options.manifests / found.seconds:,.0f} | "
                f"{found.cpu:.1f} s | {found.memory / 1e6:.0f} MB |",
                flush=True,
            )
        for line in serve(root, options.manifests, options.repositories):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
