"""The process server: one supervisor, N worker processes, one listening socket.

The supervisor opens the socket, forks the workers, replaces those that die, tells them about new
certificates and waits for them at the end. It runs no event loop and no thread, so that it can
fork at any time. A worker runs the ASGI application on one of two engines, Granian or uvicorn.

    run          serve(): the way in
    options      what can be set, and the one error of this package
    configured   the options that a configuration stands for
    sockets      addresses and listening sockets
    machine      how many CPUs and files there are for us
    supervisor   the parent's loop
    worker       what a child does from its first to its last breath
    engines      Granian and uvicorn behind one small protocol
"""

from longshore.http.server.options import Engine, ServerFailed, ServerOptions, Service

__all__ = ["Engine", "ServerFailed", "ServerOptions", "Service"]
