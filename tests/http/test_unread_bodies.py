"""What a reply did not need of a body is read all the same, or the reply says that it is the last."""

import anyio
import pytest

from longshore.http.application import Application
from longshore.http.response import Response
from longshore.http.routing import Route

pytestmark = pytest.mark.anyio

BODY = b"x" * 1000


async def _ignore(request):
    return Response(404)


async def _read_some(request):
    async for _ in request.pieces():
        break
    return Response(404)


APPLICATION = Application(
    [
        Route("ignore", "/ignore", {"PUT": _ignore}, ""),
        Route("some", "/some", {"PUT": _read_some}, ""),
    ],
    None,  # type: ignore[arg-type]
)


async def exchange(path, messages, *headers):
    """Whether the reply announces the end of the connection, and what was not read."""
    sent = []

    async def receive():
        if not messages:
            await anyio.sleep_forever()
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "PUT",
        "scheme": "http",
        "path": path,
        "query_string": b"",
        "headers": list(headers),
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    await APPLICATION(scope, receive, send)
    return (b"connection", b"close") in sent[0]["headers"], messages


def body(*pieces):
    last = len(pieces) - 1
    return [
        {"type": "http.request", "body": piece, "more_body": number < last}
        for number, piece in enumerate(pieces)
    ]


def length(size):
    return (b"content-length", b"%d" % size)


CHUNKED = (b"transfer-encoding", b"chunked")


@pytest.mark.parametrize("path", ["/ignore", "/some", "/nowhere"])
@pytest.mark.parametrize("framing", [length(3000), CHUNKED])
async def test_a_small_rest_is_read_and_the_connection_stays(path, framing):
    assert await exchange(path, body(BODY, BODY, BODY), framing) == (False, [])


async def test_a_large_rest_is_left_and_the_connection_ends():
    messages = body(BODY, BODY)

    assert await exchange("/ignore", messages, length(10 << 20)) == (True, messages)


async def test_of_a_body_of_unknown_length_only_so_much_is_read():
    piece = b"x" * (100 << 10)

    closes, left = await exchange("/ignore", body(*[piece] * 10), CHUNKED)

    assert closes
    assert len(left) == 7


async def test_nobody_waits_long_for_the_rest():
    assert await exchange("/ignore", body(BODY, BODY)[:1], length(2000)) == (True, [])


async def test_who_waits_to_be_asked_for_the_body_is_not_asked():
    messages = body(BODY)
    expect = (b"expect", b"100-continue")

    assert await exchange("/ignore", messages, length(1000), expect) == (True, messages)


@pytest.mark.parametrize("headers", [[], [length(0)]])
async def test_without_a_body_nothing_is_waited_for(headers):
    assert await exchange("/ignore", [], *headers) == (False, [])
