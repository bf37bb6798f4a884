"""A server that does nothing: how fast the benchmark's client is when nothing holds it up.

``python -m benchmarks.sink CONFIG`` takes the address and the directory from a config.yml and
answers as a registry would, without looking at a byte. What is small is kept in a file; of what is
large only the size, in a sparse file, and that many zeros come back. One process a connection.
"""

import contextlib
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import yaml

_PIECE: Final = 4 << 20
_SMALL: Final = 1 << 16
_UPLOAD: Final = "/v2/sink/blobs/uploads/1"


def main() -> None:
    """Serve until SIGTERM."""
    config = yaml.safe_load(Path(sys.argv[1]).read_text())
    root = Path(config["storage"]["filesystem"]["rootdirectory"])
    root.mkdir()
    host, _, port = config["http"]["addr"].rpartition(":")
    # Children are not waited for, and end with their parent.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    with socket.create_server((host, int(port)), backlog=1024) as listener:
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                listener.close()
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    _Conversation(connection, root).run()
                os._exit(0)
            connection.close()


def _end(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    sys.exit(0)


class _Conversation:
    """One connection's requests."""

    def __init__(self, connection: socket.socket, root: Path) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket, self._root = connection, root
        self._dropped = bytearray(_PIECE)
        self._heads: dict[str, tuple[bytes, int, int]] = {}

    def run(self) -> None:
        received = b""
        while True:
            head, end, received = received.partition(b"\r\n\r\n")
            if not end:
                piece = self._socket.recv(65536)
                if not piece:
                    return
                received = head + piece
                continue
            method, target, _ = head.split(b" ", 2)
            if method == b"GET":
                self._get(target.decode())
            else:
                length = _content_length(head)
                body = self._body(received, length)
                received = received[length:]
                self._take(method, target.decode(), body, length)

    def _get(self, target: str) -> None:
        if target not in self._heads:
            self._heads[target] = self._open(target)
        head, file, size = self._heads[target]
        if size <= _SMALL:
            self._socket.sendall(head + os.pread(file, size, 0))
            return
        self._socket.sendall(head)
        start = 0
        while start < size:
            start += os.sendfile(self._socket.fileno(), file, start, size - start)

    def _open(self, target: str) -> tuple[bytes, int, int]:
        path = self._root / target.rpartition("/")[2]
        if not path.is_file():
            path = Path(os.devnull)
        file = os.open(path, os.O_RDONLY)
        size = os.fstat(file).st_size
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size, file, size

    def _body(self, received: bytes, length: int) -> bytes:
        """The request's body if it is small; nothing of a large one."""
        if length > _SMALL:
            self._drop(length - len(received))
            return b""
        while len(received) < length and (piece := self._socket.recv(_SMALL)):
            received += piece
        return received[:length]

    def _take(self, method: bytes, target: str, body: bytes, length: int) -> None:
        status, location = b"202 Accepted", _UPLOAD
        if method == b"PUT":
            status, location = b"201 Created", target
            if length > 0:
                url = urlsplit(target)
                name = parse_qs(url.query).get("digest", [url.path.rpartition("/")[2]])[0]
                with (self._root / name).open("wb") as file:
                    file.write(body)
                    file.truncate(length)
        self._socket.sendall(
            b"HTTP/1.1 %s\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"
            % (status, location.encode())
        )

    def _drop(self, count: int) -> None:
        while count > 0:
            dropped = self._socket.recv_into(self._dropped, min(count, _PIECE), socket.MSG_TRUNC)
            if not dropped:
                raise BrokenPipeError
            count -= dropped


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


if __name__ == "__main__":
    main()
