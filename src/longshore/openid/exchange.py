"""Requests of a client to a provider: RFC 6749, RFC 7636 (PKCE), RFC 8628 (devices), OpenID Connect."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

from longshore.openid.errors import GrantRefused, ProviderUnavailable
from longshore.openid.metadata import ProviderMetadata
from longshore.openid.provider import Provider
from longshore.openid.web import shown

DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_BASIC, _POST = "client_secret_basic", "client_secret_post"


@dataclass(frozen=True, slots=True)
class Client:
    """What a registry is to a provider. ``secret`` is empty for a public client."""

    id: str
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a login ended with."""

    id_token: str = field(repr=False)
    access_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """RFC 8628 section 3.2. Times are in seconds."""

    device_code: str = field(repr=False)
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: float
    interval: float


def code_challenge(verifier: str) -> str:
    """RFC 7636 section 4.2, S256."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def unguessable() -> str:
    """256 bits, fit for a state, a nonce and a code verifier."""
    return secrets.token_urlsafe(32)


async def authorization_url(provider: Provider, parameters: Mapping[str, str]) -> str:
    """Where a browser begins a login. Raises ProviderUnavailable."""
    metadata = await provider.metadata()
    return with_query(_endpoint(metadata, "authorization_endpoint"), parameters)


def with_query(url: str, parameters: Mapping[str, str]) -> str:
    """``url`` with more parameters."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}"


async def redeem_code(
    provider: Provider, client: Client, code: str, verifier: str, redirect_uri: str
) -> Tokens:
    """The tokens for an authorization code. Raises GrantRefused for a code that is wrong, old or used."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
    }
    return _tokens(await _ask(provider, client, "token_endpoint", form))


async def begin_device(provider: Provider, client: Client, scope: str) -> DeviceCode:
    """A code for somebody to type in at another device. Raises GrantRefused, ProviderUnavailable."""
    found = await _ask(provider, client, "device_authorization_endpoint", {"scope": scope})
    texts = [found.get(name) for name in ("device_code", "user_code", "verification_uri")]
    device_code, user_code, uri = (text if isinstance(text, str) else "" for text in texts)
    complete = found.get("verification_uri_complete")
    for address in (uri, complete if isinstance(complete, str) else uri):
        if not address.startswith(("https://", "http://")):
            raise ProviderUnavailable(
                f"{shown(provider.issuer)} names {shown(address)} as the page for codes"
            )
    if not device_code or not user_code:
        raise ProviderUnavailable(f"{shown(provider.issuer)} answered without a code for a device")
    return DeviceCode(
        device_code,
        user_code[:100],
        uri,
        complete if isinstance(complete, str) else "",
        _seconds(found.get("expires_in"), 600.0),
        _seconds(found.get("interval"), 5.0),
    )


async def redeem_device(provider: Provider, client: Client, device_code: str) -> Tokens:
    """The tokens, once somebody has typed in the code. Raises GrantRefused with the codes
    ``authorization_pending``, ``slow_down``, ``access_denied`` and ``expired_token``."""
    form = {"grant_type": DEVICE_GRANT, "device_code": device_code}
    return _tokens(await _ask(provider, client, "token_endpoint", form))


async def userinfo(provider: Provider, access_token: str, subject: str) -> dict[str, Any]:
    """More claims about ``subject``; none where the provider has no such endpoint. Raises
    ProviderUnavailable, also when they are about somebody else."""
    url = (await provider.metadata()).userinfo_endpoint
    if not url or not access_token:
        return {}
    found = await provider.web.get(url, {"Authorization": f"Bearer {access_token}"})
    if found.get("sub") != subject:
        raise ProviderUnavailable(f"{shown(url)} is about somebody else than the ID token")
    return found


async def _ask(
    provider: Provider, client: Client, endpoint: str, form: Mapping[str, str]
) -> dict[str, Any]:
    metadata = await provider.metadata()
    proof, headers = _authentication(metadata, client)
    url = _endpoint(metadata, endpoint)
    status, found = await provider.web.post(url, {**form, **proof}, headers)
    if status == 200:
        return found
    error, description = found.get("error"), found.get("error_description")
    if not isinstance(error, str):
        raise ProviderUnavailable(f"{shown(url)} answered {status}")
    raise GrantRefused(error[:100], description[:300] if isinstance(description, str) else "")


def _authentication(
    metadata: ProviderMetadata, client: Client
) -> tuple[dict[str, str], dict[str, str]]:
    """How the client says who it is: form fields, headers. RFC 6749 section 2.3.1."""
    if not client.secret:
        return {"client_id": client.id}, {}
    methods = metadata.token_endpoint_auth_methods
    if _BASIC in methods or _POST not in methods:
        pair = f"{quote_plus(client.id)}:{quote_plus(client.secret)}"
        return {}, {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {"client_id": client.id, "client_secret": client.secret}, {}


def _endpoint(metadata: ProviderMetadata, name: str) -> str:
    found: str = getattr(metadata, name)
    if not found:
        raise ProviderUnavailable(f"{shown(metadata.issuer)} has no {name}")
    return found


def _tokens(found: Mapping[str, Any]) -> Tokens:
    id_token, access_token = found.get("id_token"), found.get("access_token")
    if not isinstance(id_token, str):
        raise ProviderUnavailable(
            "the provider answered without an ID token; is 'openid' among the scopes?"
        )
    return Tokens(id_token, access_token if isinstance(access_token, str) else "")


def _seconds(value: Any, otherwise: float) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 86_400
    return float(value) if good else otherwise
