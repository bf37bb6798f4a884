"""Granian in a worker: its embedded server, on a socket that the supervisor opened.

Granian reads certificates once, when it starts. New ones therefore mean a second instance on the
same socket; the first then stops accepting and lets its connections finish.
"""

import asyncio
import os
import signal
import socket
import ssl
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server

from longshore.http.server.options import ServerOptions
from longshore.http.tls import ClientAuthentication, MinimumTLS, TLSFailed, TLSOptions

if TYPE_CHECKING:
    from starlette.types import ASGIApp

#: Connections per worker; a client holds few, and each costs Granian little.
_CONNECTIONS: Final = 16384
#: Bytes that are read at a time, at most: with 64 KiB an upload costs twice the CPU time. A
#: request's head must fit, or the reply is 431.
_BUFFER: Final = 1 << 20
#: Seconds that a handshake with oneself may take.
_PATIENCE: Final = 10
#: Changes levels and touches no handler: what Granian has to say goes where our log goes.
_LOGGING: Final = {
    "version": 1,
    "incremental": True,
    "formatters": {},
    "handlers": {},
    "loggers": {"_granian": {"propagate": True}},
}


class _Embedded(Server):
    """Granian's embedded server on an inherited socket."""

    def __init__(self, listener: socket.socket, backlog: int, **settings: Any) -> None:
        super().__init__(**settings)
        self._listener, self._backlog = listener, backlog

    def _init_shared_socket(self) -> None:
        # Granian owns the descriptor it is given and closes it when it stops to accept.
        # (Its type stubs do not know this constructor.)
        holder: Any = SocketHolder
        self._shd = holder(
            os.dup(self._listener.fileno()),
            self._listener.family == socket.AF_UNIX,
            self._backlog,
        )


class GranianEngine:
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
        self._server: _Embedded | None = None
        self._task: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()

    async def start(self) -> None:
        self._server, self._task = self._launch()

    def _launch(self) -> tuple[_Embedded, asyncio.Task[None]]:
        """A server that begins to accept. Raises TLSFailed when its files do not fit together."""
        server = _Embedded(
            self._listener,
            self._options.backlog,
            target=self._application,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(
                header_read_timeout=int(self._options.header_timeout * 1000),
                max_buffer_size=_BUFFER,
            ),
            websockets=False,
            backpressure=_CONNECTIONS,
            log_level=LogLevels.error,
            log_dictconfig=_LOGGING,
            **(self._tls_settings(self._tls) if self._tls else {}),
        )
        task = asyncio.create_task(server.serve())
        task.add_done_callback(self._note_end)
        return server, task

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if task is self._task:
            self._ended.set()

    def _tls_settings(self, tls: TLSOptions) -> dict[str, Any]:
        tls.check()
        verify = tls.client_authentication is ClientAuthentication.REQUIRED
        return {
            "ssl_cert": tls.certificate,
            "ssl_key": tls.key,
            "ssl_protocol_min": SSLProtocols.tls13
            if tls.minimum is MinimumTLS.TLS13
            else SSLProtocols.tls12,
            "ssl_ca": self._bundle(tls) if verify else None,
            "ssl_client_verify": verify,
        }

    def _bundle(self, tls: TLSOptions) -> Path:
        """One file with every client authority: Granian takes no more than one."""
        if len(tls.client_authorities) == 1:
            return tls.client_authorities[0]
        with tempfile.NamedTemporaryFile(prefix="longshore-ca-", delete=False) as bundle:
            for authority in tls.client_authorities:
                bundle.write(authority.read_bytes() + b"\n")
        return Path(bundle.name)

    async def reload(self) -> None:
        old_server, old_task = self._server, self._task
        if self._tls:
            self._tls = self._options.tls
        self._server, self._task = self._launch()
        if old_server and old_task:
            self._retiring.add(old_task)
            old_task.add_done_callback(self._retiring.discard)
            old_server.stop()  # type: ignore[no-untyped-call]

    async def stop(self) -> None:
        if self._server and self._task:
            task, self._task = self._task, None
            self._server.stop()  # type: ignore[no-untyped-call]
            await asyncio.gather(task, *self._retiring)

    async def wait(self) -> None:
        await self._ended.wait()


def prove(options: ServerOptions) -> None:
    """Raises TLSFailed unless Granian can serve with the certificate files.

    With a key that its TLS library does not know, Granian does not fail: it takes its process
    down. So one is started in a process of its own, and a handshake shows whether it lives. The
    caller must not have threads.
    """
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(_PATIENCE)
            signal.set_wakeup_fd(-1)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            asyncio.run(_shake_hands(options))
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    if status and options.tls:
        raise TLSFailed(
            f"Granian cannot serve with {options.tls.certificate} and {options.tls.key}: use a key "
            "of RSA, P-256, P-384 or Ed25519, or set longshore.http.server to uvicorn"
        )


async def _shake_hands(options: ServerOptions) -> None:
    async def nothing(scope: Any, receive: Any, send: Any) -> None:
        pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        await GranianEngine(nothing, listener, options, options.tls).start()
        await asyncio.to_thread(_connect, listener.getsockname())


def _connect(address: Any) -> None:
    """A handshake. Whether it succeeds is a matter of certificates; that it ends is what counts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with suppress(ssl.SSLError), socket.create_connection(address, timeout=_PATIENCE) as plain:
        context.wrap_socket(plain).close()
