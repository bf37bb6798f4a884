"""Tokens of platforms exchanged for credentials of this registry.

A credential is signed by this registry and holds the claims that rules look at. What it allows is asked of
the rules each time: a rule that goes takes its rights with it.
"""

import base64
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from longshore.access.grant import WORKLOAD_PREFIX, WORKLOAD_USER
from longshore.access.header import Login
from longshore.identity.workloads import PREFIX, Workload, WorkloadRefused
from longshore.oci.errors import Unavailable
from longshore.openid.errors import ProviderUnavailable, TokenRefused
from longshore.openid.keys import KeySource
from longshore.openid.provider import Provider
from longshore.openid.verification import Expected, looks_like_token, unverified_issuer, verify
from longshore.telemetry import clock
from longshore.workload import presets
from longshore.workload.rules import Fitting, Rules
from longshore.workload.settings import IssuerSettings

_AUDIENCE: Final = "longshore workload"
_ALGORITHM: Final = "HS256"
_MAX_LENGTH: Final = 6000  # with Base64 it must fit into a Basic header


class TrustedIssuer:
    """One issuer: its keys and its rules."""

    def __init__(self, settings: IssuerSettings, keys: KeySource) -> None:
        self.settings = settings
        self.keys = keys
        self.rules = Rules(settings)

    async def close(self) -> None:
        """Close its connections."""
        if isinstance(self.keys, Provider):
            await self.keys.close()


class TokenExchange:
    """A ``longshore.identity.workloads.Workloads``."""

    def __init__(
        self,
        issuers: Sequence[TrustedIssuer],
        audience: Sequence[str],
        secret: bytes,
        now: Callable[[], float] = clock.timestamp,
    ) -> None:
        """``audience`` are the names of this registry in tokens; ``secret`` is shared by its processes."""
        self._by_name = {issuer.settings.name: issuer for issuer in issuers}
        self._by_url = {issuer.settings.url: issuer for issuer in issuers}
        self._audience = tuple(audience)
        self._key = OctKey.import_key(hmac.digest(secret, b"longshore workload", "sha256"))
        self._now = now

    async def start(self) -> None:
        """Nothing: keys are fetched when they are needed."""

    async def stop(self) -> None:
        for issuer in self._by_name.values():
            await issuer.close()

    def knows(self, login: Login) -> bool:
        if login.user != WORKLOAD_USER:
            return False
        text = login.password.decode("latin-1")
        return text.startswith(WORKLOAD_PREFIX) or looks_like_token(text)

    async def admit(self, login: Login) -> Workload:
        text = login.password.decode("latin-1")
        if not text.startswith(WORKLOAD_PREFIX):
            return await self._exchange(text)
        workload = self._workload(self._decoded(text), text)
        if workload.expires < self._now():
            raise WorkloadRefused(
                "the login of this pipeline has ended: log in again with a new token, or give the "
                "rule of longshore.workload a longer lifetime"
            )
        return workload

    def recall(self, record: str) -> Workload:
        return self._workload(_unsigned(record), record)

    def _workload(self, claims: Mapping[str, Any], credential: str) -> Workload:
        issuer = self._by_name.get(claims["issuer"])
        if issuer is None:
            raise WorkloadRefused(
                f"{claims['issuer']!r} is no issuer of longshore.workload any more"
            )
        fitting = issuer.rules.fitting(claims["claims"])
        if fitting is None:
            raise WorkloadRefused(issuer.rules.why_not(claims["claims"]))
        return Workload(claims["sub"], fitting.may, credential, float(claims["exp"]))

    async def _exchange(self, text: str) -> Workload:
        named = unverified_issuer(text)
        issuer = self._by_url.get(named)
        if issuer is None:
            raise WorkloadRefused(
                f"the token was refused: its issuer {named[:200]!r} is none of longshore.workload"
            )
        expected = Expected(issuer.settings.url, self._audience)
        try:
            claims = await verify(text, issuer.keys, expected, self._now)
        except TokenRefused as error:
            raise WorkloadRefused(f"the token was refused: {error}") from error
        except ProviderUnavailable as error:
            raise Unavailable(
                f"the token cannot be verified now: {error}; try again in a few seconds",
                headers={"Retry-After": "5"},
            ) from error
        read = presets.read(issuer.settings.preset, claims)
        fitting = issuer.rules.fitting(read)
        if fitting is None:
            raise WorkloadRefused(f"the token was refused: {issuer.rules.why_not(read)}")
        return self._issue(issuer, read, fitting)

    def _issue(
        self, issuer: TrustedIssuer, claims: Mapping[str, Any], fitting: Fitting
    ) -> Workload:
        now = int(self._now())
        name = f"{PREFIX}{issuer.settings.name}:{presets.named(issuer.settings.preset, claims)}"
        content: dict[str, Any] = {
            "aud": _AUDIENCE,
            "sub": name,
            "iat": now,
            "exp": now + int(fitting.lifetime),
            "issuer": issuer.settings.name,
            "claims": issuer.rules.looked_at(claims),
        }
        credential = WORKLOAD_PREFIX + jwt.encode({"alg": _ALGORITHM}, content, self._key)
        if len(credential) > _MAX_LENGTH:
            raise WorkloadRefused("the claims that rules look at are too long to be kept")
        return Workload(name, fitting.may, credential, float(content["exp"]))

    def _decoded(self, credential: str) -> Mapping[str, Any]:
        text = credential.removeprefix(WORKLOAD_PREFIX)
        try:
            claims = jwt.decode(text, self._key, algorithms=[_ALGORITHM]).claims
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise WorkloadRefused(
                "the login of this pipeline was not given out by this registry"
            ) from error
        if claims.get("aud") != _AUDIENCE:
            raise WorkloadRefused("the login of this pipeline was not given out for that")
        return claims


def _unsigned(record: str) -> Mapping[str, Any]:
    """The claims in a record, which a token that this registry signed carries."""
    try:
        payload = record.removeprefix(WORKLOAD_PREFIX).split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return {
            "issuer": claims["issuer"],
            "claims": claims["claims"],
            "sub": claims["sub"],
            "exp": claims["exp"],
        }
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise WorkloadRefused("the token does not say which pipeline it is of") from error
