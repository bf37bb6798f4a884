"""`longshore serve` and `registry serve`: whole servers, as an operator sees them."""

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.services.processes import Service, free_port, listening

#: Made once: httpx would read every authority of this machine for each request without TLS.
_UNUSED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
DIGEST = "sha256:" + "0" * 64


class Server:
    """A server on ports of its own; ``log`` is everything it wrote."""

    def __init__(self, directory: Path, settings: dict[str, Any], command: list[str]) -> None:
        self.port, self.debug = free_port(), free_port()
        self._read = 0
        http_settings = {
            "addr": f"127.0.0.1:{self.port}",
            "debug": {"addr": f"127.0.0.1:{self.debug}", "prometheus": {"enabled": True}},
        }
        configuration = {
            "version": 0.1,
            "log": {"formatter": "json"},
            "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
            **settings,
            "http": {**http_settings, **settings.get("http", {})},
        }
        self.configuration = directory / "config.yml"
        self.configuration.write_text(yaml.safe_dump(configuration))
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "TMPDIR": str(directory.parent),
        }
        if "CONFIG" not in command:
            environment["REGISTRY_CONFIGURATION_PATH"] = str(self.configuration)
        program = Path(sys.executable).with_name(command[0])
        words = [str(self.configuration) if word == "CONFIG" else word for word in command[1:]]
        self.service = Service(
            command[0], [program, *words], directory / "server.log", env=environment
        )

    def wait(self) -> "Server":
        self.service.wait_until(lambda: listening(self.port) and '"ready: ' in self.log)
        return self

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(
            f"http://127.0.0.1:{self.port}{path}", verify=_UNUSED, timeout=10, **options
        )

    def ask_debug(self, path: str, method: str = "GET") -> httpx.Response:
        return httpx.request(
            method, f"http://127.0.0.1:{self.debug}{path}", verify=_UNUSED, timeout=10
        )

    def mark(self) -> None:
        """Forget what the log has so far."""
        self._read = self.service.log.stat().st_size

    @property
    def log(self) -> str:
        with self.service.log.open() as source:
            source.seek(self._read)
            return source.read()

    def entries(self, message: str) -> list[dict[str, Any]]:
        """What the log has under this message."""
        found = [json.loads(line) for line in self.log.splitlines()]
        return [entry for entry in found if entry["msg"] == message]

    def requests(self, count: int) -> list[dict[str, Any]]:
        """The access log, once it has so many lines."""
        eventually(lambda: len(self.entries("request")) >= count)
        return self.entries("request")

    @property
    def exit_code(self) -> int:
        return self.service.process.wait(15)


def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


Start = Callable[..., Server]


@contextlib.contextmanager
def starting(directory: Path) -> Iterator[Start]:
    started: list[Server] = []

    def begin(*command: str, **settings: Any) -> Server:
        words = list(command) or ["longshore", "serve", "CONFIG"]
        own = directory / str(len(started))
        own.mkdir()
        started.append(Server(own, settings, words))
        return started[-1]

    yield begin
    for server in started:
        server.service.forget()
        if server.service.process.poll() is None:
            server.service.process.kill()
            server.service.process.wait()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Servers of this test alone."""
    with starting(tmp_path) as begin:
        yield begin


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that no test changes for good."""
    with starting(tmp_path_factory.mktemp("shared")) as begin:
        yield begin(
            longshore={"http": {"workers": 3}},
            log={"formatter": "json", "fields": {"service": "registry"}},
        ).wait()


@pytest.fixture
def server(shared: Server) -> Server:
    """It, with a log that begins now."""
    shared.mark()
    return shared


@pytest.mark.parametrize(
    "command",
    [
        ("longshore", "serve"),
        ("registry", "serve", "CONFIG"),
    ],
)
def test_a_configuration_may_be_named_in_the_command_or_the_environment(
    start: Start, command: tuple[str, ...]
):
    server = start(*command).wait()

    assert server.get("/v2/").status_code == 200
    assert server.entries("starting")[0]["address"] == f"http://127.0.0.1:{server.port}"
    assert server.service.stop() == 0


