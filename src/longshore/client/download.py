"""Downloading a blob: one stream that survives broken connections by continuing with Range."""

import re
from collections.abc import AsyncGenerator, Mapping
from typing import Final

import anyio
import httpx

from longshore.client.errors import ClientError, ContentInvalid, ProtocolViolation, Unreachable
from longshore.client.transport import Transport
from longshore.client.wire import CHUNK, Ask
from longshore.oci.descriptor import Descriptor

_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_PAUSE_WITHOUT_PROGRESS = 0.2


async def download(
    transport: Transport, path: str, descriptor: Descriptor, scopes: frozenset[str], offset: int
) -> AsyncGenerator[bytes, None]:
    """The blob's bytes from `offset` on. A connection that breaks is made anew, from where it
    broke, as long as each brings some bytes; several in a row that bring none are an error."""
    position, fruitless = offset, 0
    while position < descriptor.size:
        before = position
        try:
            async with transport.stream(_ask(path, scopes, position)) as response:
                skip = _bytes_to_skip(transport, response, descriptor, position)
                async for piece in _gathered(response):
                    fresh = piece[skip:]
                    skip = max(0, skip - len(piece))
                    position += len(fresh)
                    _check_length(descriptor, position)
                    if fresh:
                        yield fresh
            if position < descriptor.size:
                raise Unreachable(
                    f"{transport.registry} closed the connection {descriptor.size - position} "
                    f"bytes before the end of blob {descriptor.digest}",
                    temporary=True,
                )
        except ClientError as error:
            fruitless = 0 if position > before else fruitless + 1
            if not error.temporary or fruitless >= transport.connection.attempts:
                raise
            if fruitless:
                await anyio.sleep(_PAUSE_WITHOUT_PROGRESS * fruitless)


async def _gathered(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The body in larger pieces. What arrived before a break is given out, not lost with it."""
    pieces: list[bytes] = []
    length = 0
    try:
        async for piece in response.aiter_raw():
            pieces.append(piece)
            length += len(piece)
            if length >= CHUNK:
                yield b"".join(pieces)
                pieces, length = [], 0
    except httpx.TransportError:
        yield b"".join(pieces)
        raise
    yield b"".join(pieces)


def _ask(path: str, scopes: frozenset[str], position: int) -> Ask:
    headers: Mapping[str, str] = {"Range": f"bytes={position}-"} if position else {}
    return Ask("GET", path, headers, scopes=scopes)


def _bytes_to_skip(
    transport: Transport, response: httpx.Response, descriptor: Descriptor, position: int
) -> int:
    """How many bytes of the body we have already: all before `position`, if it starts at zero."""
    if response.status_code == httpx.codes.PARTIAL_CONTENT:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if not found or int(found[1]) != position:
            raise ProtocolViolation(
                f"{transport.registry} was asked for bytes from {position} of blob "
                f"{descriptor.digest} and answered with "
                f"{response.headers.get('Content-Range', 'no Content-Range')!r}"
            )
        return 0
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and int(length) != descriptor.size:
        raise ContentInvalid(
            f"blob {descriptor.digest} has {length} bytes in {transport.registry}, where its "
            f"manifest says {descriptor.size}"
        )
    return position


def _check_length(descriptor: Descriptor, position: int) -> None:
    if position > descriptor.size:
        raise ContentInvalid(
            f"blob {descriptor.digest} has more bytes than its manifest says ({descriptor.size})"
        )
