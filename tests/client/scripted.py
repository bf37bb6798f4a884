"""An HTTP server that answers as a test wants: for what real registries cannot be made to do."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes = b""

    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode()))


@dataclass(frozen=True)
class Answer:
    """What to say. `truncate` cuts the body after so many bytes and closes the connection."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    truncate: int | None = None

    @classmethod
    def json(
        cls, value: Any, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> "Answer":
        named = {"Content-Type": "application/json", **(headers or {})}
        return cls(status, json.dumps(value).encode(), named)


Script = Callable[[Seen], Answer]


class ScriptedServer:
    """A server on loopback; `seen` is every request it got."""

    def __init__(self, script: Script, context: ssl.SSLContext | None = None) -> None:
        self.seen: list[Seen] = []
        self.active = 0
        self.idle = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                with outer.idle:
                    outer.active += 1
                try:
                    self.exchange()
                finally:
                    with outer.idle:
                        outer.active -= 1
                        outer.idle.notify_all()

            def exchange(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = Seen(
                    self.command, parts.path, parse_qsl(parts.query), dict(self.headers), body
                )
                outer.seen.append(request)
                self.reply(script(request))

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

            def reply(self, answer: Answer) -> None:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in answer.headers:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body[: answer.truncate])
                if answer.truncate is not None:
                    self.close_connection = True

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *args: Any) -> None:
                """Clients that hang up are part of these tests."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if context:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def wait_for_others(self) -> None:
        """Called by a script: wait until its request is the only one that is not done."""
        with self.idle:
            self.idle.wait_for(lambda: self.active <= 1, timeout=10)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def scripted(script: Script, context: ssl.SSLContext | None = None) -> Iterator[ScriptedServer]:
    """A server that runs inside the block."""
    server = ScriptedServer(script, context)
    server.start()
    try:
        yield server
    finally:
        server.stop()