def test_every_problem_of_a_configuration_is_told_before_the_exit(start: Start):
    server = start(log={"level": "loud"}, http={"addr": "nowhere", "net": "pigeon"})

    assert server.exit_code == 1
    assert "log.level" in server.log
    assert "http.net" in server.log
    assert "Traceback" not in server.log


def test_a_taken_port_is_one_sentence(start: Start):
    first = start().wait()
    second = start(http={"addr": f"127.0.0.1:{first.port}"})

    assert second.exit_code == 1
    assert "another program listens there" in second.log.splitlines()[-1]
    assert "Traceback" not in second.log


def test_a_directory_that_cannot_be_written_is_named(start: Start, tmp_path: Path):
    (tmp_path / "file").write_text("")
    server = start(storage={"filesystem": {"rootdirectory": str(tmp_path / "file" / "data")}})

    assert server.exit_code == 1
    assert str(tmp_path / "file") in server.log
    assert "Traceback" not in server.log


def test_an_upload_in_flight_survives_the_stop(start: Start):
    server = start().wait()
    begun = httpx.post(f"http://127.0.0.1:{server.port}/v2/team/app/blobs/uploads/")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.putrequest("PATCH", begun.headers["Location"])
    connection.putheader("Content-Length", "2000")
    connection.putheader("Content-Type", "application/octet-stream")
    connection.endheaders(b"a" * 1000)
    time.sleep(0.3)

    server.service.process.send_signal(signal.SIGTERM)
    eventually(lambda: not listening(server.port))
    connection.send(b"a" * 1000)
    with contextlib.closing(connection):
        reply = connection.getresponse()

        assert reply.status == 202
        assert reply.headers["Range"] == "0-1999"
    assert server.exit_code == 0


def test_metrics_add_up_over_the_workers(server: Server):
    for _ in range(60):
        server.get("/startupz")

    def counted() -> float:
        text = server.ask_debug("/metrics").text
        prefix = 'registry_http_requests_total{code="200",handler="started",method="get"} '
        return sum(
            float(line.removeprefix(prefix))
            for line in text.splitlines()
            if line.startswith(prefix)
        )

    eventually(lambda: counted() == 60)
    assert "longshore_workers 3.0" in server.ask_debug("/metrics").text


def test_the_switch_takes_every_worker_out_of_service(server: Server):
    def everybody_answers(path: str, status: int) -> bool:
        # Workers look at the switch on their own, and nobody chooses whom a connection goes to.
        return {server.get(path).status_code for _ in range(30)} == {status}

    assert server.ask_debug("/debug/health").json() == {}

    server.ask_debug("/debug/health/down", "POST")
    try:
        eventually(lambda: everybody_answers("/v2/", 503))
        eventually(lambda: everybody_answers("/readyz", 503))
        refusals = [server.get("/v2/") for _ in range(10)]
        assert server.get("/livez").status_code == 200
        assert server.get("/").status_code == 200
    finally:
        server.ask_debug("/debug/health/up", "POST")
        eventually(lambda: everybody_answers("/v2/", 200))

    assert {each.json()["errors"][0]["code"] for each in refusals} == {"UNAVAILABLE"}


def test_a_file_check_of_the_configuration_is_watched(start: Start, tmp_path: Path):
    closed = tmp_path / "closed"
    checks = {"file": [{"file": str(closed), "interval": "100ms"}]}
    server = start(health=checks).wait()
    assert server.get("/v2/").status_code == 200

    closed.touch()

    eventually(lambda: server.get("/v2/").status_code == 503)
    # Each worker looks for itself, and another one may answer here.
    said = {str(closed): f"file {closed} exists"}
    eventually(lambda: server.ask_debug("/debug/health").json() == said)


