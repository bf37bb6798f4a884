"""Addresses as configurations write them, and the listening sockets they stand for."""

import errno
import os
import socket
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from longshore.http.server.options import ServerFailed

#: Milliseconds that sent bytes may wait for their acknowledgement.
_STALLED: Final = 15 * 60 * 1000


def parse_address(text: str) -> tuple[str, int]:
    """Host (empty: every interface) and port of ``:5000``, ``127.0.0.1:5000``, ``[::1]:5000`` or
    ``localhost:5000``. Raises ServerFailed."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ServerFailed(
            f"address {text!r}: an IPv6 address needs brackets, as in [{host}]:{port}"
        )
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ServerFailed(
            f"address {text!r} is not HOST:PORT with a port from 0 to 65535; "
            "for every interface write :5000"
        )
    return host, int(port)


def listen(address: str, backlog: int) -> socket.socket:
    """A listening TCP socket. Raises ServerFailed when the address cannot be had."""
    host, port = parse_address(address)
    family, where = _resolve(host, port, address)
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        if host:
            raise _refused(address, error) from error
        family, where = socket.AF_INET, ("0.0.0.0", port)  # noqa: S104 - a kernel without IPv6
        listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _notice_the_dead(listener)
        if family == socket.AF_INET6:
            # Every interface means IPv4 too; a named IPv6 address means itself.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1 if host else 0)
        listener.bind(where)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise _refused(address, error) from error
    listener.setblocking(False)
    return listener


def _notice_the_dead(listener: socket.socket) -> None:
    """Connections, which inherit this on Linux, end when their peer is gone, or takes nothing of
    what we send for a quarter of an hour."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALLED)


def _resolve(host: str, port: int, address: str) -> tuple[int, tuple[str, int]]:
    if not host:
        return socket.AF_INET6, ("::", port)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ServerFailed(
            f"cannot listen on {address!r}: {host!r} is no address of this machine"
        ) from error
    # `localhost` is both; clients that try IPv6 first fall back, those that know IPv4 only cannot.
    family, _, _, _, where = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, (str(where[0]), port)


def _refused(address: str, error: OSError) -> ServerFailed:
    reason = {
        errno.EADDRINUSE: "another program listens there; stop it, or choose another address "
        "(http.addr in the configuration, REGISTRY_HTTP_ADDR in the environment)",
        errno.EADDRNOTAVAIL: "this machine has no such address",
        errno.EACCES: "not permitted; ports below 1024 need root or CAP_NET_BIND_SERVICE",
    }.get(error.errno or 0, error.strerror)
    return ServerFailed(f"cannot listen on {address}: {reason}")


def listen_unix(path: str, backlog: int) -> socket.socket:
    """A listening Unix socket; one left behind by a dead server is replaced. Raises ServerFailed."""
    _remove_stale(Path(path))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise ServerFailed(f"cannot listen on Unix socket {path}: {error.strerror}") from error
    listener.setblocking(False)
    return listener


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ServerFailed(f"cannot listen on Unix socket {path}: a file is there, and no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise ServerFailed(
                f"cannot listen on Unix socket {path}: another server answers there; stop it first"
            )


def release(listener: socket.socket) -> None:
    """Close a listener; the path of a Unix socket goes with it. Once is enough, twice is harmless."""
    if listener.fileno() < 0:
        return
    path = listener.getsockname() if listener.family == socket.AF_UNIX else ""
    listener.close()
    if path:
        with suppress(OSError):
            os.unlink(path)


def describe(listener: socket.socket, scheme: str) -> str:
    """Where clients reach it, as a URL."""
    if listener.family == socket.AF_UNIX:
        return f"{scheme}+unix://{listener.getsockname()}"
    host, port, *_ = listener.getsockname()
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
