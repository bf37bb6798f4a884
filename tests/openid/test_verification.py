"""Which tokens are believed, and where keys come from: forged tokens, rotated keys, misbehaving servers."""

import base64
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from longshore.openid.errors import ProviderUnavailable, TokenRefused
from longshore.openid.keys import KeySet, StaticKeys
from longshore.openid.provider import AGAIN, FAILED, FRESH, STALE, Provider
from longshore.openid.verification import Expected, looks_like_token, unverified_issuer, verify
from longshore.openid.web import MAX_LENGTH, Web, check_named
from tests.services.issuer import Issuer, answer
from tests.services.oidc_provider import signing_key

pytestmark = pytest.mark.anyio


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def provider(issuer: Issuer, clock: Clock) -> AsyncIterator[Provider]:
    found = Provider(issuer.url, Web(seconds=5), monotonic=clock)
    yield found
    await found.close()


def expected(issuer: Issuer, **more: Any) -> Expected:
    return Expected(issuer.url, ["longshore"], **more)


async def test_a_good_token_says_who_somebody_is(issuer: Issuer, provider: Provider) -> None:
    text = issuer.token(groups=["a"])
    claims = await verify(text, provider, expected(issuer, client_id="longshore"))

    assert claims["sub"] == "somebody"
    assert claims["groups"] == ["a"]
    assert unverified_issuer(text) == issuer.url
    assert looks_like_token(text)
    assert not looks_like_token("Secret12.with.dots")


async def test_forged_and_misused_tokens_are_refused(
    issuer: Issuer, provider: Provider, start_issuer: Callable[[], Issuer]
) -> None:
    other = start_issuer()
    now = int(time.time())
    stranger = signing_key("one", "EC")
    good = issuer.token()
    header, claims, signature = good.split(".")
    cases = {
        issuer.unsigned(): "algorithm 'none'",
        issuer.signed_with_the_public_key(): "algorithm 'HS256'",
        other.token(iss=issuer.url): "signature is wrong",
        other.token(): "signature is wrong",
        Issuer.token(_with(issuer, [stranger])): "signature is wrong",
        f"{header}.{claims}x.{signature}": "",
        f"{header}.{claims}.": "",
        f"{header}.{claims}": "not of the form",
        "a.b.c": "its header",
        "x" * 40_000: "more than",
        issuer.token(aud="another"): "it is for 'another' and not for 'longshore'",
        issuer.token(aud=None): "it is for 'None'",
        issuer.token(aud=["longshore", "another"]): "names no authorized party",
        issuer.token(azp="another"): "was issued to 'another'",
        issuer.token(aud=["longshore", "another"], azp="another"): "was issued to 'another'",
        issuer.token(iss="https://elsewhere"): "its issuer is 'https://elsewhere'",
        issuer.token(exp=now - 120): "expired",
        issuer.token(exp=None): "when it expires",
        issuer.token(exp="never"): "no time",
        issuer.token(exp=True): "no time",
        issuer.token(nbf=now + 600): "begins in the future (nbf)",
        issuer.token(iat=now + 600): "begins in the future (iat)",
        issuer.token(sub=None): "whom it is about",
        issuer.token(sub=7): "whom it is about",
        issuer.token(nonce="other"): "its nonce",
        issuer.token(): "its nonce",
        issuer.token(nonce="mine", at_hash="other"): "another access token",
        issuer.token({"kid": "unknown"}): "signing key 'unknown'",
        issuer.of({"alg": "ES256", "kid": 7}): "kid is no text",
        issuer.of({"alg": "ES256", "crit": ["x"], "x": 1}): "extensions",
    }
    for text, reason in cases.items():
        with pytest.raises(TokenRefused) as refused:
            await verify(
                text,
                provider,
                expected(
                    issuer,
                    client_id="longshore",
                    nonce="mine" if "nonce" in reason or "access" in reason else "",
                    access_token="token" if "access" in reason else "",
                ),
            )
        assert reason in str(refused.value), (text, reason)
        assert signature not in str(refused.value)


def _with(issuer: Issuer, keys: list[Any]) -> Issuer:
    copy = object.__new__(Issuer)
    copy.url, copy.keys = issuer.url, keys
    return copy


async def test_the_hash_of_an_access_token_must_fit(issuer: Issuer, provider: Provider) -> None:
    # RFC 7515's way to write the left half of SHA-256("token").
    half = base64.urlsafe_b64encode(hashlib.sha256(b"token").digest()[:16]).rstrip(b"=").decode()
    wanted = expected(issuer, access_token="token")
    assert (await verify(issuer.token(at_hash=half), provider, wanted))["at_hash"] == half


