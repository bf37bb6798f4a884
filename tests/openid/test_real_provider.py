"""The exchange with a real provider: code and PKCE, devices, rotated keys."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import anyio.to_thread
import pytest

from longshore.openid.errors import GrantRefused, TokenRefused
from longshore.openid.exchange import (
    Client,
    Tokens,
    authorization_url,
    begin_device,
    code_challenge,
    redeem_code,
    redeem_device,
    unguessable,
    userinfo,
)
from longshore.openid.provider import AGAIN, Provider
from longshore.openid.verification import Claims, Expected, verify
from longshore.openid.web import Web
from tests.services.oidc_provider import (
    CLIENT,
    SECRET,
    Browser,
    OIDCProvider,
    StartProvider,
    signing_key,
)

pytestmark = [pytest.mark.service, pytest.mark.anyio]

BACK = "http://127.0.0.1:9/c/oidc/callback"
ME = Client(CLIENT, SECRET)
SCOPE = "openid profile email groups"


class Login:
    """One login by code, step by step."""

    def __init__(self, real: OIDCProvider, provider: Provider, browser: Browser) -> None:
        self.real, self.provider, self.browser = real, provider, browser
        self.verifier, self.nonce, self.state = unguessable(), unguessable(), unguessable()

    async def code(self, user: str) -> str:
        url = await authorization_url(
            self.provider,
            {
                "client_id": CLIENT,
                "response_type": "code",
                "scope": SCOPE,
                "redirect_uri": BACK,
                "state": self.state,
                "nonce": self.nonce,
                "code_challenge": code_challenge(self.verifier),
                "code_challenge_method": "S256",
            },
        )
        back = await anyio.to_thread.run_sync(lambda: self.browser.log_in(url, user, until=BACK))
        answer = parse_qs(urlsplit(back).query)
        assert answer["state"] == [self.state]
        assert answer["iss"] == [self.real.issuer]
        return answer["code"][0]

    async def redeem(self, code: str, verifier: str = "") -> Tokens:
        return await redeem_code(self.provider, ME, code, verifier or self.verifier, BACK)

    async def claims(self, tokens: Tokens, nonce: str = "") -> Claims:
        wanted = Expected(
            self.real.issuer, [CLIENT], CLIENT, nonce or self.nonce, tokens.access_token
        )
        return await verify(tokens.id_token, self.provider, wanted)


@asynccontextmanager
async def knowing(
    real: OIDCProvider, monotonic: Callable[[], float] = time.monotonic
) -> AsyncIterator[Provider]:
    found = Provider(real.issuer, Web(), monotonic=monotonic)
    try:
        yield found
    finally:
        await found.close()


class Clock:
    ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


async def test_a_login_by_code(start_provider: StartProvider, browser: Browser) -> None:
    clock = Clock()
    real = await anyio.to_thread.run_sync(start_provider, [BACK])
    async with knowing(real, clock) as provider:
        await _log_in_by_code(real, provider, clock, browser)


async def _log_in_by_code(
    real: OIDCProvider, provider: Provider, clock: Clock, browser: Browser
) -> None:
    login = Login(real, provider, browser)
    code = await login.code("alice")
    with pytest.raises(GrantRefused, match="invalid_grant"):
        await login.redeem(code, verifier=unguessable())

    login = Login(real, provider, browser)
    code = await login.code("alice")
    tokens = await login.redeem(code)
    claims = await login.claims(tokens)
    more = await userinfo(provider, tokens.access_token, "alice")
    with pytest.raises(GrantRefused, match="invalid_grant"):
        await login.redeem(code)
    with pytest.raises(TokenRefused, match="nonce"):
        await login.claims(tokens, nonce=unguessable())
    with pytest.raises(GrantRefused, match="invalid_client"):
        await redeem_code(provider, Client(CLIENT, "wrong"), code, login.verifier, BACK)

    assert claims["sub"] == "alice"
    assert claims["groups"] == more["groups"] == ["developers", "other"]

    # Other keys: the next token names one that is not known yet.
    await anyio.to_thread.run_sync(real.rotate, [signing_key("second"), signing_key("third", "EC")])
    clock.ahead += AGAIN + 1
    login = Login(real, provider, Browser())
    tokens = await login.redeem(await login.code("grace"))
    assert (await login.claims(tokens))["groups"] == ["harbour-masters"]
    login.browser.close()


async def test_a_login_by_device(start_provider: StartProvider, browser: Browser) -> None:
    real = await anyio.to_thread.run_sync(start_provider, [BACK])
    async with knowing(real) as provider:
        begun = await begin_device(provider, ME, SCOPE)
        with pytest.raises(GrantRefused) as pending:
            await redeem_device(provider, ME, begun.device_code)
        assert pending.value.code == "authorization_pending"
        await anyio.to_thread.run_sync(browser.confirm, begun.verification_uri_complete, "alice")
        tokens = await redeem_device(provider, ME, begun.device_code)
        claims = await verify(tokens.id_token, provider, Expected(real.issuer, [CLIENT], CLIENT))

        assert claims["sub"] == "alice"
        with pytest.raises(GrantRefused, match="invalid_grant"):
            await redeem_device(provider, ME, begun.device_code)
