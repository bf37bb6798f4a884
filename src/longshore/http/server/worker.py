"""A worker process: the service, its engines, and what the supervisor says over the link."""

import asyncio
import ctypes
import json
import logging
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn

import uvloop

from longshore.http.server import engines
from longshore.http.server.options import Factory, ServerFailed, ServerOptions, Service
from longshore.http.tls import TLSFailed, TLSOptions

if TYPE_CHECKING:
    from starlette.types import ASGIApp

logger = logging.getLogger(__name__)

#: What the supervisor sends when certificate files changed.
RELOAD: Final = b"R"
_PR_SET_PDEATHSIG: Final = 1


def run(
    slot: int,
    factory: Factory,
    options: ServerOptions,
    tls: TLSOptions | None,
    main: socket.socket,
    debug: socket.socket | None,
    link: socket.socket,
) -> NoReturn:
    """Serve until SIGTERM and end the process. ``tls`` is what to start with; told to reload, the
    files of ``options.tls`` are read. ``link`` leads to the supervisor: over it goes one JSON object
    a line, and its end is the end of this process."""
    # The terminal sends Ctrl-C to all; only the supervisor acts on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Blocked since before the fork: what was sent meanwhile counts now.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGHUP, signal.SIGTERM))
    _die_with_parent()
    code = 1
    try:
        loop = uvloop.new_event_loop()
        asyncio.set_event_loop(loop)
        code = loop.run_until_complete(
            _Worker(slot, factory, options, tls, main, debug, link).live()
        )
    finally:
        logging.shutdown()
        # The loop is not torn down: an engine's thread, or a request that had its time, may still
        # use it. Nor may anything of the supervisor's run here.
        os._exit(code)


def _die_with_parent() -> None:
    """No worker outlives the supervisor, however that ends: the port must be free for the next."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _say(link: socket.socket, **message: Any) -> None:
    link.setblocking(True)
    with suppress(OSError):
        link.sendall(json.dumps(message).encode() + b"\n")
    link.setblocking(False)


class _Worker:
    def __init__(
        self,
        slot: int,
        factory: Factory,
        options: ServerOptions,
        tls: TLSOptions | None,
        main: socket.socket,
        debug: socket.socket | None,
        link: socket.socket,
    ) -> None:
        self._slot, self._factory, self._options = slot, factory, options
        self._tls = tls
        self._main, self._debug, self._link = main, debug, link
        self._engines: list[engines.Running] = []
        self._told_to_stop = asyncio.Event()
        self._reloading: asyncio.Task[None] | None = None

    async def live(self) -> int:
        """The whole life of the worker; the exit code."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._told_to_stop.set)
        self._link.setblocking(False)
        loop.add_reader(self._link, self._hear)
        try:
            service = self._build()
            try:
                await self._serve(service)
            finally:
                service.on_exit()
        except (ServerFailed, TLSFailed) as error:
            _say(self._link, failed=str(error))
            return 1
        return 0

    async def _serve(self, service: Service) -> None:
        lifespan = _Lifespan(service.application)
        stopped = asyncio.ensure_future(self._told_to_stop.wait())
        starting = asyncio.ensure_future(self._start(lifespan, service))
        await asyncio.wait([stopped, starting], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return  # told to stop before there was anything to finish
        await starting
        _say(self._link, ready=True)
        ended = [asyncio.ensure_future(engine.wait()) for engine in self._engines]
        await asyncio.wait([stopped, *ended], return_when=asyncio.FIRST_COMPLETED)
        if not stopped.done():
            raise ServerFailed("lost its HTTP engine")
        service.on_drain()
        await self._drain()
        await lifespan.stop()

    async def _start(self, lifespan: "_Lifespan", service: Service) -> None:
        await lifespan.start()
        made = [engines.make(service.application, self._main, self._options, self._tls)]
        if service.debug and self._debug:
            made.append(engines.make(service.debug, self._debug, self._options, None))
        for engine in made:
            await engine.start()
            self._engines.append(engine)

    def _build(self) -> Service:
        try:
            return self._factory(self._slot)
        except Exception as error:
            # Whatever it is, the person who starts the server must read it in one line.
            raise _cannot_start(error) from error

    async def _drain(self) -> None:
        # While this process holds a copy, the kernel goes on accepting connections.
        self._main.close()
        try:
            async with asyncio.timeout(self._options.drain):
                # In order: the debug address answers as long as there is something to watch.
                for engine in self._engines:
                    await engine.stop()
        except TimeoutError:
            logger.warning(
                "requests were still in flight %g s after the stop and are cut off "
                "(http.draintimeout)",
                self._options.drain,
            )

    def _hear(self) -> None:
        """Called when the supervisor said something, or died."""
        try:
            said = self._link.recv(64)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            os._exit(1)
        if RELOAD in said and not (self._reloading and not self._reloading.done()):
            self._reloading = asyncio.create_task(self._reload())

    async def _reload(self) -> None:
        for engine in self._engines:
            try:
                await engine.reload()
            except TLSFailed as error:
                logger.error("%s; the old certificate stays in use", error)  # noqa: TRY400


class _Lifespan:
    """The ASGI lifespan protocol, from the server's side."""

    def __init__(self, application: "ASGIApp") -> None:
        self._application = application
        self._to: asyncio.Queue[Any] = asyncio.Queue()
        self._from: asyncio.Queue[Any] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}
        await self._application(scope, self._to.get, self._from.put)

    async def _exchange(self, kind: str) -> None:
        """Send one event and wait for its answer. Raises ServerFailed when there is none."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        await self._to.put({"type": kind})
        answer = asyncio.ensure_future(self._from.get())
        await asyncio.wait([answer, self._task], return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            if answer.result()["type"] == f"{kind}.failed":
                raise ServerFailed(
                    answer.result().get("message") or "the application did not start"
                )
            return
        answer.cancel()
        error = self._task.exception()
        raise _cannot_start(error) if error else ServerFailed("the application ended at once")

    async def start(self) -> None:
        await self._exchange("lifespan.startup")

    async def stop(self) -> None:
        try:
            await self._exchange("lifespan.shutdown")
        except ServerFailed as error:
            logger.warning("the application did not shut down cleanly: %s", error)


def _cannot_start(error: BaseException) -> ServerFailed:
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return ServerFailed(text or type(error).__name__)
