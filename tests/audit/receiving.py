"""A webhook's receiver: a real HTTP server that believes only what is signed."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Receiver:
    """``script`` are the status codes of the first answers, the others are 204. ``rows`` are those that
    were accepted, in the order of their arrival."""

    script: list[int] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    requests: list[Mapping[str, str]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=hidden"

    @property
    def ids(self) -> list[int]:
        return [row["id"] for row in self.rows]

    def take(self, headers: Mapping[str, str], body: bytes) -> int:
        self.requests.append(headers)
        document = Webhook(SECRET).verify(body, dict(headers))
        status = self.script.pop(0) if self.script else 204
        if status == 204:
            assert document["type"] == "audit.rows"
            self.rows += document["data"]["rows"]
        return status


@contextmanager
def listening(receiver: Receiver) -> Iterator[None]:
    """``receiver`` answers; the second time on the port that it had."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = receiver.take(dict(self.headers), body)
            with suppress(ConnectionError):
                self.send_response(status)
                if status >= 300:
                    self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
                    self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", receiver.port), Handler)
    server.daemon_threads = True
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def json_lines(text: str) -> list[dict[str, Any]]:
    """What an export holds."""
    return [json.loads(line) for line in text.splitlines()]
