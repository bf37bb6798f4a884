"""What the process server can be told."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from longshore.http.server.machine import available_cpus
from longshore.http.tls import TLSOptions

if TYPE_CHECKING:
    from starlette.types import ASGIApp


class ServerFailed(Exception):
    """The server cannot start. The message is the whole explanation; no stack trace helps."""


class Engine(StrEnum):
    """What speaks HTTP in a worker. ``AUTO`` is Granian unless a setting needs uvicorn."""

    AUTO = "auto"
    GRANIAN = "granian"
    UVICORN = "uvicorn"


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Service:
    """What one worker process runs.

    ``application`` answers on the main address; its ASGI lifespan brings up and tears down what
    both need. ``debug`` answers on the debug address, in one worker only. ``on_drain`` is called
    when the worker is told to stop, before requests in flight are waited for; ``on_exit`` at the
    very end, after the lifespan.
    """

    application: "ASGIApp"
    debug: "ASGIApp | None" = None
    on_drain: Callable[[], None] = _nothing
    on_exit: Callable[[], None] = _nothing


Factory = Callable[[int], Service]
"""Makes a worker's service; called in the worker with its slot, a number from 0 to workers - 1
that a replacement inherits."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Times are seconds.

    ``address`` is ``[HOST]:PORT``, or with ``unix`` the path of a socket. ``drain`` is how long
    requests in flight may take after SIGTERM. ``header_timeout`` bounds the arrival of a request's
    head, and the idle time between two requests of a connection.
    """

    address: str = ":5000"
    unix: bool = False
    workers: int = 0
    engine: Engine = Engine.AUTO
    tls: TLSOptions | None = None
    debug_address: str = ""
    drain: float = 30.0
    header_timeout: float = 30.0
    backlog: int = 1024
    tls_poll: float = 3.0

    @property
    def processes(self) -> int:
        """How many workers: as many as there are CPUs for us when nothing is said."""
        return self.workers or available_cpus()

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"
