"""A server of the test application, in processes of its own."""

import http.client
import json
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.services.processes import Service, free_port

_PROGRAM = Path(__file__).with_name("program.py")


class Running:
    """A started server. ``get`` opens a new connection for each request."""

    def __init__(self, log: Path, options: dict[str, Any]) -> None:
        self.port = 0
        if not options.get("unix"):
            self.port = free_port()
            options.setdefault("address", f"127.0.0.1:{self.port}")
        self.tls: ssl.SSLContext | None = None
        self.opened: list[http.client.HTTPConnection] = []
        self.service = Service("test server", [sys.executable, _PROGRAM, json.dumps(options)], log)

    def wait(self) -> "Running":
        self.service.wait_until(lambda: "ready " in self.log)
        return self

    @property
    def log(self) -> str:
        return self.service.log.read_text()

    @property
    def exit_code(self) -> int:
        return self.service.process.wait(10)

    def connect(
        self, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> http.client.HTTPConnection:
        """A connection for several requests; closed with the server."""
        context = tls or self.tls
        if context and not port:
            made: http.client.HTTPConnection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=10, context=context
            )
        else:
            made = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=10)
        self.opened.append(made)
        return made

    def get(self, path: str = "/pid", **how: Any) -> Any:
        connection = self.connect(**how)
        try:
            return ask(connection, path)
        finally:
            connection.close()

    def raw(self, request: bytes) -> bytes:
        """The first bytes of the answer to bytes that need not be HTTP."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            with suppress(ConnectionError):
                connection.sendall(request)
            return connection.recv(4096)

    def wait_for_all(self) -> "Running":
        """Wait until every worker answers: they read certificates when they start."""
        self.wait()
        eventually(lambda: {self.get()["pid"] for _ in range(20)} == self.workers(), 15)
        return self

    def workers(self) -> set[int]:
        """Process ids of the workers that live now."""
        listed = Path(f"/proc/{self.service.pid}/task/{self.service.pid}/children").read_text()
        return {int(word) for word in listed.split()}


def ask(connection: http.client.HTTPConnection, path: str = "/pid") -> Any:
    """What the test application answers on a connection that stays open."""
    connection.request("GET", path)
    return json.loads(connection.getresponse().read())


def eventually(condition: Callable[[], bool], seconds: float = 5) -> None:
    """Wait until the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start servers; all are ended, and waited for, after the test."""
    started: list[Running] = []

    def begin(**options: Any) -> Running:
        running = Running(tmp_path / f"server{len(started)}.log", {"workers": 2, **options})
        started.append(running)
        return running

    yield begin
    for running in started:
        for connection in running.opened:
            connection.close()
        running.service.forget()
        if running.service.process.poll() is None:
            running.service.process.kill()
            running.service.process.wait()


@pytest.fixture(params=["granian", "uvicorn"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)
