"""Requests that no client library sends: framing that two servers could read in two ways, floods,
noise. One connection may suffer; nobody else does, and no byte is taken for another request."""

import pytest

from tests.resilience import raw
from tests.services.registries import Registry

pytestmark = pytest.mark.service

#: Answered only by a server that took the end of the body for a request of its own.
SMUGGLED = raw.request("GET", "/v2/smuggled/manifests/latest")
AMBIGUOUS = {
    "an obscured Transfer-Encoding": (["Transfer-Encoding: xchunked", "Content-Length: 5"], b""),
    "a space before the colon": (["Transfer-Encoding : chunked", "Content-Length: 5"], b""),
    "a control character": (["Transfer-Encoding:\x0bchunked", "Content-Length: 5"], b""),
    "a folded header": (["X: y\r\n Transfer-Encoding: chunked", "Content-Length: 5"], b""),
    "two different lengths": (["Content-Length: 5", "Content-Length: 6"], b""),
    "a list of lengths": (["Content-Length: 5, 5"], b""),
    "a length with a sign": (["Content-Length: +5"], b""),
    "a negative length": (["Content-Length: -5"], b""),
    "a length in base 16": (["Content-Length: 0x5"], b""),
    "a length beyond all": (["Content-Length: 99999999999999999999"], b""),
    "chunked and then something": (["Transfer-Encoding: chunked, identity"], b"5\r\n"),
    "chunked, then identity": (["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], b""),
}
BROKEN_CHUNKS = {
    "a size of 72 bits": b"FFFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
    "a negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "a size that is no number": b"zz\r\nhello\r\n0\r\n\r\n",
    "no line end after a chunk": b"5\r\nhelloXX0\r\n\r\n",
    "bare line feeds": b"5\nhello\n0\n\n",
    "a very long extension": b"5;" + b"a" * 200_000 + b"\r\nhello\r\n0\r\n\r\n",
    "very many extensions": b"1;aaaaaaaaaaaaaaaaaaaaaa\r\nh\r\n" * 3000 + b"0\r\n\r\n",
    "very many trailers": b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
}


@pytest.fixture
def registry(impatient_registry: Registry) -> Registry:
    return impatient_registry


def check_alive(registry: Registry) -> None:
    assert raw.exchange(registry, raw.PING, patience=1).statuses == [200]


@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_a_body_of_ambiguous_length_is_refused_and_nothing_behind_it_is_read(
    registry: Registry, repository: str, kind: str
) -> None:
    location = raw.start_upload(registry, repository)
    headers, body = AMBIGUOUS[kind]

    request = raw.request("PATCH", location, *headers, body=(body or b"hello") + SMUGGLED)
    answer = raw.exchange(registry, request)

    assert (answer.statuses, answer.closed) == ([400], True)
    assert raw.offset(registry, location) == 0


@pytest.mark.parametrize(
    ("body", "stored"),
    [(b"0\r\n\r\n" + SMUGGLED, 0), (raw.chunks([b"a" * 92]) + SMUGGLED, 92)],
    ids=["the length says more", "the length says less"],
)
def test_of_length_and_chunks_the_chunks_count_and_the_connection_ends(
    registry: Registry, repository: str, body: bytes, stored: int
) -> None:
    """RFC 9112 section 6.3: Transfer-Encoding overrides, and the connection must be closed."""
    location = raw.start_upload(registry, repository)
    headers = ["Content-Length: 6", "Transfer-Encoding: chunked"]

    answer = raw.exchange(registry, raw.request("PATCH", location, *headers, body=body))

    assert (answer.statuses, answer.closed) == ([202], True)
    assert raw.offset(registry, location) == stored


@pytest.mark.parametrize("kind", BROKEN_CHUNKS)
def test_broken_chunks_end_the_request_and_the_connection(
    registry: Registry, repository: str, kind: str
) -> None:
    location = raw.start_upload(registry, repository)
    body = BROKEN_CHUNKS[kind] + SMUGGLED

    answer = raw.exchange(
        registry, raw.request("PATCH", location, "Transfer-Encoding: chunked", body=body)
    )

    assert (answer.statuses, answer.closed) == ([400], True)
    assert raw.offset(registry, location) <= 3000
    check_alive(registry)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (raw.request("GET", "/v2/", *(f"X-{number}: y" for number in range(1000))), 431),
        (raw.request("GET", "/v2/", "X: " + "a" * (3 << 20)), 431),
        (raw.request("GET", "/v2/" + "a" * 100_000), 414),
    ],
    ids=["many headers", "a big header", "a long path"],
)
def test_a_flood_in_the_head_is_refused(registry: Registry, request_: bytes, status: int) -> None:
    answer = raw.exchange(registry, request_)

    assert (answer.statuses, answer.closed) == ([status], True)


@pytest.mark.parametrize(
    "noise",
    [
        b"\x00\xff\r\n\r\n" * 100,
        bytes.fromhex("1603010200010001fc0303") + bytes(200),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
        b"GET /v2/\r\n\r\n",
        raw.request("GET", "/v2/a\x00b/tags/list"),
        raw.request("GET", "/v2/\xff\xfe/tags/list"),
    ],
    ids=["bytes", "TLS", "HTTP/2", "HTTP/0.9", "NUL", "no UTF-8"],
)
def test_noise_ends_its_connection_only(registry: Registry, noise: bytes) -> None:
    answer = raw.exchange(registry, noise)

    assert answer.closed
    assert answer.statuses in ([], [400])
    check_alive(registry)


def test_pipelined_requests_are_answered_in_order_up_to_the_garbage(registry: Registry) -> None:
    other = raw.request("GET", "/v2/nobody/tags/list")

    answer = raw.exchange(registry, (raw.PING + other) * 50 + b"\x00garbage\r\n\r\n" + raw.PING)

    assert answer.statuses == [200, 404] * 50 + [400]


@pytest.mark.parametrize(
    "request_",
    [
        raw.request("CONNECT", "evil.example:443"),
        raw.request("OPTIONS", "*"),
        raw.request("GET", "http://evil.example/latest"),
        raw.request("TRACE", "/v2/"),
        raw.request("G" * 5000, "/v2/"),
    ],
    ids=["CONNECT", "OPTIONS *", "another host", "TRACE", "a long method"],
)
def test_what_is_no_request_to_a_registry_is_refused(registry: Registry, request_: bytes) -> None:
    answer = raw.exchange(registry, request_, patience=0.5)

    assert len(answer.statuses) == 1
    assert 400 <= answer.statuses[0] < 500


def test_a_switch_of_protocol_is_not_made(registry: Registry) -> None:
    for protocol in ("websocket", "h2c"):
        headers = ["Connection: Upgrade, HTTP2-Settings", f"Upgrade: {protocol}"]
        settings = "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"
        answer = raw.exchange(
            registry, raw.request("GET", "/v2/", *headers, settings), patience=0.5
        )
        assert answer.statuses == [200]


@pytest.mark.parametrize("size", [1_000, 60_000, 300_000, 2_500_000])
def test_a_body_that_was_not_wanted_does_not_cost_the_next_request(
    registry: Registry, repository: str, size: int
) -> None:
    """A client reuses the connection unless it is told that it ends."""
    for _ in range(10):
        with registry.client() as client:
            for method in ("PATCH", "PUT", "DELETE"):
                path = f"/v2/{repository}/blobs/uploads/unknown"
                assert client.request(method, path, content=b"x" * size).status_code == 404
