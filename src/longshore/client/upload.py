"""Uploading a blob: one request when all goes well, continued from the registry's Range when not.

OCI Distribution 1.1, "Pushing blobs": POST opens a session, PUT with the digest ends it. In
between, PATCH requests with Content-Range carry chunks when the caller wants them or when an
attempt broke off.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import anyio
import httpx

from longshore.client.content import Advance, OpenBlob
from longshore.client.errors import (
    ClientError,
    ContentInvalid,
    ProtocolViolation,
    Refused,
    Unreachable,
)
from longshore.client.transport import Transport
from longshore.client.wire import Ask, Body, Reply
from longshore.oci.descriptor import Descriptor
from longshore.oci.digest import CANONICAL

_RANGE: Final = re.compile(r"(?:bytes=)?0-(\d+)")
_OCTETS: Final = {"Content-Type": "application/octet-stream"}
_PAUSE_WITHOUT_PROGRESS = 0.2
#: Answers that end a session but not the hope of another one.
_SESSION_LOST: Final = frozenset({404, 416})


@dataclass(frozen=True)
class Session:
    """An upload in progress: where to go on, and the shortest chunk that may be sent.

    A `fresh` one has seen no attempt yet. In any other, bytes of an attempt that broke may still
    come to light after the registry was asked for the offset; so what is sent into it says where
    it belongs (Content-Range), and the registry refuses it if it belongs elsewhere by now.
    """

    location: httpx.URL
    offset: int = 0
    shortest_chunk: int = 0
    fresh: bool = False

    @classmethod
    def opened(cls, transport: Transport, reply: Reply) -> "Session":
        """From the answer to a POST. Raises ProtocolViolation when it does not say where."""
        shortest = reply.headers.get("OCI-Chunk-Min-Length", "")
        minimum = int(shortest[:18]) if shortest.isdigit() else 0
        return cls(_location(transport, reply), 0, minimum, fresh=True)


class Upload:
    """Brings one blob into one repository."""

    def __init__(
        self,
        transport: Transport,
        uploads: str,
        descriptor: Descriptor,
        scopes: frozenset[str],
        chunk: int | None,
        present: Callable[[], Awaitable[bool]],
    ) -> None:
        self._transport = transport
        self._uploads = uploads
        self._descriptor = descriptor
        self._scopes = scopes
        self._chunk = chunk
        self._present = present

    async def run(self, content: OpenBlob, advance: Advance, session: Session | None) -> None:
        """Send `content`, in `session` if there is one already. Raises ClientErrors."""
        fruitless, furthest = 0, 0
        while True:
            session = session or await self.open()
            try:
                await self._send(session, content, advance)
                return
            except ClientError as error:
                if not self._may_continue(error):
                    raise
                session = await self._find_offset(session)
                if session is None and await self._present():
                    return  # all had arrived, only the last answer was lost
                progressed = session is not None and session.offset > furthest
                fruitless = 0 if progressed else fruitless + 1
                furthest = max(furthest, session.offset if session else 0)
                if fruitless >= self._transport.connection.attempts:
                    raise
                await anyio.sleep(error.retry_after or _PAUSE_WITHOUT_PROGRESS * fruitless)

    def _may_continue(self, error: ClientError) -> bool:
        if isinstance(error, Refused) and error.status in _SESSION_LOST:
            return True
        patient = (error.retry_after or 0) <= self._transport.connection.longest_pause
        return error.temporary and patient

    async def open(self) -> Session:
        """A new session."""
        algorithm = self._descriptor.digest.algorithm
        query = "" if algorithm == CANONICAL else f"?digest-algorithm={algorithm}"
        reply = await self._transport.call(Ask("POST", self._uploads + query, scopes=self._scopes))
        return Session.opened(self._transport, reply)

    async def _send(self, session: Session, content: OpenBlob, advance: Advance) -> None:
        size = self._descriptor.size
        if session.fresh and (self._chunk is None or size <= self._chunk):
            await self._finish(session, lambda: _counted(content(0), 0, advance), size)
            return
        async with aclosing(content(session.offset)) as stream:
            pieces = _Pieces(stream)
            while session.offset < size:
                session = await self._patch(session, pieces, advance)
        await self._finish(session, None, 0)

    async def _patch(self, session: Session, pieces: "_Pieces", advance: Advance) -> Session:
        rest = self._descriptor.size - session.offset
        length = (
            rest if self._chunk is None else min(rest, max(self._chunk, session.shortest_chunk))
        )
        headers = {
            **_OCTETS,
            "Content-Length": str(length),
            "Content-Range": f"{session.offset}-{session.offset + length - 1}",
        }
        body = _counted(pieces.take(length), session.offset, advance)
        reply = await self._transport.call_once(
            Ask("PATCH", session.location, headers, _once(body), self._scopes)
        )
        location = _location(self._transport, reply)
        return Session(location, session.offset + length, session.shortest_chunk)

    async def _finish(self, session: Session, body: Body | None, length: int) -> None:
        digest = self._descriptor.digest
        reply = await self._transport.call_once(
            Ask(
                "PUT",
                _with_digest(session.location, digest),
                {**_OCTETS, "Content-Length": str(length)},
                body if body is not None else b"",
                self._scopes,
                timeout=self._transport.connection.commit_timeout,
            )
        )
        stored = reply.headers.get("Docker-Content-Digest", digest)
        if stored != digest:
            raise ProtocolViolation(
                f"{self._transport.registry} stored blob {digest} as {stored!r:.100}"
            )

    async def _find_offset(self, session: Session) -> Session | None:
        """Where the registry wants to go on, or None if it has forgotten the session."""
        ask = Ask("GET", session.location, scopes=self._scopes)
        try:
            reply = await self._transport.call(ask)
        except Refused:
            return None
        found = _RANGE.fullmatch(reply.headers.get("Range", ""))
        # 0-0 is one byte by the letter, but what distribution says of an empty upload.
        last = int(found[1]) if found else 0
        offset = last + 1 if last else 0
        if offset > self._descriptor.size:
            return None
        return Session(_location(self._transport, reply), offset, session.shortest_chunk)


class _Pieces:
    """A stream of bytes from which an exact number can be taken at a time."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self._rest = b""

    async def take(self, length: int) -> AsyncGenerator[bytes, None]:
        """The next `length` bytes; raises ContentInvalid when the stream has fewer."""
        while length > 0:
            if not self._rest:
                self._rest = await anext(self._stream, b"")
            if not self._rest:
                raise ContentInvalid(f"a blob ended {length} bytes before its end")
            piece, self._rest = self._rest[:length], self._rest[length:]
            length -= len(piece)
            yield piece


async def _counted(
    pieces: AsyncGenerator[bytes, None], position: int, advance: Advance
) -> AsyncGenerator[bytes, None]:
    async with aclosing(pieces):
        async for piece in pieces:
            yield piece
            position += len(piece)
            advance(position)


def _once(body: AsyncGenerator[bytes, None]) -> Body:
    bodies = [body]

    def start() -> AsyncGenerator[bytes, None]:
        if not bodies:
            # A token that expired in the middle: what is sent cannot be taken back, so go on
            # from where the registry says it is.
            raise Unreachable("the upload has to be continued", temporary=True)
        return bodies.pop()

    return start


def _location(transport: Transport, reply: Reply) -> httpx.URL:
    location = reply.headers.get("Location", "")
    if not location:
        raise ProtocolViolation(f"{transport.registry} opened an upload but did not say where")
    return transport.resolve(reply.url, location)


def _with_digest(location: httpx.URL, digest: str) -> httpx.URL:
    # The location may carry a signature of its own query, so that is left as it is.
    separator = "&" if location.query else "?"
    return httpx.URL(f"{location}{separator}digest={quote(digest, safe='')}")
