"""A proxy between a storage driver and its service that breaks what it is told to break.

    async with FaultyProxy("127.0.0.1", port) as proxy:
        proxy.inject(Fault.LOSE_ANSWER, times=1)
        ...  # a driver whose service is at proxy.address

It speaks HTTP/1.1 in the clear and hands on every byte as it came, so that signatures stay true.
"""

import asyncio
import re
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

_PIECE: Final = 64 << 10
_LENGTH: Final = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked", re.IGNORECASE)
_EXPECT: Final = re.compile(rb"\r\nexpect:[^\r]*", re.IGNORECASE)
_RESET: Final = struct.pack("ii", 1, 0)
#: Longest head of a message (bytes).
_HEAD: Final = 256 << 10


class Fault(StrEnum):
    """What may happen to a request. "Reset" is a TCP reset, "cut" an orderly end too early."""

    RESET = "reset before anything of the request is handed on"
    RESET_IN_REQUEST = "reset in the middle of the request's body; the service gets half of it"
    REFUSE = "answered with an error, instead of the service"
    LOSE_ANSWER = "reset when the service has done its work"
    HANG = "no answer, though the service has done its work"
    RESET_IN_ANSWER = "reset in the middle of the answer"
    CUT_ANSWER = "end in the middle of the answer"
    HANG_IN_ANSWER = "silence in the middle of the answer"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the service would say: the status and the body of an answer."""

    status: int
    body: bytes = b""
    content_type: str = "application/xml"

    def encode(self, *, with_body: bool) -> bytes:
        """The whole answer. With a body if the request's method has one."""
        head = (
            f"HTTP/1.1 {self.status} Refused\r\nContent-Type: {self.content_type}\r\n"
            f"Content-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + (self.body if with_body else b"")


@dataclass(frozen=True, slots=True)
class Request:
    """A request that came by, and what happened to it."""

    method: str
    target: str
    fault: Fault | None


@dataclass(slots=True)
class _Plan:
    fault: Fault
    skip: int
    times: int
    refusal: Refusal
    concerns: Callable[[str, str], bool]


class FaultyProxy:
    """Listens on loopback while its block is entered; hands on to ``host:port``."""

    def __init__(self, host: str, port: int) -> None:
        self._upstream = host, port
        self._plan: _Plan | None = None
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        #: All requests since the last :meth:`inject` or :meth:`mend`, in the order they came.
        self.requests: list[Request] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_HEAD)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    @property
    def address(self) -> str:
        """``host:port`` of the proxy."""
        if self._server is None:
            raise RuntimeError("the proxy does not listen yet: enter its block")
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    def inject(
        self,
        fault: Fault,
        *,
        skip: int = 0,
        times: int = 1 << 30,
        refusal: Refusal | None = None,
        concerns: Callable[[str, str], bool] = lambda method, target: True,
    ) -> None:
        """From now on the fault happens ``times`` times, after ``skip`` requests went well. Only
        requests count that ``concerns(method, target)``. ``refusal`` is what REFUSE says."""
        self.requests = []
        self._plan = _Plan(fault, skip, times, refusal or Refusal(503), concerns)

    def mend(self) -> None:
        """From now on nothing happens."""
        self.requests = []
        self._plan = None

    @property
    def hits(self) -> int:
        """How many requests met the fault."""
        return sum(request.fault is not None for request in self.requests)

    def _next(self, method: str, target: str) -> tuple[Fault | None, Refusal]:
        plan, fault, refusal = self._plan, None, Refusal(503)
        if plan is not None and plan.concerns(method, target):
            refusal = plan.refusal
            if plan.skip > 0:
                plan.skip -= 1
            elif plan.times > 0:
                plan.times -= 1
                fault = plan.fault
        self.requests.append(Request(method, target, fault))
        return fault, refusal

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        connection = _Connection(reader, writer, self._upstream)
        try:
            while await self._serve(connection):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one of the two is gone, and so is the connection to the other; or all ends
        finally:
            connection.close()

    async def _serve(self, connection: "_Connection") -> bool:
        """One request and its answer; whether the connection goes on."""
        head = await _head(connection.reader)
        if head is None:
            return False
        method, target = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")[:2]
        fault, refusal = self._next(method, target)
        if fault is Fault.RESET:
            connection.reset()
            return False
        if _EXPECT.search(head):
            connection.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            head = _EXPECT.sub(b"", head)
        if fault is Fault.REFUSE:
            await _pass(connection.reader, head, None)
            connection.writer.write(refusal.encode(with_body=method != "HEAD"))
            await connection.writer.drain()
            return True
        if fault is Fault.RESET_IN_REQUEST:
            await connection.send_half(head)
            connection.reset()
            return False
        return await connection.exchange(head, method, fault)


