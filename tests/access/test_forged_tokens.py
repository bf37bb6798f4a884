"""Every way we know to forge a token; each is refused, with its reason, and the server goes on."""

import base64
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.access.parts import serving
from tests.access.test_token import CHALLENGE, SCOPE, push
from tests.access.tokenserver import (
    ISSUER,
    NOW,
    SERVICE,
    SHARED,
    TokenServer,
    certificate,
    claims,
    grant,
    libtrust,
    pem,
    public_der,
    public_pem,
    segment,
    sign,
    signing_key,
    x5c,
)

pytestmark = pytest.mark.anyio


def _forgeries() -> Iterator[tuple[str, str, str]]:
    """What an attacker may send, and what the refusal says."""
    kid = {"kid": libtrust("rsa")}
    body = segment(claims())
    value: Any
    good = sign()
    head, _, signature = good.split(".")

    for name in ("none", "None", "NONE", "nOnE"):
        unsigned = segment({"alg": name, **kid})
        yield f"algorithm {name}", f"{unsigned}.{body}.", "algorithm"
        yield f"algorithm {name}, signed", f"{unsigned}.{body}.{signature}", "algorithm"
    for value in (None, 1, [], ["RS256"], {"RS256": 1}):
        yield f"algorithm {value!r}", f"{segment({'alg': value, **kid})}.{body}.x", "algorithm"
    yield "no algorithm", f"{segment(kid)}.{body}.{signature}", "algorithm"

    for form, public in [
        ("PEM", public_pem("rsa")),
        ("PEM stripped", public_pem("rsa").strip()),
        ("DER", public_der("rsa")),
        ("certificate", pem(certificate("rsa"))),
        ("empty", b""),
    ]:
        yield f"HS256 with the public key as {form}", _hmac(kid, claims(), public), "verified"

    yield "other key", sign(key="rsa other", header=kid), "signature is wrong"
    yield "other kind of key", sign(key="p256", algorithm="ES256", header=kid), "verified"
    yield "unknown key id", sign(key="rsa other"), "neither in"
    yield "key id of another type", sign(header={"kid": 5}), "names no signing key"
    yield "no key id", sign(header={}), "names no signing key"
    own = signing_key("rsa other").as_dict(private=False)
    yield "its own key", sign(key="rsa other", header={"jwk": own}), "not one of the trusted"
    yield "its own key, twice", sign(key="rsa other", header={**kid, "jwk": own}), "signature"
    secret = {"kty": "oct", "k": segment(SHARED)}
    yield "a secret", sign(key="shared", algorithm="HS256", header={"jwk": secret}), "secret"
    for value in (1, [], "x", {}, {"kty": "RSA"}, {"kty": "RSA", "n": 1, "e": []}):
        yield f"jwk {value!r}", sign(header={"jwk": value}), "cannot be read"
    url = "https://attacker.example/keys"
    yield "a key elsewhere", sign(key="rsa other", header={"jku": url, "x5u": url}), "no signing"

    yield "other issuer", sign(claims(iss="Evil")), "'Evil' and not 'Acme token server'"
    yield "no issuer", sign(claims(iss=None)), "issuer"
    yield "issuer as list", sign(claims(iss=[ISSUER])), "issuer"
    yield "other audience", sign(claims(aud="other")), "'other' and not for 'registry.example'"
    yield "no audience", sign(claims(aud=None)), "not for"
    yield "audience as object", sign(claims(aud={SERVICE: 1})), "not for"
    yield "expired", sign(claims(exp=NOW - 61)), "expired 61 seconds ago"
    yield "no expiry", sign(claims(exp=None)), "'exp'"
    for value in ("never", True, -1, 1e300, 10**400, [], {}):
        yield f"expiry {value!r:.20}", sign(claims(exp=value)), "'exp'"
    for value in (b"NaN", b"Infinity", b"-Infinity"):
        odd = json.dumps(claims(exp=7777)).encode().replace(b"7777", value)
        yield f"expiry {value!r}", sign(odd), "'exp'"
    yield "not yet valid", sign(claims(nbf=NOW + 61)), "begins in the future (nbf)"
    yield "issued in the future", sign(claims(iat=NOW + 61)), "begins in the future (iat)"
    yield "nbf as text", sign(claims(nbf="soon")), "'nbf'"
    yield "subject as number", sign(claims(sub=1)), "'sub'"

    for value in ("all", 1, {"a": 1}, [1], [[]], [{}], [grant("a") | {"name": 1}]):
        yield f"access {value!r}", sign(claims(access=value)), "'access'"
    for value in ("pull", 1, {"pull": 1}, [1], [["pull"]]):
        broken = [{**grant("team/app"), "actions": value}]
        yield f"actions {value!r}", sign(claims(access=broken)), "'access'"
    for value in ([], "x", 1, None):
        yield f"claims {value!r}", sign(json.dumps(value).encode()), "verified"
    yield "claims that are no JSON", sign(b"{"), "verified"
    yield "deep claims", sign(b"[" * 20_000), "verified"

    tampered = segment(claims(access=[grant("team/app", "*")]))
    yield "tampered claims", f"{head}.{tampered}.{signature}", "signature is wrong"
    yield "cut signature", good[:-4], "wrong"
    yield "no signature", f"{head}.{body}.", "wrong"
    yield "unencoded payload", sign(header={**kid, "b64": False, "crit": ["b64"]}), "extensions"
    yield "critical extension", sign(header={**kid, "crit": ["exp"]}), "extensions"
    yield "crit of nonsense", sign(header={**kid, "crit": 5}), "extensions"

    for text in ("", "x", ".", "..", "...", "a.b", "a.b.c.d", "!.!.!", "é.é.é", "=.=.="):
        yield f"garbage {text!r}", text, ""
    for raw in (b"[]", b"1", b"null", b'"x"', b"{", b"\xff", b"[" * 20_000):
        yield f"header {raw[:10]!r}", f"{segment(raw)}.{body}.x", "its header"
    yield "long header", f"{'A' * 40_000}.{body}.x", "longer than"
    yield "long token", f"{segment({'alg': 'RS256', **kid})}.{'A' * 70_000}.x", "bytes, more than"
    yield "nested JWE", "a.b.c.d.e", "form"


