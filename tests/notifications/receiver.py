"""A small HTTP server that endpoints of tests post to."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """What arrived; ``script`` are the status codes of the first answers (0: none within a second),
    the others are 200."""

    script: list[int] = field(default_factory=list)
    requests: list[tuple[Mapping[str, str], dict[str, Any]]] = field(default_factory=list)
    url: str = ""
    #: How long each answer takes, in seconds, and how many there were on their way at most.
    pause: float = 0.0
    most: int = 0
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Those that were accepted, in the order of their arrival."""
        return [event for _, body in self.requests for event in body["events"]]

    def until(self, count: int, seconds: float = 30) -> list[dict[str, Any]]:
        """The events, once there are so many different ones."""
        deadline = time.monotonic() + seconds
        while (found := len({event["id"] for event in self.events})) < count:
            assert time.monotonic() < deadline, f"{found} events in {seconds} s"
            time.sleep(0.02)
        return self.events

    def answer(self, handler: BaseHTTPRequestHandler) -> int:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(self.pause)
        with self._lock:
            self._now -= 1
        status = self.script.pop(0) if self.script else 200
        if status and status < 400:
            self.requests.append((dict(handler.headers), body))
        return status


@contextmanager
def receiving(*script: int, pause: float = 0.0) -> Iterator[Receiver]:
    receiver = Receiver(list(script), pause=pause)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            status = receiver.answer(self)
            if status == 0:
                time.sleep(1)
                self.close_connection = True
                return
            with suppress(ConnectionError):  # who asked may have been killed meanwhile
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/events"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
