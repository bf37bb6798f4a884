"""The keys that a token server signs with: a PEM bundle of certificates, a JSON Web Key Set.

A key is found by the token's header, in this order: ``kid`` (RFC 7638 thumbprint, libtrust key id,
SHA-256 of the certificate, or the set's own name for it), ``x5c`` (a chain that must end at a
certificate of the bundle), ``jwk`` (must be one of the trusted keys; it is not used itself).
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import verification
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, OctKey, OKPKey, RSAKey

from longshore.access.errors import AccessError

_MAX_CHAIN: Final = 8
_MIN_SECRET: Final = 32
_PEM: Final = serialization.Encoding.PEM
_DER: Final = serialization.Encoding.DER
_SPKI: Final = serialization.PublicFormat.SubjectPublicKeyInfo


class UntrustedKey(Exception):
    """No trusted key belongs to a token's header; the message says what was looked for."""


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """Keys by every id that a token may call them by, and the roots for ``x5c`` chains."""

    by_id: Mapping[str, Key] = field(default_factory=dict)
    roots: tuple[x509.Certificate, ...] = ()
    #: What an unknown key is; finishes the sentence "it names the signing key ..., which is ...".
    places: str = "neither in auth.token.rootcertbundle nor in auth.token.jwks"

    def find(self, header: Mapping[str, Any], now: datetime) -> Key:
        """The key that a token with this header must be signed with. Raises UntrustedKey."""
        kid, chain, own = header.get("kid"), header.get("x5c"), header.get("jwk")
        if isinstance(kid, str) and kid in self.by_id:
            return self.by_id[kid]
        if chain is not None:
            return self._by_chain(chain, now)
        if own is not None:
            return self._by_own_key(own, now)
        if isinstance(kid, str):
            raise UntrustedKey(f"it names the signing key {kid[:100]!r}, which is {self.places}")
        raise UntrustedKey("its header names no signing key (kid, x5c or jwk)")

    def _by_own_key(self, own: Any, now: datetime) -> Key:
        try:
            named = JWKRegistry.import_key(own)
            if isinstance(named, OctKey):
                raise UntrustedKey("it carries a secret as its own key")
            trusted = self.by_id.get(named.thumbprint())
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise UntrustedKey("the key in its header (jwk) cannot be read") from error
        if trusted is not None:
            return trusted
        if own.get("x5c") is None:
            raise UntrustedKey("the key in its header (jwk) is not one of the trusted keys")
        certified = self._by_chain(own["x5c"], now)
        if certified.thumbprint() != named.thumbprint():
            raise UntrustedKey("the key in its header (jwk) is not that of its certificate")
        return certified

    def _by_chain(self, encoded: Any, now: datetime) -> Key:
        """RFC 7515 section 4.1.6: the first certificate holds the key, each next one signed the
        one before. Extended key usages do not matter, as in distribution."""
        if not self.roots:
            raise UntrustedKey("it carries certificates, and auth.token.rootcertbundle is not set")
        try:
            return self._verify_chain(_decode_chain(encoded), now)
        except (ValueError, UnsupportedAlgorithm, x509.UnsupportedGeneralNameType) as error:
            raise UntrustedKey("a certificate in its x5c cannot be read") from error

    def _verify_chain(self, chain: list[x509.Certificate], now: datetime) -> Key:
        leaf, *others = chain
        if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
            raise UntrustedKey(
                f"its certificate is valid from {leaf.not_valid_before_utc:%F %T} to "
                f"{leaf.not_valid_after_utc:%F %T} UTC, and it is {now:%F %T}"
            )
        try:
            _chain_policy(self.roots, now).verify(leaf, others)
        except verification.VerificationError as error:
            raise UntrustedKey(
                "its certificate chain does not lead to one of auth.token.rootcertbundle: "
                f"{str(error)[:200]}"
            ) from error
        key = _public_key(leaf)
        if key is None:
            raise UntrustedKey("its certificate holds a key of a type that signs no tokens")
        return key


def _decode_chain(encoded: Any) -> list[x509.Certificate]:
    if not isinstance(encoded, list) or not 1 <= len(encoded) <= _MAX_CHAIN:
        raise UntrustedKey(f"its x5c is no list of 1 to {_MAX_CHAIN} certificates")
    if not all(isinstance(item, str) for item in encoded):
        raise UntrustedKey("its x5c is no list of texts")
    return [
        x509.load_der_x509_certificate(base64.b64decode(item, validate=True)) for item in encoded
    ]


