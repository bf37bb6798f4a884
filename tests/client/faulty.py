"""A TCP proxy that breaks connections: what mobile networks and impatient proxies do."""

import contextlib
import socket
import threading
from collections.abc import Iterator

_PIECE = 32 * 1024


class FaultyProxy:
    """Forwards to a port of loopback; `down` and `up` count the bytes it let through.

    A connection is closed when it has carried `cut_down` bytes to the client, or `cut_up` to the
    server: what was carried arrives. After `cuts` of them all others are left alone.
    """

    def __init__(
        self, port: int, *, cut_down: int | None = None, cut_up: int | None = None, cuts: int = 0
    ) -> None:
        self.down = 0
        self.up = 0
        self.cuts_left = cuts
        self._port = port
        self._limits = {"down": cut_down, "up": cut_up}
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._closed = False

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def start(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for end in list(self._open):
                self._end(end)

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        # Sockets are closed when nobody uses them any more: the kernel gives out numbers again.
        with client, contextlib.suppress(ConnectionRefusedError), self._connect() as server:
            with self._lock:
                self._open |= {client, server}
            ways = ((client, server, "up"), (server, client, "down"))
            pumps = [threading.Thread(target=self._pump, args=way, daemon=True) for way in ways]
            for pump in pumps:
                pump.start()
            for pump in pumps:
                pump.join()
            with self._lock:
                self._open -= {client, server}

    def _connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port))

    def _pump(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        carried, limit = 0, self._limits[way]
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE):
                if limit is not None and carried + len(piece) > limit and self._may_cut():
                    break
                sink.sendall(piece)
                carried += len(piece)
                with self._lock:
                    setattr(self, way, getattr(self, way) + len(piece))
        self._end(source)
        self._end(sink)

    def _may_cut(self) -> bool:
        with self._lock:
            if self.cuts_left <= 0:
                return False
            self.cuts_left -= 1
            return True

    def _end(self, end: socket.socket) -> None:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def faulty(
    host: str, *, cut_down: int | None = None, cut_up: int | None = None, cuts: int = 0
) -> Iterator[FaultyProxy]:
    """A proxy before a registry on loopback, while the block runs."""
    port = int(host.rpartition(":")[2])
    proxy = FaultyProxy(port, cut_down=cut_down, cut_up=cut_up, cuts=cuts)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
