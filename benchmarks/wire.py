"""HTTP/1.1 with as little work for the client as the kernel allows.

What goes out is sent with sendfile(2); what comes in is dropped inside the kernel (recv(2) with
MSG_TRUNC), without ever being copied to this process. So the server is what limits a transfer.
"""

import os
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.failure import BenchmarkFailed

_PATIENCE: Final = 120
_PIECE: Final = 4 << 20


@dataclass(frozen=True)
class Reply:
    """A reply's head; ``body`` only where it was asked for."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class Connection:
    """One connection to ``address``, on which requests follow each other.

    ``headers`` go with every request. Raises OSError where the server hangs up or is silent for
    two minutes.
    """

    def __init__(self, address: tuple[str, int], headers: Mapping[str, str] | None = None) -> None:
        self._socket = socket.create_connection(address)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Time-outs by the kernel, so that the socket still blocks and sendfile needs no polling.
        patience = struct.pack("ll", _PATIENCE, 0)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._socket.setsockopt(socket.SOL_SOCKET, option, patience)
        host = f"{address[0]}:{address[1]}"
        self._common = "".join(
            f"{name}: {value}\r\n" for name, value in {"Host": host, **(headers or {})}.items()
        )
        self._dropped = bytearray(_PIECE)

    def close(self) -> None:
        self._socket.close()

    def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        *,
        length: int | None = None,
        body: bytes = b"",
    ) -> None:
        """Send a request's head and ``body``. ``length`` announces more than that."""
        own = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        announced = len(body) if length is None else length
        counted = f"Content-Length: {announced}\r\n" if announced or method != "GET" else ""
        head = f"{method} {target} HTTP/1.1\r\n{self._common}{own}{counted}\r\n"
        self._socket.sendall(head.encode() + body)

    def send_file(self, file: int, start: int, count: int) -> None:
        """Send ``count`` bytes of an open file, from ``start``."""
        end = start + count
        while start < end:
            start += os.sendfile(self._socket.fileno(), file, start, end - start)

    def send_bytes(self, content: bytes) -> None:
        self._socket.sendall(content)

    def receive(self, *expected: int, keep: bool = False) -> Reply:
        """The reply to what was sent; its body is dropped unless it is to be kept.

        Raises BenchmarkFailed for a status that is not ``expected``.
        """
        head, rest = self._head()
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split(" ", 2)[1])
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        unexpected = status not in expected
        if headers.get("transfer-encoding", "") == "chunked":
            rest = self._chunks(rest)
        elif keep or unexpected:
            rest += self._read(int(headers.get("content-length", 0)) - len(rest))
        else:
            self._drop(int(headers.get("content-length", 0)) - len(rest))
        if unexpected:
            raise BenchmarkFailed(f"the server answered {status} {rest[:300]!r}, not {expected}")
        return Reply(status, headers, rest)

    def _head(self) -> tuple[bytes, bytes]:
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._some()
        head, _, rest = received.partition(b"\r\n\r\n")
        return head, rest

    def _read(self, count: int) -> bytes:
        pieces = []
        while count > 0 and (piece := self._socket.recv(min(count, _PIECE))):
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)

    def _chunks(self, received: bytes) -> bytes:
        """A body that comes in chunks (RFC 9112, section 7.1), without trailers."""
        body: list[bytes] = []
        while True:
            while b"\r\n" not in received:
                received += self._some()
            size_line, _, received = received.partition(b"\r\n")
            size = int(size_line.partition(b";")[0], 16)
            while len(received) < size + 2:
                received += self._some()
            if size == 0:
                return b"".join(body)
            body.append(received[:size])
            received = received[size + 2 :]

    def _some(self) -> bytes:
        piece = self._socket.recv(1 << 18)
        if not piece:
            raise BenchmarkFailed("the server closed the connection in the middle of a reply")
        return piece

    def _drop(self, count: int) -> None:
        while count > 0:
            some = min(count, _PIECE)
            dropped = self._socket.recv_into(self._dropped, some, socket.MSG_TRUNC)
            if not dropped:
                raise BenchmarkFailed(f"the server closed the connection {count} bytes early")
            count -= dropped
