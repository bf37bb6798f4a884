"""Tokens of a third party: what they open, how they are asked for, and every way to forge one."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from longshore.access.errors import AccessError
from tests.access.parts import Clock, Registry, basic, serving
from tests.access.tokenserver import (
    ALGORITHMS,
    NOW,
    SERVICE,
    TokenServer,
    certificate,
    claims,
    grant,
    libtrust,
    public_der,
    segment,
    sign,
    signing_key,
    x5c,
)

pytestmark = pytest.mark.anyio

CHALLENGE = 'Bearer realm="https://auth.example/token",service="registry.example"'
SCOPE = ',scope="repository:team/app:pull,push"'


@pytest.fixture
def server(tmp_path: Path) -> TokenServer:
    """A server that signs with the key "rsa", whose certificate the registry trusts."""
    return TokenServer(tmp_path, [certificate("rsa", authority=True)])


async def push(registry: Registry, token: str, **headers: str) -> tuple[int, str, str]:
    """Status, challenge and message of a push to team/app."""
    response = await registry.ask(
        "PUT", "/v2/team/app/x", authorization=f"Bearer {token}", **headers
    )
    if response.status_code == 200:
        return 200, "", response.json()["user"]
    challenge = response.headers.get("www-authenticate", "")
    return response.status_code, challenge, response.json()["errors"][0]["message"]


# What tokens open


async def test_without_a_token_the_challenge_says_where_to_get_one(server: TokenServer) -> None:
    async with serving(server.auth()) as registry:
        for method, path, scope in [
            ("GET", "/v2/", ""),
            ("GET", "/v2/_catalog", ',scope="registry:catalog:*"'),
            ("GET", "/v2/team/app/x", ',scope="repository:team/app:pull"'),
            ("PUT", "/v2/team/app/x", SCOPE),
            ("DELETE", "/v2/team/app/x", ',scope="repository:team/app:delete"'),
        ]:
            response = await registry.ask(method, path)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == CHALLENGE + scope


@pytest.mark.parametrize(
    ("access", "method", "path", "status"),
    [
        ([], "GET", "/v2/", 200),
        ([grant("team/app", "pull")], "GET", "/v2/team/app/x", 200),
        ([grant("team/app", "pull")], "PUT", "/v2/team/app/x", 401),
        ([grant("team/app", "push")], "PUT", "/v2/team/app/x", 401),
        ([grant("team/app", "pull"), grant("team/app", "push")], "PUT", "/v2/team/app/x", 200),
        ([grant("team/app", "*")], "PUT", "/v2/team/app/x", 200),
        ([grant("team/app", "*")], "DELETE", "/v2/team/app/x", 200),
        ([grant("team/app", "delete")], "DELETE", "/v2/team/app/x", 200),
        ([grant("team/other", "*")], "GET", "/v2/team/app/x", 401),
        ([grant("team", "*")], "GET", "/v2/team/app/x", 401),
        ([grant("team/app", "*", type="registry")], "GET", "/v2/team/app/x", 401),
        ([grant("catalog", "*", type="registry")], "GET", "/v2/_catalog", 200),
        ([grant("catalog", "pull", type="registry")], "GET", "/v2/_catalog", 401),
        ([grant("team/app", "pull", type="repository(plugin)")], "GET", "/v2/team/app/x", 200),
        ([{**grant("team/app", "pull"), "class": "image"}], "GET", "/v2/team/app/x", 200),
        ([{**grant("team/app"), "actions": None}], "GET", "/v2/team/app/x", 401),
        (None, "GET", "/v2/team/app/x", 401),
    ],
)
async def test_the_access_claim_is_the_whole_truth(
    server: TokenServer, access: Any, method: str, path: str, status: int
) -> None:
    async with serving(server.auth()) as registry:
        token = sign(claims(access=access))
        response = await registry.ask(method, path, authorization=f"Bearer {token}")
        assert response.status_code == status
        if status == 401:
            challenge = response.headers["www-authenticate"]
            assert challenge.endswith(',error="insufficient_scope"')
            assert "'carol' does not allow" in response.text


async def test_the_scheme_is_read_in_any_case_and_the_user_is_logged(server: TokenServer) -> None:
    async with serving(server.auth()) as registry:
        for scheme in ("Bearer", "bearer", "BEARER"):
            response = await registry.ask("GET", "/v2/", authorization=f"{scheme} {sign()}")
            assert response.json()["user"] == "carol"
        assert {exchange.user for exchange in registry.exchanges} == {"carol"}


async def test_a_token_without_subject_is_anonymous(server: TokenServer) -> None:
    async with serving(server.auth()) as registry:
        for subject in ("", None):
            assert await push(registry, sign(claims(sub=subject))) == (200, "", "")


async def test_the_service_may_be_one_of_several_audiences(server: TokenServer) -> None:
    async with serving(server.auth()) as registry:
        assert (await push(registry, sign(claims(aud=["other", SERVICE]))))[0] == 200
        assert (await push(registry, sign(claims(aud=["other"]))))[0] == 401


async def test_anonymous_pull_needs_no_token_and_any_valid_one_will_do(
    server: TokenServer,
) -> None:
    async with serving(server.auth(), {"anonymouspull": True}) as registry:
        useless = f"Bearer {sign(claims(access=[]))}"
        for who, base, pull, push in [
            ("", 401, 200, 401),
            (basic("", ""), 401, 200, 401),
            (useless, 200, 200, 401),
            ("Bearer forged", 401, 401, 401),
        ]:
            statuses = [
                (await registry.ask(method, path, authorization=who)).status_code
                for method, path in [("GET", "/v2/"), ("GET", "/v2/a/x"), ("PUT", "/v2/a/x")]
            ]
            assert statuses == [base, pull, push]
        assert (await registry.ask("GET", "/v2/_catalog")).status_code == 401


async def test_a_password_where_a_token_is_due_gets_the_challenge(server: TokenServer) -> None:
    async with serving(server.auth()) as registry:
        response = await registry.ask("GET", "/v2/", authorization=basic("carol", "pw"))
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith(CHALLENGE)


@pytest.mark.parametrize(
    ("settings", "headers", "realm"),
    [
        ({}, {}, "https://registry.example/auth/token"),
        ({"autoredirectpath": "/t/"}, {}, "https://registry.example/t/"),
        ({}, {"x_forwarded_proto": "https"}, "https://registry.example/auth/token"),
        ({}, {"host": "other:5000"}, "https://other:5000/auth/token"),
    ],
)
async def test_autoredirect_names_the_host_that_was_asked(
    server: TokenServer, settings: dict[str, Any], headers: dict[str, str], realm: str
) -> None:
    auth = server.auth(autoredirect=True, realm="", **settings)
    async with serving(auth) as registry:
        response = await registry.ask("GET", "/v2/", **headers)
        assert response.headers["www-authenticate"].startswith(f'Bearer realm="{realm}",')


# Keys and algorithms


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_every_algorithm_of_distribution_is_taken_by_default(
    tmp_path: Path, algorithm: str
) -> None:
    key = ALGORITHMS[algorithm]
    server = TokenServer(tmp_path)
    server.publish(key, kid="one")
    async with serving(server.auth()) as registry:
        token = sign(key=key, algorithm=algorithm, header={"kid": "one"})
        assert await push(registry, token) == (200, "", "carol")


async def test_signingalgorithms_closes_the_others(server: TokenServer) -> None:
    async with serving(server.auth(signingalgorithms=["ES256", "RS512"])) as registry:
        assert (await push(registry, sign(algorithm="RS512")))[0] == 200
        status, challenge, message = await push(registry, sign(algorithm="RS256"))
        assert status == 401
        assert challenge == f'{CHALLENGE}{SCOPE},error="invalid_token"'
        assert "'RS256' is not one of auth.token.signingalgorithms (ES256, RS512)" in message


async def test_a_certificate_of_the_bundle_is_known_by_its_key_ids(server: TokenServer) -> None:
    server.certificates.insert(0, certificate("p256"))
    async with serving(server.auth()) as registry:
        for kid in (libtrust("rsa"), signing_key("rsa").thumbprint()):
            assert (await push(registry, sign(header={"kid": kid})))[0] == 200
        token = sign(key="p256", algorithm="ES256")
        assert (await push(registry, token))[0] == 200


async def test_a_key_of_the_set_is_known_by_its_name_and_its_key_ids(tmp_path: Path) -> None:
    server = TokenServer(tmp_path)
    server.publish("p256", kid="name in the set", use="sig")
    server.publish("ed25519")
    server.keys.append({"kty": "AKP", "alg": "ML-DSA-44", "pub": "x"})  # not ours to know
    async with serving(server.auth()) as registry:
        for kid in ("name in the set", libtrust("p256"), signing_key("p256").thumbprint()):
            token = sign(key="p256", algorithm="ES256", header={"kid": kid})
            assert (await push(registry, token))[0] == 200
        token = sign(key="ed25519", algorithm="EdDSA")
        assert (await push(registry, token))[0] == 200


@pytest.mark.parametrize("kind", ["rsa", "p256", "p521"])
async def test_a_certificate_chain_in_the_token_leads_to_the_bundle(
    tmp_path: Path, kind: str
) -> None:
    algorithm = {"rsa": "PS256", "p256": "ES256", "p521": "ES512"}[kind]
    root = certificate(f"{kind} root", authority=True)
    middle = certificate(f"{kind} middle", issuer=(root, f"{kind} root"), authority=True)
    leaf = certificate(kind, issuer=(middle, f"{kind} middle"))
    server = TokenServer(tmp_path, [certificate("rsa unrelated", authority=True), root])
    async with serving(server.auth()) as registry:
        for chain in ([leaf, middle], [leaf, middle, root]):
            token = sign(key=kind, algorithm=algorithm, header={"x5c": x5c(*chain)})
            assert (await push(registry, token))[0] == 200
        # A key id that nobody knows does not hide the chain.
        token = sign(key=kind, algorithm=algorithm, header={"kid": "?", "x5c": x5c(leaf, middle)})
        assert (await push(registry, token))[0] == 200


async def test_a_certificate_of_the_bundle_may_itself_be_the_chain(tmp_path: Path) -> None:
    signer = certificate("p256")
    server = TokenServer(tmp_path, [signer])
    async with serving(server.auth()) as registry:
        token = sign(key="p256", algorithm="ES256", header={"x5c": x5c(signer)})
        assert (await push(registry, token))[0] == 200


async def test_a_trusted_key_may_come_as_jwk(server: TokenServer) -> None:
    async with serving(server.auth()) as registry:
        own = signing_key("rsa").as_dict(private=False)
        assert (await push(registry, sign(header={"jwk": own})))[0] == 200


async def test_a_new_key_set_counts_within_a_second(tmp_path: Path) -> None:
    server = TokenServer(tmp_path)
    server.publish("p256")
    old, new = sign(key="p256", algorithm="ES256"), sign(key="p384", algorithm="ES384")
    async with serving(server.auth()) as registry:
        assert (await push(registry, old))[0] == 200
        assert (await push(registry, new))[0] == 401
        server.keys.clear()
        server.publish("p384")
        server.auth()
        registry.clock.advance(1.1)
        assert (await push(registry, old))[0] == 401
        assert (await push(registry, new))[0] == 200
        os.unlink(server.key_set)
        registry.clock.advance(1.1)
        assert (await push(registry, new))[0] == 200


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a JSON Web Key Set"),
        ('{"keys": 1}', "not a JSON Web Key Set"),
        ('{"keys": []}', "holds no key"),
        ('{"keys": ["x", 1, {"kty": "unheard of"}]}', "holds no key"),
        ('{"keys": [{"kty": "RSA"}]}', "key 1 cannot be used"),
        ('{"keys": [{"kty": "EC", "crv": "P-1", "x": "AA", "y": "AA"}]}', "key 1 cannot be used"),
        ('{"keys": [{"kty": "oct", "k": "c2hvcnQ"}]}', "the secret has 5 bytes"),
        ('{"keys": [{"kty": "oct", "k": "!"}]}', "key 1"),
        (json.dumps({"keys": [{"kty": "oct", "k": segment(b"x" * 31)}]}), "31 bytes"),
    ],
)
async def test_an_unusable_key_set_stops_the_start(
    tmp_path: Path, content: str, complaint: str
) -> None:
    server = TokenServer(tmp_path, keys=[{}])
    auth = server.auth()
    server.key_set.write_text(content)
    with pytest.raises(AccessError, match=complaint) as caught:
        async with serving(auth):
            pass
    assert str(server.key_set) in str(caught.value)
    assert "c2hvcnQ" not in str(caught.value)


async def test_a_public_key_that_poses_as_a_secret_stops_the_start(tmp_path: Path) -> None:
    server = TokenServer(tmp_path, keys=[{"kty": "oct", "k": segment(public_der("rsa"))}])
    with pytest.raises(AccessError):
        async with serving(server.auth()):
            pass


@pytest.mark.parametrize("content", [b"", b"nothing", b"-----BEGIN CERTIFICATE-----\nx\n"])
async def test_an_unusable_bundle_stops_the_start(tmp_path: Path, content: bytes) -> None:
    server = TokenServer(tmp_path, [certificate("rsa")])
    auth = server.auth()
    server.bundle.write_bytes(content)
    with pytest.raises(AccessError, match="no certificates in PEM form"):
        async with serving(auth):
            pass


async def test_tokens_without_a_bundle_cannot_bring_certificates(tmp_path: Path) -> None:
    server = TokenServer(tmp_path)
    server.publish("p256")
    async with serving(server.auth()) as registry:
        token = sign(header={"x5c": x5c(certificate("rsa"))})
        _, _, message = await push(registry, token)
        assert "rootcertbundle is not set" in message


async def test_the_key_of_a_jwk_is_that_of_its_certificate(tmp_path: Path) -> None:
    root = certificate("rsa root", authority=True)
    chain = x5c(certificate("rsa leaf", issuer=(root, "rsa root")))
    server = TokenServer(tmp_path, [root])
    async with serving(server.auth()) as registry:
        for name, status in (("rsa leaf", 200), ("rsa other", 401)):
            own = signing_key(name).as_dict(private=False) | {"x5c": chain}
            assert (await push(registry, sign(key=name, header={"jwk": own})))[0] == status


async def test_neither_messages_nor_logs_show_a_token(
    server: TokenServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with serving(server.auth()) as registry:
        for token in (sign(), sign(claims(iss="Evil")), sign(claims(exp=NOW - 100))):
            await push(registry, token)
            for part in token.split("."):
                assert part not in caplog.text + repr(registry.exchanges)


# Time


@pytest.mark.parametrize(("claim", "offset"), [("exp", -59), ("nbf", 59), ("iat", 59)])
async def test_clocks_may_differ_by_a_minute(server: TokenServer, claim: str, offset: int) -> None:
    async with serving(server.auth()) as registry:
        assert (await push(registry, sign(claims(**{claim: NOW + offset}))))[0] == 200


async def test_a_remembered_token_ends_when_it_expires(server: TokenServer) -> None:
    clock = Clock()
    async with serving(server.auth(), clock=clock) as registry:
        token = sign()
        assert (await push(registry, token))[0] == 200
        clock.advance(359)
        assert (await push(registry, token))[0] == 200
        clock.advance(2)
        status, _, message = await push(registry, token)
        assert status == 401
        assert "expired" in message


async def test_an_expired_token_continues_the_uploads_of_its_own_subject_only(
    server: TokenServer,
) -> None:
    async with serving(server.auth()) as registry:
        old = claims(exp=NOW - 3600)
        response = await registry.ask(
            "PUT",
            "/v2/team/app/x",
            authorization=f"Bearer {sign(old)}",
            x_upload_owner="carol",
        )
        assert response.json() == {"user": "carol", "expired": True}
        for token, owner in [
            (sign(old), "dave"),
            (sign({**old, "sub": "dave"}), "carol"),
            (sign({**old, "access": [grant("team/app", "pull")]}), "carol"),
            (sign({**old, "access": [grant("other", "*")]}), "carol"),
            (sign({**old, "iss": "Evil"}), "carol"),
            (sign(old, key="rsa other", header={"kid": libtrust("rsa")}), "carol"),
        ]:
            assert (await push(registry, token, x_upload_owner=owner))[0] == 401
        assert (await push(registry, sign(old)))[0] == 401
