"""A request: Starlette's, plus what a registry asks of one."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

import anyio
from starlette.requests import Request as StarletteRequest

from longshore.oci.errors import RegistryError, SizeInvalid, Unavailable
from longshore.telemetry.exchange import Exchange

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

    from longshore.db.generation import Generation

#: Bodies reach the application in pieces of the server's choosing; these are what we hand on.
BATCH: Final = 1 << 20
_MAX_LENGTH: Final = 2**63 - 1


class Request(StarletteRequest):
    """One request. ``exchange`` collects what the log will say about it."""

    def __init__(
        self, scope: "Scope", receive: "Receive", exchange: Exchange, timeout: float
    ) -> None:
        super().__init__(scope, receive)
        self.exchange = exchange
        self.body_timeout = timeout
        #: What was current in the database at a moment since the request came, once somebody asked: what was
        #: true then is a good answer to it.
        self.as_of: Generation | None = None
        #: False once the client has gone away before the end of the body.
        self.complete = True
        # Whether more of the body may come; what the head says is looked at when it matters.
        self._more: bool | None = None

    @property
    def content_length(self) -> int | None:
        """Bytes announced for the body; None when the body is chunked. Raises SizeInvalid."""
        text = self.headers.get("content-length")
        if text is None:
            return None
        if not (text.isascii() and text.isdigit()) or int(text) > _MAX_LENGTH:
            raise SizeInvalid(f"Content-Length {text[:40]!r} is not a number of bytes")
        return int(text)

    @property
    def external_url(self) -> str:
        """Scheme and host under which the client reached us, after trusted proxies had their say."""
        return f"{self.scope['scheme']}://{self.exchange.host}"

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it arrives, never more than one piece in memory.

        Ends early, with ``complete`` set to False, when the client disconnects. Raises Unavailable
        when nothing arrives for ``body_timeout`` seconds.
        """
        self._more = True
        while self._more:
            try:
                with anyio.fail_after(self.body_timeout):
                    message: Any = await self._receive()
            except TimeoutError as error:
                self.complete = False
                raise Unavailable(
                    f"no part of the request body arrived for {self.body_timeout:g} seconds; "
                    "what came before is kept, continue the upload from its offset"
                ) from error
            if message["type"] == "http.disconnect":
                self.complete = self._more = False
                self.exchange.reason = self.exchange.reason or "client disconnected"
                return
            self._more = message.get("more_body", False)
            piece = message.get("body", b"")
            if piece:
                self.exchange.received += len(piece)
                yield piece
        expected = self.content_length
        if expected is not None and self.exchange.received < expected:
            self.complete = False

    async def skip(self, limit: int, seconds: float) -> bool:
        """Drop what is left of the body; whether that was the end of it.

        Gives up when it is more than about ``limit`` bytes, takes longer than ``seconds``, or when
        the client waits to be asked for it (``Expect: 100-continue``).
        """
        if self._more is None:
            self._more = any(
                (name == b"content-length" and value != b"0") or name == b"transfer-encoding"
                for name, value in self.scope["headers"]
            )
        if not self._more:
            return True
        announced = self.headers.get("content-length", "")
        if not self.complete or "expect" in self.headers:
            return False
        if announced.isdecimal() and int(announced) - self.exchange.received > limit:
            return False
        with anyio.move_on_after(seconds):
            while self._more and limit > 0:
                message: Any = await self._receive()
                self._more = message.get("more_body", False)
                limit -= len(message.get("body", b""))
        return not self._more

    async def batches(self, size: int = BATCH) -> AsyncIterator[bytes]:
        """The body in pieces of about ``size`` bytes: few enough to hand each to a thread."""
        held: list[bytes] = []
        length = 0
        try:
            async for piece in self.pieces():
                held.append(piece)
                length += len(piece)
                if length >= size:
                    yield b"".join(held)
                    held, length = [], 0
        except RegistryError:
            # What came before the fault is the caller's, who may keep it.
            if held:
                yield b"".join(held)
            raise
        if held:
            yield b"".join(held)

    async def read(self, limit: int) -> bytes | None:
        """The whole body, or None as soon as it is larger than ``limit`` bytes.

        Raises SizeInvalid when the client disconnects before its end: half a document may look
        like a whole one.
        """
        announced = self.content_length
        if announced is not None and announced > limit:
            return None
        held: list[bytes] = []
        length = 0
        async for piece in self.pieces():
            length += len(piece)
            if length > limit:
                return None
            held.append(piece)
        if not self.complete:
            raise SizeInvalid(
                f"the request body ended after {length} of {announced or 'more'} bytes: send it again"
            )
        return b"".join(held)