async def test_a_key_without_a_name_must_be_the_only_one(
    issuer: Issuer, provider: Provider
) -> None:
    text = issuer.token({"kid": None})
    assert (await verify(text, provider, expected(issuer)))["sub"] == "somebody"
    two = StaticKeys(KeySet({"keys": [*issuer.public_keys(), *issuer.public_keys()]}), "a file")
    with pytest.raises(TokenRefused, match="a file has not exactly one for ES256"):
        await verify(text, two, expected(issuer))


async def test_keys_that_cannot_be_used_are_passed_over(issuer: Issuer) -> None:
    good = issuer.public_keys()[0]
    found = KeySet(
        {
            "keys": [
                {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"},
                {"kty": "unheard", "kid": "x"},
                {"kty": "EC", "kid": "broken"},
                {**good, "use": "enc"},
                7,
                good,
            ]
        }
    )
    assert len(found) == 1
    with pytest.raises(ProviderUnavailable, match="no JSON Web Key Set"):
        KeySet({"keys": "none"})


async def test_a_new_key_is_fetched_when_a_token_names_it_and_not_too_often(
    issuer: Issuer, provider: Provider, clock: Clock
) -> None:
    def fetched() -> int:
        return issuer.asked.count("/jwks")

    await verify(issuer.token(), provider, expected(issuer))
    await verify(issuer.token(), provider, expected(issuer))
    assert fetched() == 1
    issuer.keys = [signing_key("two", "EC")]
    for _ in range(3):
        with pytest.raises(TokenRefused, match="signing key 'two'"):
            await verify(issuer.token(), provider, expected(issuer))
    assert fetched() == 1
    clock.now += AGAIN + 1
    await verify(issuer.token(), provider, expected(issuer))
    assert fetched() == 2
    clock.now += FRESH + 1
    await verify(issuer.token(), provider, expected(issuer))
    assert fetched() == 3


async def test_a_provider_that_is_down_is_asked_seldom_and_its_last_keys_count_for_a_day(
    issuer: Issuer, provider: Provider, clock: Clock
) -> None:
    text = issuer.token(exp=int(time.time()) + 10**6)
    await verify(text, provider, expected(issuer))
    issuer.pages["/jwks"] = lambda: answer({}, 503)
    clock.now += FRESH + 1
    for _ in range(3):
        await verify(text, provider, expected(issuer))
    assert issuer.asked.count("/jwks") == 2
    clock.now += FAILED + STALE
    with pytest.raises(ProviderUnavailable, match="/jwks answered 503"):
        await verify(text, provider, expected(issuer))


async def test_what_a_provider_must_not_say(
    issuer: Issuer, clock: Clock, start_issuer: Callable[[], Issuer]
) -> None:
    other = start_issuer()
    place = "/.well-known/openid-configuration"

    async def refused(page: Any) -> str:
        issuer.pages[place] = page
        provider = Provider(issuer.url, Web(seconds=1), monotonic=clock)
        try:
            with pytest.raises(ProviderUnavailable) as error:
                await provider.find("one", "ES256")
        finally:
            await provider.close()
        return str(error.value)

    def says(**more: Any) -> Any:
        return lambda: answer({**issuer.metadata(), **more})

    def slow() -> Any:
        time.sleep(1.5)
        return answer({})

    big = b'{"x": "' + b"x" * MAX_LENGTH + b'"}'
    moved = f"{other.url}{place}"
    assert "is of the issuer https://elsewhere" in await refused(says(issuer="https://elsewhere"))
    assert "names no keys" in await refused(says(jwks_uri=None))
    assert "no http or https address" in await refused(says(jwks_uri="file:///etc/passwd"))
    assert "has a password in it" in await refused(says(jwks_uri="http://a:b@127.0.0.1/"))
    assert "redirects to" in await refused(lambda: answer({}, 302, Location=moved))
    assert "redirects again" in await refused(lambda: answer({}, 302, Location=place))
    assert "answered 404" in await refused(lambda: answer({}, 404))
    assert "no JSON object" in await refused(lambda: (200, {}, b"<html>"))
    assert "no JSON object" in await refused(lambda: answer([1]))
    assert "sent more than" in await refused(lambda: (200, {}, big))
    assert "within 1 seconds" in await refused(slow)
    assert other.asked == []
    for outer, named in (
        ("https://id.example.org", "http://id.example.org/keys"),
        ("https://id.example.org", "https://169.254.169.254/latest"),
        ("https://id.example.org", "https://localhost/keys"),
        ("https://id.example.org", "https://[::1]/keys"),
        ("https://id.example.org", "gopher://id.example.org/"),
    ):
        with pytest.raises(ProviderUnavailable):
            check_named(outer, named, "jwks_uri")
    check_named("https://accounts.example.org", "https://keys.example.com/x", "jwks_uri")
    check_named("http://127.0.0.1:1", "http://127.0.0.1:2/x", "jwks_uri")