def _chain_policy(roots: Iterable[x509.Certificate], now: datetime) -> verification.ClientVerifier:
    authority = verification.ExtensionPolicy.permit_all().require_present(
        x509.BasicConstraints, verification.Criticality.AGNOSTIC, None
    )
    return (
        verification.PolicyBuilder()
        .store(verification.Store(list(roots)))
        .time(now)
        .max_chain_depth(_MAX_CHAIN)
        .extension_policies(
            ca_policy=authority, ee_policy=verification.ExtensionPolicy.permit_all()
        )
        .build_client_verifier()
    )


def read_bundle(data: bytes, path: Path) -> TrustedKeys:
    """The keys of a PEM file with one or more certificates. Raises AccessError."""
    try:
        certificates = tuple(x509.load_pem_x509_certificates(data))
    except ValueError as error:
        raise AccessError(
            f"{path} (auth.token.rootcertbundle): no certificates in PEM form: {error}"
        ) from error
    by_id: dict[str, Key] = {}
    for certificate in certificates:
        key = _public_key(certificate)
        if key is not None:
            by_id[hashlib.sha256(certificate.public_bytes(_DER)).hexdigest()] = key
            by_id.update(dict.fromkeys(key_ids(key), key))
    return TrustedKeys(by_id, certificates)


def read_key_set(data: bytes, path: Path) -> TrustedKeys:
    """The keys of a JSON Web Key Set (RFC 7517 section 5). Keys of unknown types are passed over,
    as it demands. Raises AccessError for a set without a usable key and for a broken one."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise AccessError(f"{path} (auth.token.jwks): not JSON: {error}") from error
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise AccessError(f'{path} (auth.token.jwks): not a JSON Web Key Set: {{"keys": [...]}}')
    by_id: dict[str, Key] = {}
    for number, item in enumerate(listed, 1):
        if not isinstance(item, dict) or item.get("kty") not in JWKRegistry.key_types:
            continue
        key = _listed_key(item, f"{path} (auth.token.jwks): key {number}")
        by_id.update(dict.fromkeys(key_ids(key), key))
        if key.kid:
            by_id[key.kid] = key
    if not by_id:
        raise AccessError(f"{path} (auth.token.jwks): holds no key that could sign a token")
    return TrustedKeys(by_id)


def _listed_key(item: dict[str, Any], where: str) -> Key:
    if item["kty"] == "oct":
        # Checked before import, which only warns: a guessable secret lets anybody in.
        try:
            size = len(base64.urlsafe_b64decode(str(item.get("k", "")) + "=="))
        except ValueError as error:
            raise AccessError(f"{where}: 'k' is not Base64url") from error
        if size < _MIN_SECRET:
            raise AccessError(
                f"{where}: the secret has {size} bytes; HMAC needs at least {_MIN_SECRET}"
            )
    try:
        return JWKRegistry.import_key(item)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise AccessError(f"{where} cannot be used: {error}") from error


def merge(*several: TrustedKeys) -> TrustedKeys:
    """All of them together."""
    by_id: dict[str, Key] = {}
    for keys in several:
        by_id.update(keys.by_id)
    return TrustedKeys(by_id, tuple(root for keys in several for root in keys.roots))


def key_ids(key: Key) -> set[str]:
    """What tokens may call a key: its RFC 7638 thumbprint and its libtrust key id. A shared
    secret has none of them: its thumbprint would tell something about it."""
    if isinstance(key, OctKey):
        return set()
    spki = key.public_key.public_bytes(_DER, _SPKI)
    return {key.thumbprint(), libtrust_id(spki)}


def libtrust_id(spki: bytes) -> str:
    """libtrust's key id: 240 bits of SHA-256 over the DER public key, in Base32, twelve groups of
    four joined by colons."""
    text = base64.b32encode(hashlib.sha256(spki).digest()[:30]).decode("ascii")
    return ":".join(text[at : at + 4] for at in range(0, len(text), 4))


def _public_key(certificate: x509.Certificate) -> Key | None:
    public = certificate.public_key()
    if isinstance(public, RSAPublicKey):
        return RSAKey.import_key(public.public_bytes(_PEM, _SPKI))
    if isinstance(public, EllipticCurvePublicKey):
        return ECKey.import_key(public.public_bytes(_PEM, _SPKI))
    if isinstance(public, Ed25519PublicKey | Ed448PublicKey):
        return OKPKey.import_key(public.public_bytes(_PEM, _SPKI))
    return None
