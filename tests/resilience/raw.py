"""HTTP by hand, for requests that no client library would send."""

import re
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

import httpx

from tests.services.registries import Registry

_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) [^\r]*\r\n")
PING = b"GET /v2/ HTTP/1.1\r\nHost: registry\r\n\r\n"


@dataclass(frozen=True)
class Answer:
    """All that came back before the connection closed, or before nothing came any more."""

    content: bytes
    closed: bool

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in _STATUS.findall(self.content)]


def connect(registry: Registry, timeout: float = 10) -> socket.socket:
    host, _, port = registry.host.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=timeout)


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    """The bytes of a request, exactly as given."""
    lines = [f"{method} {path} HTTP/1.1", "Host: registry", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def exchange(registry: Registry, *pieces: bytes, patience: float = 10) -> Answer:
    """Send ``pieces`` and read until the server closes, or is silent for ``patience`` seconds."""
    with connect(registry, patience) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
        except ConnectionError:
            pass  # refused before the end; what was said is still there to be read
        return read(connection)


def read(connection: socket.socket) -> Answer:
    received = b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except TimeoutError:
        return Answer(received, closed=False)
    except ConnectionError:
        pass
    return Answer(received, closed=True)


def reset(connection: socket.socket) -> None:
    """Close with an RST instead of a FIN, as a machine that lost its network and came back."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def start_upload(registry: Registry, repository: str) -> str:
    """The path of a new upload."""
    with registry.client() as client:
        answer = client.post(f"/v2/{repository}/blobs/uploads/")
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        location: str = answer.headers["Location"]
        return location


def offset(registry: Registry, location: str) -> int:
    """How many bytes an upload has, as its session tells."""
    with registry.client() as client:
        answer = client.get(location)
        assert answer.status_code == httpx.codes.NO_CONTENT, answer.text
        last = int(answer.headers["Range"].removeprefix("0-"))
        return last + 1 if last else 0


def chunks(pieces: Iterable[bytes]) -> bytes:
    """A chunked body."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))
