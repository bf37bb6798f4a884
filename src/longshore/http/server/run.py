"""The one call that runs a server."""

import socket
from collections.abc import Callable
from contextlib import ExitStack

from longshore.http.server import engines, sockets
from longshore.http.server.machine import raise_file_limit
from longshore.http.server.options import Factory, ServerOptions
from longshore.http.server.supervisor import Supervisor


def serve(
    factory: Factory,
    options: ServerOptions,
    *,
    on_worker_exit: Callable[[int], None] = lambda _slot: None,
    on_ready: Callable[[str], None] = lambda _url: None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain and return.

    ``factory`` is called in every worker process. ``on_worker_exit`` gets the slot of each worker
    that died and will be replaced, in the supervisor. ``on_ready`` gets the address once the first worker answers.

    Raises TLSFailed when the certificate cannot be used, ServerFailed when the address cannot be
    had or the first worker does not come up.
    """
    raise_file_limit()
    with ExitStack() as stack:

        def owned(listener: socket.socket) -> socket.socket:
            stack.callback(sockets.release, listener)
            return listener

        engines.check_certificates(options)
        main = owned(
            sockets.listen_unix(options.address, options.backlog)
            if options.unix
            else sockets.listen(options.address, options.backlog)
        )
        debug = None
        if options.debug_address:
            debug = owned(sockets.listen(options.debug_address, 128))
        supervisor = Supervisor(factory, options, main, debug, on_worker_exit, on_ready)
        supervisor.run()
