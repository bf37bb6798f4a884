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
    """A server on loopback; `seen` is every request it got, `connected` its open connections."""

    def __init__(self, script: Script, context: ssl.SSLContext | None = None) -> None:
        self.seen: list[Seen] = []
        self.connected = 0
        self._left = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
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

            def process_request(self, request: Any, client_address: Any) -> None:
                with outer._left:
                    outer.connected += 1
                super().process_request(request, client_address)

            def shutdown_request(self, request: Any) -> None:
                super().shutdown_request(request)
                with outer._left:
                    outer.connected -= 1
                    outer._left.notify_all()

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
        """Called by a script: wait until its connection is the only one. Then whatever came over
        one that was cut has been read: connections are accepted in the order they were made."""
        with self._left:
            self._left.wait_for(lambda: self.connected <= 1, timeout=10)

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