def _hmac(header: dict[str, Any], body: dict[str, Any], secret: bytes) -> str:
    signed = f"{segment({'alg': 'HS256', **header})}.{segment(body)}"
    return f"{signed}.{segment(hmac.digest(secret, signed.encode(), 'sha256'))}"


async def test_a_forged_or_broken_token_is_refused_with_its_reason(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    server = TokenServer(tmp_path, [certificate("rsa", authority=True)])
    async with serving(server.auth()) as registry:
        for name, token, reason in _forgeries():
            with subtests.test(name):
                status, challenge, message = await push(registry, token)
                assert status == 401
                assert challenge == f'{CHALLENGE}{SCOPE},error="invalid_token"'
                assert reason in message
                assert len(message) < 500
                # Nothing is opened by trying again: refusals are not remembered as proofs.
                assert (await push(registry, token))[0] == 401
        assert (await push(registry, sign()))[0] == 200


def _bad_chains() -> Iterator[tuple[str, Any, str]]:
    root = certificate("p256 root", authority=True)
    other_root = certificate("p256 other root", authority=True)
    no_authority = certificate("p256 middle", issuer=(root, "p256 root"))
    impostor = certificate("p256 root", authority=True)  # the name and the key are not enough
    yield "self-signed", x5c(certificate("p256 leaf")), "does not lead"
    yield (
        "other root",
        x5c(certificate("p256 leaf", issuer=(other_root, "p256 other root"))),
        "lead",
    )
    yield (
        "brings its own root",
        x5c(certificate("p256 leaf", issuer=(other_root, "p256 other root")), other_root),
        "lead",
    )
    yield (
        "issued by no authority",
        x5c(certificate("p256 leaf", issuer=(no_authority, "p256 middle")), no_authority),
        "lead",
    )
    yield "ended", x5c(certificate("p256 leaf", issuer=(root, "p256 root"), days=-1)), "valid from"
    yield (
        "signed with another key",
        x5c(certificate("p256 leaf", issuer=(impostor, "p256 other root"))),
        "lead",
    )
    good = x5c(certificate("p256 leaf", issuer=(root, "p256 root")))
    yield "empty", [], "x5c"
    yield "too long", good * 20, "x5c"
    value: Any
    for value in ("x", 1, {}, [1], [[]], ["!"], ["AAAA"], [good[0][:100]]):
        yield f"{value!r:.30}", value, ""


async def test_a_bad_certificate_chain_is_refused(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    server = TokenServer(tmp_path, [certificate("p256 root", authority=True)])
    async with serving(server.auth()) as registry:
        for name, chain, reason in _bad_chains():
            with subtests.test(name):
                token = sign(key="p256 leaf", algorithm="ES256", header={"x5c": chain})
                status, challenge, message = await push(registry, token)
                assert status == 401
                assert 'error="invalid_token"' in challenge
                assert reason in message


async def test_a_damaged_certificate_is_refused_wherever_it_is_damaged(tmp_path: Path) -> None:
    root = certificate("p256 root", authority=True)
    leaf = base64.b64decode(x5c(certificate("p256", issuer=(root, "p256 root")))[0])
    server = TokenServer(tmp_path, [root])
    async with serving(server.auth()) as registry:
        for at in range(0, len(leaf), 3):
            damaged = leaf[:at] + bytes([leaf[at] ^ 0x55]) + leaf[at + 1 :]
            header = {"x5c": [base64.b64encode(damaged).decode()]}
            token = sign(key="p256", algorithm="ES256", header=header)
            assert (await push(registry, token))[0] == 401
