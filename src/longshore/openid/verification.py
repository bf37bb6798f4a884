"""Verifying tokens of a provider: OpenID Connect Core 1.0 section 3.1.3.7, RFC 8725.

In this order: size and form, the algorithm against a list, the key, the signature, issuer, audience,
authorized party, times, nonce, and the hash of the access token. Nothing of a token is believed before its
signature is good, but for the name of the key.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import anyio.to_thread
from joserfc import jwt
from joserfc.errors import BadSignatureError, JoseError, UnsupportedAlgorithmError
from joserfc.jws import JWSRegistry
from joserfc.registry import HeaderParameter
from joserfc.util import urlsafe_b64decode

from longshore.openid.errors import TokenRefused
from longshore.openid.keys import KEY_TYPES, KeySource, PublicKey
from longshore.telemetry import clock

Claims = Mapping[str, Any]

#: Seconds by which the clocks of provider and registry may differ.
LEEWAY: Final = 60.0
_MAX_LENGTH: Final = 32768
#: No provider's tokens live longer; one without a sane end is none.
_END: Final = 1e15
_BAD: Final = (JoseError, ValueError, TypeError, RecursionError)


class _Signatures(JWSRegistry):
    """joserfc's registry, closed to what is not listed, with room for certificates in headers."""

    max_header_length = 16384
    max_signature_length = 4096

    def get_alg(self, name: str) -> Any:
        if name not in KEY_TYPES:
            raise UnsupportedAlgorithmError(name)
        # The inherited method warns about EdDSA being renamed (RFC 9864) on every token.
        return self.algorithms[name]


#: Extensions that a verifier must understand: we understand none, so none is accepted.
_SIGNATURES: Final = _Signatures(
    {
        "crit": HeaderParameter("Critical", "none"),
        "b64": HeaderParameter("Unencoded payload", "none"),
    },
    list(KEY_TYPES),
    strict_check_header=False,
)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say. ``audience``: one of these must be among its audiences; ``client_id``: where
    given, the party that it was issued to; ``nonce`` and ``access_token``: those of the login that it
    ends, empty when there was none."""

    issuer: str
    audience: Collection[str]
    client_id: str = ""
    nonce: str = ""
    access_token: str = ""


async def verify(
    text: str, keys: KeySource, expected: Expected, now: Callable[[], float] = clock.timestamp
) -> Claims:
    """The claims of a good token. Raises TokenRefused; ProviderUnavailable when its key cannot be had."""
    header = _header(text)
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in KEY_TYPES:
        raise TokenRefused(
            f"its algorithm {str(algorithm)[:40]!r} is not one of {', '.join(KEY_TYPES)}"
        )
    if "crit" in header or "b64" in header:
        raise TokenRefused("its header asks for extensions (crit, b64)")
    if kid is not None and not isinstance(kid, str):
        raise TokenRefused("its kid is no text")
    key = await keys.find(kid, algorithm)
    claims = await anyio.to_thread.run_sync(_decoded, text, key)
    _check_parties(claims, expected)
    _check_times(claims, now())
    if expected.nonce and not _same(claims.get("nonce"), expected.nonce):
        raise TokenRefused("its nonce is not that of the login that was begun here")
    if expected.access_token and claims.get("at_hash") is not None:
        _check_access_token(claims, algorithm, expected.access_token)
    return claims


def unverified_issuer(text: str) -> str:
    """The issuer that a token claims to be of, to find the keys to verify it with; empty when it claims
    none. Nothing else may be done with it."""
    try:
        claims = json.loads(urlsafe_b64decode(_parts(text)[1].encode("latin-1")))
    except (ValueError, binascii.Error, RecursionError, TokenRefused):
        return ""
    issuer = claims.get("iss") if isinstance(claims, dict) else None
    return issuer if isinstance(issuer, str) else ""


def looks_like_token(text: str) -> bool:
    """Whether ``text`` has the form of a signed token, which no password of ours has."""
    return text.startswith("ey") and text.count(".") == 2


def _decoded(text: str, key: PublicKey) -> Claims:
    try:
        return jwt.decode(text, key, registry=_SIGNATURES).claims
    except BadSignatureError as error:
        raise TokenRefused("its signature is wrong") from error
    except _BAD as error:
        raise TokenRefused(f"it cannot be verified ({type(error).__name__})") from error


def _check_parties(claims: Claims, expected: Expected) -> None:
    issuer = claims.get("iss")
    if issuer != expected.issuer:
        raise TokenRefused(f"its issuer is {str(issuer)[:200]!r} and not {expected.issuer!r}")
    named = claims.get("aud")
    audiences = named if isinstance(named, list) else [named]
    if not any(isinstance(one, str) and one in expected.audience for one in audiences):
        wanted = " or ".join(repr(one) for one in sorted(expected.audience))
        raise TokenRefused(f"it is for {str(named)[:200]!r} and not for {wanted}")
    party = claims.get("azp")
    if expected.client_id:
        if party is None and len(audiences) > 1:
            raise TokenRefused("it is for several audiences and names no authorized party (azp)")
        if party is not None and party != expected.client_id:
            raise TokenRefused(
                f"it was issued to {str(party)[:200]!r} and not to {expected.client_id!r} (azp)"
            )
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise TokenRefused("it does not say whom it is about (sub)")


def _check_times(claims: Claims, now: float) -> None:
    expires = _time(claims, "exp")
    if expires is None:
        raise TokenRefused("it does not say when it expires (exp)")
    if now > expires + LEEWAY:
        raise TokenRefused(f"it expired {now - expires:.0f} seconds ago")
    for name in ("nbf", "iat"):
        begins = _time(claims, name)
        if begins is not None and begins > now + LEEWAY:
            raise TokenRefused(f"it begins in the future ({name}); are the clocks right?")


def _check_access_token(claims: Claims, algorithm: str, token: str) -> None:
    """OpenID Connect Core section 3.1.3.6: the left half of the token's hash."""
    hashes = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}
    # Ed25519 hashes with SHA-512.
    digest = hashes.get(algorithm[-3:], hashlib.sha512)(token.encode()).digest()
    half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
    if not _same(claims["at_hash"], half):
        raise TokenRefused("it belongs to another access token (at_hash)")


def _same(value: Any, expected: str) -> bool:
    return isinstance(value, str) and hmac.compare_digest(value.encode(), expected.encode())


def _time(claims: Claims, name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    # NaN compares false with everything, so it would never expire.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _END:
        raise TokenRefused(f"its claim {name!r} is no time in POSIX seconds")
    return float(value)


def _parts(text: str) -> list[str]:
    if len(text) > _MAX_LENGTH:
        raise TokenRefused(f"it has {len(text)} bytes, more than the {_MAX_LENGTH} that are read")
    parts = text.split(".")
    if len(parts) != 3:
        raise TokenRefused("it is not of the form header.claims.signature")
    return parts


def _header(text: str) -> dict[str, Any]:
    try:
        header = json.loads(urlsafe_b64decode(_parts(text)[0].encode("latin-1")))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise TokenRefused("its header is not Base64url of JSON") from error
    if not isinstance(header, dict):
        raise TokenRefused("its header is no JSON object")
    return header
