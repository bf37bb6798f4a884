"""The Authorization header is whatever a client sends: it leads to an answer, never to an error."""

import base64
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longshore.access.header import MAX_LENGTH, Login, Unreadable, parse_login, parse_token
from tests.access.parts import basic, serving
from tests.access.tokenserver import TokenServer, certificate

_schemes = st.sampled_from(["Basic", "basic", "Bearer", "BEARER", "Digest", "", "Basic Basic"])
_logins = st.binary(max_size=60).map(lambda raw: base64.b64encode(raw).decode())
_tokens = st.text(string.ascii_letters + string.digits + "-_.=+/", max_size=80)
_anything = st.binary(max_size=80).map(lambda raw: raw.decode("latin-1"))
headers = st.one_of(
    _anything,
    st.tuples(_schemes, st.sampled_from([" ", "  ", ":", ""]), _logins | _tokens | _anything).map(
        "".join
    ),
)


@given(headers)
def test_any_header_is_parsed(value: str) -> None:
    parsed = parse_login(value.encode("latin-1"))
    assert parsed is None or isinstance(parsed, Login | Unreadable)
    assert isinstance(parse_token(value.encode("latin-1")), str)


@given(
    st.text(st.characters(codec="utf-8", exclude_characters=":\0"), min_size=1),
    st.binary(max_size=99),
)
def test_a_well_formed_login_comes_out_as_it_went_in(user: str, password: bytes) -> None:
    encoded = base64.b64encode(user.encode() + b":" + password)
    for scheme in (b"Basic ", b"basic ", b"BASIC  ", b" Basic "):
        assert parse_login(scheme + encoded) == Login(user, password)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"Basic !!!", "not Base64"),
        (b"Basic YQ", "not Base64"),
        (b"Basic YQ==", "no colon"),
        (b"Basic", "no colon"),
        (b"Basic " + base64.b64encode(b"\xff:x"), "not UTF-8"),
        (b"Basic " + b"A" * MAX_LENGTH, "more than"),
        (b"Bearer x", "holds a token"),
        (b"Negotiate x", "another scheme"),
    ],
)
def test_an_unreadable_header_has_a_reason(value: bytes, reason: str) -> None:
    parsed = parse_login(value)
    assert isinstance(parsed, Unreadable)
    assert reason in parsed.reason


@pytest.mark.parametrize("value", [b"", b"   ", b"Basic Og==", basic("", "").encode()])
def test_an_empty_login_is_no_login(value: bytes) -> None:
    assert parse_login(value) is None


def test_a_login_does_not_show_its_password() -> None:
    assert "hunter2" not in repr(Login("bob", b"hunter2"))


@pytest.mark.anyio
@given(value=headers)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_header_is_answered_by_users_of_a_file(htpasswd: Path, value: str) -> None:
    for access in ({}, {"anonymouspull": True}):
        async with serving({"htpasswd": {"path": htpasswd}}, access) as registry:
            for path in ("/v2/", "/v2/token"):
                response = await registry.ask("GET", path, authorization=value)
                assert response.status_code in (200, 401, 404, 429)
                assert path == "/v2/token" or response.status_code != 200


@pytest.mark.anyio
@given(value=headers)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_header_is_answered_by_a_token_server(tmp_path: Path, value: str) -> None:
    server = TokenServer(tmp_path, [certificate("p256")])
    async with serving(server.auth()) as registry:
        response = await registry.ask("GET", "/v2/", authorization=value)
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("Bearer ")
