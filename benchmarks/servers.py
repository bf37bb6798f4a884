"""The servers that are compared: found, started on fresh directories, watched, stopped."""

import base64
import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import bcrypt
import yaml

from benchmarks import processes
from benchmarks.failure import BenchmarkFailed
from benchmarks.wire import Connection

USER: Final = "bench"
PASSWORD: Final = "a pass phrase"
#: What ``htpasswd -B`` uses when it is not told otherwise.
BCRYPT_COST: Final = 5
_PATIENCE: Final = 60
_POLL: Final = 0.002


@dataclass(frozen=True)
class Program:
    """A registry that takes distribution's config.yml: ``command`` and then its path.

    ``seeded_on_disk``: long lists are made by writing distribution's own metadata.
    """

    name: str
    command: tuple[str, ...]
    version: str
    seeded_on_disk: bool = False


def longshore(program: str | None = None) -> Program:
    """The Longshore beside this Python, or the given program."""
    found = program or str(Path(sys.executable).with_name("longshore"))
    return Program("longshore", (found, "serve"), metadata.version("longshore"))


def peers(programs: Sequence[str] = ()) -> list[Program]:
    """distribution as Debian packages it, if it is installed, and the given programs."""
    found = [path for path in (shutil.which("docker-registry"), *programs) if path]
    return [
        Program(Path(path).name, (path, "serve"), _version(path), seeded_on_disk=True)
        for path in found
    ]


def sink() -> Program:
    """The server that does nothing; see :mod:`benchmarks.sink`."""
    return Program("nothing", (sys.executable, "-m", "benchmarks.sink"), "")


def _version(path: str) -> str:
    said = subprocess.run(
        [path, "--version"], capture_output=True, text=True, timeout=_PATIENCE, check=False
    )
    return (said.stdout.split() or ["unknown"])[-1]


@dataclass(frozen=True)
class Bucket:
    """Where bytes lie when it is not on this machine's disk.

    ``parameters`` is what `storage` says of it, for a server with the given root directory;
    ``drop`` removes objects of more than so many bytes below that, but for those of these digests.
    """

    parameters: Callable[[str], Mapping[str, Any]]
    drop: Callable[[str, int, Container[str]], None]


@dataclass(frozen=True)
class Setup:
    """How a server runs: who may ask, and where its bytes lie."""

    name: str
    login: bool = False
    memory: bool = False
    bucket: Bucket | None = None


class Server:
    """One running server. ``directory`` holds all that it writes; it is made here."""

    def __init__(self, program: Program, setup: Setup, directory: Path) -> None:
        directory.mkdir(parents=True)
        self.program, self.setup, self.directory = program, setup, directory
        self.root = directory / "data"
        self.address = ("127.0.0.1", _free_port())
        self._log = directory / "log"
        config = directory / "config.yml"
        config.write_text(yaml.safe_dump(self._config(), sort_keys=False))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*program.command, str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=self._environment(),
            )

    def _config(self) -> dict[str, Any]:
        """Debian's own config.yml, but for the address, the directory and the password file."""
        config: dict[str, Any] = {
            "version": 0.1,
            "log": {"fields": {"service": "registry"}},
            "storage": {
                "cache": {"blobdescriptor": "inmemory"},
                "filesystem": {"rootdirectory": str(self.root)},
                "delete": {"enabled": True},
            },
            "http": {
                "addr": f"{self.address[0]}:{self.address[1]}",
                "secret": secrets.token_hex(16),
                "headers": {"X-Content-Type-Options": ["nosniff"]},
            },
            "health": {"storagedriver": {"enabled": True, "interval": "10s", "threshold": 3}},
        }
        if self.setup.bucket:
            del config["storage"]["filesystem"]
            config["storage"].update(self.setup.bucket.parameters(self._prefix))
        if self.setup.login:
            passwords = self.directory / "htpasswd"
            digest = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(BCRYPT_COST))
            passwords.write_text(f"{USER}:{digest.decode()}\n")
            config["auth"] = {"htpasswd": {"realm": "benchmarks", "path": str(passwords)}}
        return config

    def _environment(self) -> dict[str, str]:
        """Nothing of AWS (distribution 2.8 panics at AWS_CA_BUNDLE). Longshore's record of a bucket
        would lie in /var/lib."""
        inherited = {name: os.environ[name] for name in os.environ if not name.startswith("AWS_")}
        if self.setup.bucket:
            inherited["LONGSHORE_DATABASE_URL"] = f"sqlite:///{self.directory}/longshore.db"
        return inherited

    @property
    def _prefix(self) -> str:
        """The root directory in a bucket."""
        return f"/{self.program.name}-{self.setup.name}"

    @property
    def headers(self) -> dict[str, str]:
        """What a client must send with every request."""
        if not self.setup.login:
            return {}
        credentials = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return {"Authorization": f"Basic {credentials}"}

    @property
    def url(self) -> str:
        return f"http://{self.address[0]}:{self.address[1]}"

    def connect(self) -> Connection:
        return Connection(self.address, self.headers)

    def wait(self) -> None:
        """Return as soon as the API answers with 200. Raises BenchmarkFailed."""
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise BenchmarkFailed(f"{self.program.name} does not answer:\n{self.tail()}")
            time.sleep(_POLL)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(*self.address, timeout=_PATIENCE)
        try:
            connection.request("GET", "/v2/", headers=self.headers)
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """End the server and remove what it wrote, but for its log."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        shutil.rmtree(self.root, ignore_errors=True)

    def tail(self) -> str:
        """The end of the server's log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])

    def shorten_log(self) -> None:
        """Drop what was logged: under load that is megabytes a second."""
        os.truncate(self._log, 0)

    def drop_blobs(self, larger: int, kept: Container[str]) -> None:
        """Remove the bytes of blobs of more than ``larger`` bytes behind the server's back.

        Bounds the disk space in use. Nobody asks for these again; every program here keeps them
        at the same place. ``kept`` are digests to spare.
        """
        if self.setup.bucket:
            self.setup.bucket.drop(self._prefix, larger, kept)
            return
        for data in self.root.glob("docker/registry/v2/blobs/sha256/*/*/data"):
            if data.stat().st_size > larger and f"sha256:{data.parent.name}" not in kept:
                shutil.rmtree(data.parent)

    def cpu_seconds(self) -> float:
        return processes.cpu_seconds(self._process.pid)

    def forget_peaks(self) -> None:
        processes.forget_peaks(self._process.pid)

    def peak_memory(self) -> int:
        """Bytes; see :func:`processes.peak_memory`."""
        return processes.peak_memory(self._process.pid)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
