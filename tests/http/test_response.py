"""Bodies that are sent in pieces, to clients that stay and clients that leave."""

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import pytest

from longshore.http.application import Application
from longshore.http.request import Request
from longshore.http.response import FileResponse, Response, StreamResponse
from longshore.http.routing import Route
from longshore.telemetry.exchange import Exchange

pytestmark = pytest.mark.anyio

SIZE = 1 << 20


class Client:
    """The server's side of a connection: leaves after ``patience`` pieces."""

    def __init__(self, patience: int | None = None) -> None:
        self.patience = patience
        self.left = anyio.Event()
        self.bodies: list[bytes] = []

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            self.bodies.append(message.get("body", b""))
            if len(self.bodies) == self.patience:
                self.left.set()
        # As with a real server, others run while the bytes are on their way.
        await anyio.sleep(0.001)


async def ask(response: Response, client: Client, method: str = "GET") -> Exchange:
    seen: list[Exchange] = []

    async def handler(request: Request) -> Response:
        return response

    application = Application(
        [Route("blob", "/", {"GET": handler}, "end-2")],
        contextlib.nullcontext(),
        observers=[seen.append],
    )
    scope = {"type": "http", "method": method, "path": "/", "headers": [], "scheme": "http"}
    await application({**scope, "query_string": b""}, client.receive, client.send)
    return seen[0]


def stream(pieces: int) -> StreamResponse:
    async def made() -> AsyncGenerator[bytes, None]:
        for _ in range(pieces):
            yield b"x" * 1000

    return StreamResponse(200, {}, made(), pieces * 1000)


@pytest.fixture
def file(tmp_path: Path) -> FileResponse:
    path = tmp_path / "blob"
    path.write_bytes(b"x" * SIZE)
    return FileResponse(200, {}, path, 0, SIZE, SIZE)


async def test_a_client_that_stays_gets_every_piece(file: FileResponse):
    client, reader = Client(), Client()
    streamed, read = await ask(stream(5), client), await ask(file, reader)

    assert b"".join(client.bodies) == b"x" * 5000
    assert (streamed.sent, streamed.reason) == (5000, "")
    assert b"".join(reader.bodies) == b"x" * SIZE
    assert (read.sent, read.reason) == (SIZE, "")


async def test_nothing_more_is_read_for_a_client_that_left(file: FileResponse):
    streamed = await ask(stream(1000), Client(patience=3))
    read = await ask(file, Client(patience=1))

    assert streamed.sent < 10_000
    assert streamed.reason == "client disconnected"
    assert read.sent < SIZE
    assert read.reason == "client disconnected"


async def test_head_has_no_body(file: FileResponse):
    for response in (stream(5), file):
        client = Client()
        exchange = await ask(response, client, "HEAD")

        assert client.bodies == [b""]
        assert exchange.sent == 0


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_where_pieces_come_from_is_closed_when_the_client_left_or_wants_none(method: str):
    closed = []

    async def made() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"x" * 1000
        finally:
            closed.append("the connection to the storage")

    response = StreamResponse(200, {}, made(), 1 << 30)
    if method == "GET":
        await response.begin()
    await ask(response, Client(patience=2), method)

    assert closed == (
        ["the connection to the storage"] if method == "GET" else []
    )  # else not begun
