"""Granian and uvicorn behind one protocol: serve a socket, take new certificates, finish."""

import socket
from typing import TYPE_CHECKING, Protocol

from longshore.http.server.options import Engine, ServerOptions
from longshore.http.tls import ClientAuthentication, TLSOptions

if TYPE_CHECKING:
    from starlette.types import ASGIApp


class Running(Protocol):
    """An engine that serves one socket in the running event loop."""

    async def start(self) -> None:
        """Serve from now on."""

    async def reload(self) -> None:
        """Read the certificate files again; connections that are open keep what they have.
        Raises TLSFailed and changes nothing when the files cannot be used."""

    async def stop(self) -> None:
        """Accept nothing more and return when every request in flight has its reply."""

    async def wait(self) -> None:
        """Returns when the engine ends by itself, which is a failure."""


def choose(options: ServerOptions) -> Engine:
    """The engine that can do what the options ask for."""
    if options.engine is not Engine.AUTO:
        return options.engine
    # Granian verifies every client's certificate or none.
    optional = options.tls and options.tls.client_authentication is ClientAuthentication.IF_GIVEN
    return Engine.UVICORN if optional else Engine.GRANIAN


def load(options: ServerOptions) -> None:
    """Import what the workers will need, so that they share one copy."""
    import uvloop  # noqa: F401

    if choose(options) is Engine.GRANIAN:
        import longshore.http.server.granian
    else:
        import longshore.http.server.uvicorn  # noqa: F401


def check_certificates(options: ServerOptions) -> None:
    """Raises TLSFailed unless the engine can serve with the files as they are now. For the
    supervisor: it may fork."""
    if options.tls is None:
        return
    options.tls.check()
    if choose(options) is Engine.GRANIAN:
        from longshore.http.server.granian import prove

        prove(options)


def make(
    application: "ASGIApp", listener: socket.socket, options: ServerOptions, tls: TLSOptions | None
) -> Running:
    """An engine for ``application`` on ``listener``; not started yet. It starts with ``tls`` and
    reloads the files of ``options.tls``."""
    if choose(options) is Engine.GRANIAN:
        from longshore.http.server.granian import GranianEngine

        return GranianEngine(application, listener, options, tls)
    from longshore.http.server.uvicorn import UvicornEngine

    return UvicornEngine(application, listener, options, tls)
