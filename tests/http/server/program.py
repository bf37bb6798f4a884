"""A small program that serves a test application; started by the tests as a process of its own."""

import asyncio
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from longshore.http.server import Engine, ServerFailed, ServerOptions, Service
from longshore.http.server.run import serve
from longshore.http.tls import ClientAuthentication, MinimumTLS, TLSFailed, TLSOptions


class Application:
    """Answers /pid, /scope, /slow/SECONDS, /upload and the lifespan."""

    def __init__(self, name: str, slot: int, start: str) -> None:
        self.name, self.slot, self.start = name, slot, start
        self.draining = False

    def drain(self) -> None:
        self.draining = True

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        path = scope["path"]
        answer: Any = {"pid": os.getpid(), "slot": self.slot, "name": self.name}
        if path.startswith("/slow/"):
            await asyncio.sleep(float(path.removeprefix("/slow/")))
            answer["draining"] = self.draining
        elif path == "/scope":
            answer = {"client": scope["client"], "scheme": scope["scheme"]}
        elif path == "/upload":
            answer = {"received": await _length(receive)}
        body = json.dumps(answer).encode()
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})

    async def _lifespan(self, receive: Any, send: Any) -> None:
        await receive()
        if self.start == "refuse":
            await send({"type": "lifespan.startup.failed", "message": "the database is locked"})
            return
        if self.start == "hang":
            say("hanging")
            await asyncio.sleep(60)
        if self.start == "crash":
            raise RuntimeError("a wheel came off")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


def say(text: str) -> None:
    os.write(1, text.encode() + b"\n")


async def _length(receive: Any) -> int:
    length = 0
    while True:
        message = await receive()
        length += len(message.get("body", b""))
        if not message.get("more_body"):
            return length


def main() -> int:
    given = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    start = given.pop("start", "")

    def factory(slot: int) -> Service:
        if start == "raise":
            raise FileNotFoundError(2, "No such file or directory", "/etc/htpasswd")
        application = Application("main", slot, start)
        return Service(
            application,
            Application("debug", slot, ""),
            on_drain=application.drain,
            on_exit=lambda: say(f"worker {slot} leaves"),
        )

    if tls := given.pop("tls", None):
        given["tls"] = TLSOptions(
            Path(tls["certificate"]),
            Path(tls["key"]),
            MinimumTLS(tls.get("minimum", "tls1.2")),
            tuple(map(Path, tls.get("authorities", ()))),
            ClientAuthentication(tls.get("clients", "none")),
        )
    given["engine"] = Engine(given.get("engine", "auto"))
    try:
        serve(
            factory,
            ServerOptions(**given),
            on_ready=lambda url: say(f"ready {url}"),
            on_worker_exit=lambda slot: say(f"worker {slot} ended"),
        )
    except (ServerFailed, TLSFailed) as error:
        say(f"failed: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
