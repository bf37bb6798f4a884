"""Key pairs for the registry's own tokens, as JSON Web Keys (RFC 7517)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from joserfc.jwk import ECKey, Key, RSAKey

from longshore.access.issuer import OWN_KEYS, Signer
from longshore.access.keys import TrustedKeys, key_ids

Algorithm = Literal["ES256", "RS256"]
ALGORITHMS: Final[tuple[str, ...]] = ("ES256", "RS256")

_BITS: Final = 2048
_PUBLIC: Final[tuple[str, ...]] = ("kty", "crv", "x", "y", "n", "e")

#: A JSON Web Key.
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class KeyPair:
    """``kid`` is the RFC 7638 thumbprint."""

    kid: str
    private: Document
    public: Document


def generate(algorithm: Algorithm) -> KeyPair:
    """A new one. Takes a tenth of a second for RS256."""
    made: Key = RSAKey.generate_key(_BITS) if algorithm == "RS256" else ECKey.generate_key("P-256")
    private: Document = made.as_dict(private=True)
    public: Document = {name: private[name] for name in _PUBLIC if name in private}
    return KeyPair(made.thumbprint(), private, public)


def signer(algorithm: str, kid: str, private: Document) -> Signer:
    """What signs with the private key."""
    return Signer(algorithm, kid, _key(private))


def trusted(documents: Iterable[Document]) -> TrustedKeys:
    """What verifies with the public keys, by thumbprint and by libtrust's key id."""
    found: dict[str, Key] = {}
    for document in documents:
        key = _key(document)
        found.update(dict.fromkeys(key_ids(key), key))
    return TrustedKeys(found, places=OWN_KEYS)


def _key(document: Document) -> Key:
    return RSAKey.import_key(document) if document["kty"] == "RSA" else ECKey.import_key(document)
