"""The keys that a provider signs with: a JSON Web Key Set (RFC 7517)."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from longshore.openid.errors import ProviderUnavailable, TokenRefused

PublicKey = RSAKey | ECKey | OKPKey

#: Which keys an algorithm may be used with. No HMAC: whoever has a provider's public key, which is
#: everybody, would have the secret. "none" is no algorithm.
KEY_TYPES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP",
}
_MAX_KEYS: Final = 100
_MIN_RSA_BITS: Final = 2048


class KeySource(Protocol):
    """Where the keys of one issuer come from."""

    async def find(self, kid: str | None, algorithm: str) -> PublicKey:
        """The key called ``kid``, or the only one there is for ``algorithm``. Raises TokenRefused when
        there is none, ProviderUnavailable when that cannot be told."""


class KeySet:
    """Public keys by name."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """``document`` is a JSON Web Key Set. What cannot sign, or is not understood, is passed over, as
        RFC 7517 section 5 demands. Raises ProviderUnavailable when there is no list of keys."""
        listed = document.get("keys")
        if not isinstance(listed, list):
            raise ProviderUnavailable('that is no JSON Web Key Set: {"keys": [...]}')
        self._keys = [key for item in listed[:_MAX_KEYS] if (key := _imported(item)) is not None]

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """The key for a token whose header names ``kid`` (None: it names none, and then there must be
        but one that fits)."""
        fitting = [
            key
            for key in self._keys
            if key.key_type == KEY_TYPES.get(algorithm) and key.get("alg") in (None, algorithm)
        ]
        if kid is None:
            return fitting[0] if len(fitting) == 1 else None
        return next((key for key in fitting if key.kid == kid), None)


class StaticKeys:
    """A key set that does not change."""

    def __init__(self, keys: KeySet, name: str) -> None:
        """``name`` says in messages where it is from."""
        self._keys, self._name = keys, name

    async def find(self, kid: str | None, algorithm: str) -> PublicKey:
        found = self._keys.get(kid, algorithm)
        if found is None:
            raise TokenRefused(unknown_key(kid, algorithm, self._name))
        return found


def unknown_key(kid: str | None, algorithm: str, where: str) -> str:
    """Why there is no key."""
    if kid is None:
        return f"it names no signing key (kid), and {where} has not exactly one for {algorithm}"
    return f"it names the signing key {kid[:100]!r}, which is not among those of {where}"


def _imported(item: Any) -> PublicKey | None:
    if not isinstance(item, dict) or item.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    if item.get("use") not in (None, "sig"):
        return None
    try:
        key = JWKRegistry.import_key({name: item[name] for name in item if name not in _PRIVATE})
        weak = isinstance(key, RSAKey) and key.public_key.key_size < _MIN_RSA_BITS
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return key if isinstance(key, RSAKey | ECKey | OKPKey) and not weak else None


#: Nobody should publish these; they are not wanted here.
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
