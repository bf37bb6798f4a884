"""Proxy headers: believed from trusted addresses only, and from the right."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.http.forwarded import TrustedProxies
from longshore.telemetry.exchange import Exchange

PROXIES = TrustedProxies(["10.0.0.0/8", "2001:db8:1::/48"])


def seen(
    *headers: tuple[str, str], peer: str | None = "10.0.0.1", proxies: TrustedProxies = PROXIES
) -> tuple[str, str, str]:
    """Client, scheme and host as the application sees them."""
    scope = {
        "client": (peer, 1234) if peer is not None else None,
        "scheme": "http",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
    }
    exchange = Exchange("id", "GET", "/v2/")
    proxies.apply(scope, exchange)
    return exchange.client, str(scope["scheme"]), exchange.host


def test_without_a_proxy_the_connection_says_it_all():
    assert seen(("Host", "registry:5000"), peer="192.0.2.1") == (
        "192.0.2.1",
        "http",
        "registry:5000",
    )


def test_headers_from_an_untrusted_address_are_ignored():
    headers = [
        ("Host", "registry.example"),
        ("X-Forwarded-For", "1.1.1.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
        ("Forwarded", "for=1.1.1.1;proto=https;host=evil.example"),
    ]

    assert seen(*headers, peer="192.0.2.1") == ("192.0.2.1", "http", "registry.example")


def test_a_trusted_proxy_says_who_came_how():
    headers = [
        ("Host", "backend:5000"),
        ("X-Forwarded-For", "192.0.2.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "registry.example"),
    ]

    assert seen(*headers) == ("192.0.2.7", "https", "registry.example")


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        ("1.1.1.1, 192.0.2.7", "192.0.2.7"),
        ("1.1.1.1, 192.0.2.7, 10.0.0.2", "192.0.2.7"),
        ("192.0.2.7, 10.0.0.2, 10.0.0.3", "192.0.2.7"),
        ("10.0.0.9, 10.0.0.2", "10.0.0.9"),
        ("192.0.2.7:4711", "192.0.2.7"),
        ("[2001:db8::7]:4711, 2001:db8:1::1", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("unknown", "unknown"),
        ("", "10.0.0.1"),
    ],
)
def test_a_client_cannot_invent_hops_on_the_left(chain: str, client: str):
    assert seen(("X-Forwarded-For", chain))[0] == client


def test_a_line_that_the_proxy_added_comes_after_the_clients_own():
    lines = [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "192.0.2.7")]

    assert seen(*lines)[0] == "192.0.2.7"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("for=192.0.2.7;proto=https;host=registry.example", ("192.0.2.7", "https", "registry.example")),
        ('For="[2001:db8::7]:4711";Proto=HTTPS', ("2001:db8::7", "https", "h")),
        ("for=1.1.1.1;host=evil.example, for=192.0.2.7;host=good.example", ("192.0.2.7", "http", "good.example")),
        ("for=192.0.2.7;proto=https, for=10.0.0.2;proto=http", ("192.0.2.7", "https", "h")),
        ('for="_a,b;c";proto=https', ("_a,b;c", "https", "h")),
        ("for=_hidden", ("_hidden", "http", "h")),
        ("proto=https", ("10.0.0.1", "https", "h")),
        ("proto=gopher;host=a/b", ("10.0.0.1", "http", "h")),
        ("for=192.0.2.7 proto=https", ("10.0.0.1", "http", "h")),
    ],
)  # fmt: skip
def test_forwarded_is_read_as_rfc_7239_has_it(header: str, expected: tuple[str, str, str]):
    assert seen(("Host", "h"), ("Forwarded", header)) == expected


@pytest.mark.parametrize("host", ["", "a b", 'x"y', "a/b", "user@host", "host:port", "[::1"])
def test_a_host_that_is_none_goes_nowhere(host: str):
    assert seen(("Host", host), peer="192.0.2.1")[2] == ""
    assert seen(("Host", "good"), ("X-Forwarded-Host", host))[2] == "good"


@pytest.mark.parametrize("host", ["registry", "registry.example:5000", "[2001:db8::1]:5000"])
def test_a_host_with_or_without_port_is_taken(host: str):
    assert seen(("X-Forwarded-Host", f"{host}, inner"))[2] == host


def test_an_ipv4_client_of_a_socket_for_both_is_an_ipv4_client():
    assert seen(peer="::ffff:192.0.2.1")[0] == "192.0.2.1"
    assert seen(("X-Forwarded-For", "192.0.2.7"), peer="::ffff:10.0.0.1")[0] == "192.0.2.7"


def test_whoever_may_open_the_unix_socket_is_a_proxy():
    assert seen(("X-Forwarded-For", "192.0.2.7"), peer=None)[0] == "192.0.2.7"
    assert seen(peer=None)[0] == ""


def test_nobody_is_trusted_unless_named():
    nobody = TrustedProxies([])

    assert seen(("X-Forwarded-For", "1.1.1.1"), peer="127.0.0.1", proxies=nobody)[0] == "127.0.0.1"
    with pytest.raises(ValueError, match="nonsense"):
        TrustedProxies(["nonsense"])


latin = st.text(alphabet=st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=80)


@given(latin, latin, latin, latin)
def test_no_header_makes_it_stumble(forwarded: str, chain: str, proto: str, host: str):
    client, scheme, named = seen(
        ("Forwarded", forwarded),
        ("X-Forwarded-For", chain),
        ("X-Forwarded-Proto", proto),
        ("X-Forwarded-Host", host),
    )

    assert scheme in ("http", "https")
    assert not set(named) & set(' "/\\<>@')
    assert len(client) <= 80
