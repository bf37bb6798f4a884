"""uvicorn in a worker, with uvloop and httptools, on a socket that the supervisor opened."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from longshore.http.server.options import ServerOptions
from longshore.http.tls import TLSOptions

if TYPE_CHECKING:
    import ssl

    from starlette.types import ASGIApp


#: Bytes of a request's head. Beyond it the reply is 431.
HEAD: Final = 64 << 10
_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the worker has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, with a limit to the time and the size of a request's head."""

    _in_head = True
    _head_size = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        self._head_size += len(data)
        if self._head_size > HEAD:
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif self._head_timer is None:
            self._start_clock()

    def on_message_begin(self) -> None:
        self._in_head, self._head_size = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_clock()
        super().on_headers_complete()

    def _start_clock(self) -> None:
        # The server keeps idle connections, and waits for heads, for the same time.
        self._head_timer = self.loop.call_later(self.timeout_keep_alive, self.transport.close)

    def _stop_clock(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class UvicornEngine:
    """See :class:`longshore.http.server.engines.Running`."""

    def __init__(
        self,
        application: "ASGIApp",
        listener: socket.socket,
        options: ServerOptions,
        tls: TLSOptions | None,
    ) -> None:
        self._application, self._listener = application, listener
        self._options, self._tls = options, tls
        self._context: ssl.SSLContext | None = None
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    async def start(self) -> None:
        # What it warns of is what strangers send.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        self._context = context = self._tls.context() if self._tls else None
        config = uvicorn.Config(
            self._application,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=self._options.backlog,
            timeout_keep_alive=max(1, round(self._options.header_timeout)),
            ssl_context_factory=(lambda _config, _default: context) if context else None,
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve([self._listener.dup()]))
        self._task.add_done_callback(lambda _task: self._ended.set())

    async def reload(self) -> None:
        if self._options.tls and self._context:
            # A handshake uses what the context holds at its start.
            self._options.tls.check()
            self._options.tls.load_into(self._context)

    async def stop(self) -> None:
        if self._server and self._task:
            self._server.should_exit = True
            await self._task

    async def wait(self) -> None:
        await self._ended.wait()
