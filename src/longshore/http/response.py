"""Replies. Each sends itself; none holds more of a body than it was given or one piece of a file."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import orjson

from longshore.http.request import Request

if TYPE_CHECKING:
    from starlette.types import Send

_PIECE: Final = 1 << 18

RawHeaders = list[tuple[bytes, bytes]]


def encode_headers(headers: Mapping[str, str]) -> RawHeaders:
    """Header names and values as they travel. Values come from checked grammars, yet a line break
    in one would let a client write headers of its own: such a value loses everything after it."""
    return [
        (name.lower().encode("latin-1"), value.splitlines()[0].encode("latin-1", "replace"))
        for name, value in headers.items()
        if value
    ]


class Response:
    """A reply whose body is at hand."""

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        length: int | None = None,
        raw: RawHeaders | None = None,
    ) -> None:
        """``length`` is announced instead of ``len(body)``, for replies to HEAD."""
        self.status = status
        self.body = body
        self.raw = raw if raw is not None else encode_headers(headers or {})
        if raw is None and status not in (204, 304):
            size = len(body) if length is None else length
            self.raw.append((b"content-length", b"%d" % size))

    async def send(self, request: Request, send: "Send", extra: RawHeaders) -> None:
        """Send the head with ``extra`` headers, then the body unless the request was HEAD."""
        body = b"" if request.method == "HEAD" else self.body
        request.exchange.sent = len(body)
        await send(
            {"type": "http.response.start", "status": self.status, "headers": self.raw + extra}
        )
        await send({"type": "http.response.body", "body": body})


class JSONResponse(Response):
    """A reply that holds one JSON document."""

    def __init__(
        self,
        content: Any,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        *,
        media_type: str = "application/json",
    ) -> None:
        named = {"Content-Type": media_type, **(headers or {})}
        super().__init__(status, named, orjson.dumps(content))


async def _send_pieces(pieces: AsyncIterator[bytes], request: Request, send: "Send") -> None:
    """Send a body to its end, or until the client has gone: servers take what we send for a closed
    connection and drop it, so nobody would stop us from reading a large file for nobody."""
    gone = asyncio.create_task(_departure(request))
    try:
        async for piece in pieces:
            if gone.done():
                request.exchange.reason = "client disconnected"
                return
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            request.exchange.sent += len(piece)
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()


async def _departure(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class StreamResponse(Response):
    """A reply whose body of ``length`` bytes comes piece by piece."""

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        pieces: AsyncGenerator[bytes, None],
        length: int,
    ) -> None:
        super().__init__(status, headers, length=length)
        self._pieces = pieces
        self._first = b""

    async def begin(self) -> None:
        """Wait for the first piece: what goes wrong before it can still be told to the client."""
        self._first = await anext(self._pieces, b"")

    async def send(self, request: Request, send: "Send", extra: RawHeaders) -> None:
        await send(
            {"type": "http.response.start", "status": self.status, "headers": self.raw + extra}
        )
        async with aclosing(self._pieces):
            if request.method == "HEAD":
                await send({"type": "http.response.body", "body": b""})
            else:
                await _send_pieces(self._all(), request, send)

    async def _all(self) -> AsyncGenerator[bytes, None]:
        if self._first:
            yield self._first
            self._first = b""
        async for piece in self._pieces:
            yield piece


class FileResponse(Response):
    """A reply whose body is ``length`` bytes of a local file, from ``start``.

    A whole file is handed to the server by name where it can send one (ASGI ``http.response.pathsend``).
    """

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        path: Path,
        start: int,
        length: int,
        size: int,
    ) -> None:
        super().__init__(status, headers, length=length)
        self.path, self.start, self.length, self.size = path, start, length, size

    async def send(self, request: Request, send: "Send", extra: RawHeaders) -> None:
        head = {"type": "http.response.start", "status": self.status, "headers": self.raw + extra}
        if request.method == "HEAD":
            await send(head)
            await send({"type": "http.response.body", "body": b""})
        elif self.length == self.size and "http.response.pathsend" in request.scope.get(
            "extensions", {}
        ):
            request.exchange.sent = self.length
            await send(head)
            await send({"type": "http.response.pathsend", "path": str(self.path)})
        else:
            await send(head)
            async with aclosing(self._pieces()) as pieces:
                await _send_pieces(pieces, request, send)

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        left = self.length
        async with await anyio.open_file(self.path, "rb") as file:
            await file.seek(self.start)
            while left:
                piece = await file.read(min(left, _PIECE))
                if not piece:
                    raise OSError(f"{self.path} ends {left} bytes early")
                left -= len(piece)
                yield piece