class _Connection:
    """A client's connection, and the one to the service that belongs to it."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        upstream: tuple[str, int],
    ) -> None:
        self.reader, self.writer = reader, writer
        self._address = upstream
        self._upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._upstream is None or self._upstream[0].at_eof():
            self._upstream = await asyncio.open_connection(*self._address, limit=_HEAD)
        return self._upstream

    async def send_half(self, head: bytes) -> None:
        """Hand on the head and half of the body."""
        _, out = await self._connected()
        out.write(head)
        found = _LENGTH.search(head)
        if found:
            await _copy(self.reader, out, int(found[1]) // 2)
        await out.drain()

    async def exchange(self, head: bytes, method: str, fault: Fault | None) -> bool:
        """Hand on the request, and the answer as far as the fault lets it; whether both
        connections go on."""
        service, out = await self._connected()
        out.write(head)
        await _pass(self.reader, head, out)
        answer = await _head(service)
        while answer is not None and answer.startswith(b"HTTP/1.1 1"):
            answer = await _head(service)
        if answer is None:
            return False
        bodiless = method == "HEAD" or answer.split(b" ", 2)[1] in (b"204", b"304")
        if fault is None:
            self.writer.write(answer)
            ended = bodiless or await _pass(service, answer, self.writer)
            await self.writer.drain()
            return ended
        found = None if bodiless else _LENGTH.search(answer)
        length = int(found[1]) if found else 0
        if fault in (Fault.LOSE_ANSWER, Fault.HANG):
            # What has answered has done its work: the body is not needed.
            half = 0
        elif length:
            self.writer.write(answer)
            half = length // 2
        else:
            self.writer.write(answer[: len(answer) // 2])
            half = 0
        await _copy(service, self.writer, half)
        await self.writer.drain()
        if fault in (Fault.HANG, Fault.HANG_IN_ANSWER):
            await self.reader.read(1)  # until the client has enough
        elif fault is not Fault.CUT_ANSWER:
            self.reset()
        return False

    def reset(self) -> None:
        """End both connections at once."""
        for writer in (self.writer, self._upstream and self._upstream[1]):
            if writer:
                sock: socket.socket = writer.get_extra_info("socket")
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()

    def close(self) -> None:
        """End both connections in order."""
        self.writer.close()
        if self._upstream:
            self._upstream[1].close()


async def _head(reader: asyncio.StreamReader) -> bytes | None:
    """The head of a message, with its empty line; None when there is no more."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None


async def _pass(
    reader: asyncio.StreamReader, head: bytes, writer: asyncio.StreamWriter | None
) -> bool:
    """Hand on the body that belongs to a head, or throw it away; False if only the end of the
    connection ends it."""
    found = _LENGTH.search(head)
    if found:
        await _copy(reader, writer, int(found[1]))
    elif _CHUNKED.search(head):
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            if writer:
                writer.write(line)
            await _copy(reader, writer, size + 2)
            if not size:
                break
    elif head.startswith(b"HTTP/"):
        while piece := await reader.read(_PIECE):
            if writer:
                writer.write(piece)
                await writer.drain()
        return False
    if writer:
        await writer.drain()
    return True


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None, length: int
) -> None:
    while length > 0:
        piece = await reader.read(min(_PIECE, length))
        if not piece:
            raise asyncio.IncompleteReadError(b"", length)
        length -= len(piece)
        if writer:
            writer.write(piece)
            await writer.drain()
