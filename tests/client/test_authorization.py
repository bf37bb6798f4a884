"""Challenges are answered; credentials reach only those who may have them."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.client.addresses import realm_objection
from longshore.client.challenge import Challenge, parse_challenges
from longshore.client.connection import Connection
from longshore.client.copying import copy
from longshore.client.credentials import Anonymous, Credential, CredentialSource, OneCredential
from longshore.client.errors import RealmRefused, Unauthenticated
from longshore.client.layout import OciLayout
from longshore.client.registry import RegistryClient
from longshore.oci.names import RepositoryName, Tag
from tests.client.conftest import SERVERS, peer_factory
from tests.client.scripted import Answer, ScriptedServer, Seen, scripted
from tests.client.token_server import PASSWORD, REFRESH, SERVICE, USER, TokenServer
from tests.services.certificates import Authority
from tests.services.images import single_image
from tests.services.registries import Registry

CAROL = Credential(USER, PASSWORD)
PLAIN = Connection(plain_http=True, certificate_directories=())


class Guarded:
    """A registry behind a token server."""

    def __init__(self, registry: Registry, tokens: TokenServer, server: ScriptedServer) -> None:
        self.registry = registry
        self.tokens = tokens
        self.server = server

    def client(self, credential: Credential | None) -> RegistryClient:
        credentials: CredentialSource = OneCredential(credential) if credential else Anonymous()
        return RegistryClient(self.registry.host, credentials=credentials, connection=PLAIN)


@pytest.fixture(scope="module", params=SERVERS)
def guarded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[Guarded]:
    directory = tmp_path_factory.mktemp("tokens")
    factory = peer_factory(request.param, directory, authority)
    with ExitStack() as stack:
        tokens = TokenServer(directory)
        server = stack.enter_context(scripted(tokens))
        stack.callback(factory.close)
        config = tokens.auth(f"http://{server.host}/token")
        registry = factory(config, ready=_wants_a_token)
        yield Guarded(registry, tokens, server)


def _wants_a_token(registry: Registry) -> bool:
    try:
        return httpx.get(f"{registry.url}/v2/").status_code == httpx.codes.UNAUTHORIZED
    except httpx.TransportError:
        return False


@pytest.mark.anyio
@pytest.mark.service
class TestWithTokens:
    async def test_an_image_is_pushed_and_pulled_with_tokens(
        self, guarded: Guarded, repository: str, tmp_path: Path
    ) -> None:
        digest = single_image(tmp_path / "image")
        name = RepositoryName(repository)

        async with guarded.client(CAROL) as client:
            await copy(OciLayout(tmp_path / "image"), client.repository(name), "v1")
            pulled = await copy(
                client.repository(name, Tag("v1")), OciLayout(tmp_path / "back"), "v1"
            )

        assert pulled.descriptor.digest == digest

    async def test_many_requests_share_a_few_tokens(
        self, guarded: Guarded, repository: str, tmp_path: Path
    ) -> None:
        single_image(tmp_path / "image", *({"f": bytes([n])} for n in range(12)))
        before = len(guarded.server.seen)

        async with guarded.client(CAROL) as client:
            target = client.repository(RepositoryName(repository))
            await copy(OciLayout(tmp_path / "image"), target, "v1")

        asked = [
            [value for key, value in seen.query if key == "scope"]
            for seen in guarded.server.seen[before:]
        ]
        assert sorted(asked) == [
            [f"repository:{repository}:pull"],
            [f"repository:{repository}:pull,push"],
        ]

    async def test_a_mount_asks_for_both_repositories(
        self, guarded: Guarded, repository: str, tmp_path: Path
    ) -> None:
        single_image(tmp_path / "image")
        async with guarded.client(CAROL) as client:
            one = client.repository(RepositoryName(repository), Tag("v1"))
            await copy(OciLayout(tmp_path / "image"), one, "v1")
            other = client.repository(RepositoryName(f"{repository}-copy"))
            copied = await copy(one, other, "v1")

        assert (copied.blobs_mounted, copied.blobs_copied) == (3, 0)

    async def test_a_wrong_password_is_named(self, guarded: Guarded, repository: str) -> None:
        async with guarded.client(Credential(USER, "guess")) as client:
            with pytest.raises(Unauthenticated, match=f"'{USER}' or its password is wrong"):
                await client.login()

    async def test_nobody_in_particular_gets_a_token_but_may_do_nothing(
        self, guarded: Guarded, repository: str
    ) -> None:
        async with guarded.client(None) as client:
            with pytest.raises(Unauthenticated, match="longshore login"):
                await client.repository(RepositoryName(repository)).get(Tag("v1"))

    async def test_an_identity_token_stands_for_the_password(
        self, guarded: Guarded, repository: str, tmp_path: Path
    ) -> None:
        single_image(tmp_path / "image")
        guarded.tokens.refresh = True
        try:
            async with guarded.client(CAROL) as client:
                token = await client.login()
        finally:
            guarded.tokens.refresh = False
        before = len(guarded.server.seen)

        async with guarded.client(Credential(USER, identity_token=token)) as client:
            target = client.repository(RepositoryName(repository))
            await copy(OciLayout(tmp_path / "image"), target, "v1")

        assert token == REFRESH
        first = guarded.server.seen[before]
        assert (first.method, first.form()["grant_type"], first.form()["service"]) == (
            "POST",
            "refresh_token",
            SERVICE,
        )
        assert "Authorization" not in first.headers

    async def test_an_expired_token_is_replaced_before_it_is_used(
        self, guarded: Guarded, repository: str, tmp_path: Path
    ) -> None:
        guarded.tokens.lifetime = 0.001
        before = len(guarded.server.seen)
        try:
            async with guarded.client(CAROL) as client:
                await client.ping()
                await client.ping()
        finally:
            guarded.tokens.lifetime = 300

        assert len(guarded.server.seen) == before + 2


@pytest.mark.anyio
async def test_a_token_that_was_withdrawn_is_replaced_once() -> None:
    given_out = iter(["old", "new", "newer"])

    def script(seen: Seen) -> Answer:
        if seen.path == "/token":
            return Answer.json({"access_token": next(given_out)})
        if seen.headers.get("Authorization") != "Bearer new":
            challenge = f'Bearer realm="http://{server.host}/token",service="s"'
            return Answer(401, headers={"WWW-Authenticate": challenge})
        return Answer.json({"tags": ["v1"]})

    with scripted(script) as server:
        async with RegistryClient(server.host, connection=PLAIN) as client:
            tags = [tag async for tag in client.repository(RepositoryName("a/b")).tags()]

    assert tags == ["v1"]


@pytest.mark.anyio
async def test_a_registry_that_always_says_401_is_asked_twice() -> None:
    challenge = {"WWW-Authenticate": 'Basic realm="r"'}

    with scripted(lambda seen: Answer(401, headers=challenge)) as server:
        credentials = OneCredential(CAROL)
        async with RegistryClient(server.host, credentials=credentials, connection=PLAIN) as client:
            with pytest.raises(Unauthenticated):
                await client.repository(RepositoryName("a/b")).get(Tag("v1"))

    sent = ["Authorization" in seen.headers for seen in server.seen]
    assert sent == [False, True]


@pytest.mark.anyio
async def test_a_password_is_not_sent_to_a_stranger_that_the_registry_names() -> None:
    with scripted(lambda seen: Answer.json({"token": "t"})) as stranger:
        realm = f"http://evil.example:{stranger.port}/token"
        challenge = {"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'}
        with scripted(lambda seen: Answer(401, headers=challenge)) as server:
            credentials = OneCredential(CAROL)
            async with RegistryClient(
                server.host, credentials=credentials, connection=PLAIN
            ) as client:
                with pytest.raises(RealmRefused, match=r"--trust-realm evil\.example"):
                    await client.ping()

    assert stranger.seen == []


TRUSTED = frozenset({"tokens.partner.example"})


@pytest.mark.parametrize(
    ("registry", "realm", "allowed"),
    [
        ("https://registry.example.com", "https://registry.example.com/token", True),
        ("https://registry.example.com", "https://auth.example.com/token", True),
        ("https://example.com:5000", "https://example.com/token", True),
        ("https://registry-1.docker.io", "https://auth.docker.io/token", True),
        ("https://one.github.io", "https://two.github.io/token", False),
        ("https://example.co.uk", "https://evil.co.uk/token", False),
        ("https://registry.corp", "https://auth.corp/token", False),
        ("https://registry.example.com", "https://example.com.evil.net/token", False),
        ("https://registry.example.com", "http://registry.example.com/token", False),
        ("https://registry.example.com", "http://auth.example.com/token", False),
        ("https://registry.example.com", "https://tokens.partner.example/token", True),
        ("https://registry.example.com", "http://tokens.partner.example/token", False),
        ("https://registry.example.com", "ftp://registry.example.com/token", False),
        ("https://10.0.0.1:5000", "https://10.0.0.1:5001/token", True),
        ("https://10.0.0.1:5000", "https://10.0.0.2:5001/token", False),
        ("http://localhost:5000", "http://127.0.0.1:5001/token", True),
        ("http://[::1]:5000", "http://localhost:5001/token", True),
        ("http://localhost:5000", "http://evil.example/token", False),
    ],
)
def test_who_may_have_a_registrys_credentials(registry: str, realm: str, allowed: bool) -> None:
    objection = realm_objection(httpx.URL(registry), httpx.URL(realm), TRUSTED)

    assert (objection is None) == allowed, objection


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Basic realm="a b"', [Challenge("basic", {"realm": "a b"})]),
        ("Basic", [Challenge("basic", {})]),
        (
            'Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push x:y:z"',
            [
                Challenge(
                    "bearer",
                    {
                        "realm": "https://a/t",
                        "service": "s",
                        "scope": "repository:a/b:pull,push x:y:z",
                    },
                )
            ],
        ),
        (
            'BEARER Realm = "r" , error="invalid_token", Basic realm="q\\"uote"',
            [
                Challenge("bearer", {"realm": "r", "error": "invalid_token"}),
                Challenge("basic", {"realm": 'q"uote'}),
            ],
        ),
        (
            "Negotiate, Basic realm=plain",
            [Challenge("negotiate", {}), Challenge("basic", {"realm": "plain"})],
        ),
        ("", []),
        ('="', []),
    ],
)
def test_a_challenge_is_understood(header: str, expected: list[Challenge]) -> None:
    assert parse_challenges([header]) == expected


@given(st.lists(st.text(max_size=200), max_size=3))
def test_no_header_breaks_the_parser(headers: list[str]) -> None:
    for challenge in parse_challenges(headers):
        assert challenge.scheme == challenge.scheme.lower()


def test_a_credential_does_not_show_its_secrets() -> None:
    shown = repr(Credential("carol", "secret1", "secret2", "secret3"))

    assert "carol" in shown
    assert "secret" not in shown
