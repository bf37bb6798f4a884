"""Where a server listens, and what it does with what is no decent request."""

import socket
from pathlib import Path

import pytest

from longshore.http.server import ServerFailed
from longshore.http.server.sockets import listen, listen_unix, parse_address, release
from tests.http.server.conftest import Running, Start


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (":5000", "", 5000),
        ("127.0.0.1:5000", "127.0.0.1", 5000),
        ("[::1]:5000", "::1", 5000),
        ("localhost:0", "localhost", 0),
    ],
)
def test_addresses_are_written_as_in_go(text: str, host: str, port: int):
    assert parse_address(text) == (host, port)


@pytest.mark.parametrize("text", ["", "5000", "host", "::1:5000", ":65536", ":http", "[::1]"])
def test_what_is_no_address_is_refused_with_the_right_form(text: str):
    with pytest.raises(ServerFailed, match=r"HOST:PORT|needs brackets"):
        parse_address(text)


@pytest.mark.parametrize("address", [":0", "127.0.0.1:0", "[::1]:0", "localhost:0"])
def test_every_form_can_be_reached_by_ipv4_where_it_should(address: str):
    listener = listen(address, 8)
    port = listener.getsockname()[1]
    where = "::1" if "::1" in address else "127.0.0.1"

    socket.create_connection((where, port), timeout=2).close()

    release(listener)
    release(listener)


def test_an_address_of_another_machine_is_named():
    with pytest.raises(ServerFailed, match=r"192\.0\.2\.1:0: this machine has no such address"):
        listen("192.0.2.1:0", 8)


def test_a_unix_socket_is_served_and_removed_at_the_end(start: Start, engine: str, tmp_path: Path):
    path = tmp_path / "registry.sock"
    server = start(engine=engine, unix=True, address=str(path)).wait()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(path))
        client.sendall(b"GET /scope HTTP/1.1\r\nHost: local\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(4096), b""))

    assert b"200 OK" in answer
    assert server.service.stop() == 0
    assert not path.exists()


def test_a_unix_socket_left_by_a_dead_server_is_replaced_but_a_live_one_is_not(tmp_path: Path):
    path = str(tmp_path / "registry.sock")
    dead = listen_unix(path, 8)
    dead.close()

    alive = listen_unix(path, 8)

    with pytest.raises(ServerFailed, match="another server answers there"):
        listen_unix(path, 8)
    release(alive)
    (tmp_path / "registry.sock").write_text("precious")
    with pytest.raises(ServerFailed, match="no socket"):
        listen_unix(path, 8)


@pytest.fixture
def server(start: Start, engine: str) -> Running:
    return start(engine=engine, header_timeout=1).wait()


def test_a_head_that_never_ends_is_given_up(server: Running):
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as slow:
        slow.sendall(b"GET /pid HTTP/1.1\r\nHost: a\r\nX-Slow: ")

        while slow.recv(4096):
            pass


def test_a_connection_that_says_nothing_is_closed(server: Running):
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as silent:
        while silent.recv(4096):
            pass


def test_a_second_request_that_comes_slowly_is_given_up_too(server: Running):
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as slow:
        slow.sendall(b"GET /pid HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"200 OK" in slow.recv(4096)
        slow.sendall(b"GET /pid HTT")

        while slow.recv(4096):
            pass


def test_a_long_request_is_not_cut_by_the_limit_to_its_head(server: Running):
    connection = server.connect()
    connection.putrequest("PUT", "/upload")
    connection.putheader("Content-Length", "2000")
    connection.endheaders(b"a" * 1000)
    connection.sock.settimeout(1.5)
    with pytest.raises(TimeoutError):
        connection.sock.recv(1)
    connection.sock.settimeout(5)
    connection.send(b"a" * 1000)

    assert connection.getresponse().read() == b'{"received": 2000}'


def test_a_head_that_is_too_large_is_told_so(server: Running):
    head = b"GET /pid HTTP/1.1\r\nHost: a\r\nX-Large: " + b"a" * 2_000_000

    assert b" 431 " in server.raw(head).partition(b"\r\n")[0] + b" "


def test_a_path_that_is_too_long_is_told_so(start: Start):
    server = start().wait()

    assert b" 414 " in server.raw(b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")


def test_what_is_not_http_is_a_bad_request(server: Running):
    assert b" 400 " in server.raw(b"\x16\x03\x01 hello\r\n\r\n")