def test_the_access_log_says_who_wanted_what(server: Server):
    server.get(f"/v2/team/app/manifests/{DIGEST}", headers={"User-Agent": "probe/1"})

    # What another worker did before may reach the file later.
    eventually(lambda: any(entry.get("agent") == "probe/1" for entry in server.requests(1)))
    entry = next(entry for entry in server.requests(1) if entry.get("agent") == "probe/1")
    assert entry["repository"] == "team/app"
    assert entry["reference"] == DIGEST
    assert entry["status"] == 404
    assert entry["reason"] == "NAME_UNKNOWN"
    assert entry["agent"] == "probe/1"
    assert entry["client"] == "127.0.0.1"
    assert entry["service"] == "registry"


def test_no_request_can_write_a_line_of_its_own(start: Start):
    server = start(log={"formatter": "text"})
    server.service.wait_until(lambda: "ready: " in server.log)
    server.get("/v2/a%0Alevel=info%20msg=forged%00%1b%5b31m", headers={"User-Agent": 'x" status=1'})
    eventually(lambda: "forged" in server.log)

    lines = [line for line in server.log.splitlines() if "forged" in line]

    assert len(lines) == 1
    assert not any(line.startswith("level=info msg=forged") for line in server.log.splitlines())
    assert "\x1b" not in server.log


_SPOOF = {"X-Forwarded-For": "1.1.1.1, 192.0.2.7", "X-Forwarded-Host": "registry.example"}


def test_a_trusted_proxy_is_believed_but_not_what_its_client_invented(server: Server):
    path = "/v2/spoofed/tags/list"
    server.get(path, headers=_SPOOF)

    # The line of another test's request may come late.
    eventually(lambda: any(entry["path"] == path for entry in server.entries("request")))
    (entry,) = [entry for entry in server.entries("request") if entry["path"] == path]
    assert entry["client"] == "192.0.2.7"
    assert entry["host"] == "registry.example"


def test_an_address_that_is_not_trusted_is_not_believed(start: Start):
    wary = start(longshore={"http": {"trustedproxies": ["192.0.2.0/24"]}}).wait()
    wary.get("/v2/", headers=_SPOOF)

    assert wary.requests(1)[0]["client"] == "127.0.0.1"
    assert wary.requests(1)[0]["host"] == f"127.0.0.1:{wary.port}"


def test_a_client_that_goes_away_is_no_error(server: Server):
    begun = httpx.post(f"http://127.0.0.1:{server.port}/v2/team/app/blobs/uploads/")
    head = f"PATCH {begun.headers['Location']} HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as leaving:
        leaving.sendall(head.encode() + b"a" * 1000)
        time.sleep(0.2)

    def left() -> list[dict[str, Any]]:
        return [one for one in server.entries("request") if one["method"] == "PATCH"]

    eventually(lambda: bool(left()))
    (entry,) = left()
    assert entry["reason"] == "client disconnected"
    assert entry["level"] == "info"
    assert "exception" not in server.log


def test_what_a_killed_server_left_in_the_temporary_directory_is_removed_by_the_next(
    start: Start, tmp_path: Path
):
    def left() -> set[Path]:
        return set(tmp_path.glob("longshore-*"))

    def grown(before: set[Path]) -> Path:
        (new,) = left() - before
        return new

    living = start().wait()
    living_directory = grown(set())
    killed = start().wait()
    killed_directory = grown({living_directory})
    os.killpg(killed.service.pid, signal.SIGKILL)
    assert killed.exit_code == -signal.SIGKILL
    eventually(lambda: not listening(killed.port))
    assert killed_directory in left()

    last = start().wait()

    assert living_directory in left()
    assert killed_directory not in left()
    assert len(left()) == 2
    for server in (living, last):
        assert server.service.stop() == 0
    assert not left()


def test_the_alias_knows_distributions_flags():
    program = str(Path(sys.executable).with_name("registry"))
    for words in (["--version"], ["-v"], ["serve", "--help"], ["garbage-collect", "--help"]):
        assert subprocess.run([program, *words], check=False, capture_output=True).returncode == 0
