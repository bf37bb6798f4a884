"""A third party's token server: its keys, its certificates and the tokens it signs."""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from joserfc import jws
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
ISSUER, SERVICE = "Acme token server", "registry.example"
NOW = 1_800_000_000
SHARED = b"0123456789abcdef0123456789abcdef"
ALGORITHMS = {
    "EdDSA": "ed25519",
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "rsa"),
    "ES256": "p256",
    "ES384": "p384",
    "ES512": "p521",
    **dict.fromkeys(("HS256", "HS384", "HS512"), "shared"),
}


@cache
def private_key(name: str) -> PrivateKey:
    """One key per name for the whole test run."""
    match name.partition(" ")[0]:
        case "rsa":
            return rsa.generate_private_key(65537, 2048)
        case "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case curve:
            curves = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}
            return ec.generate_private_key(curves[curve])


def signing_key(name: str) -> Key:
    if name == "shared":
        return OctKey.import_key(SHARED)
    key = private_key(name)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    kinds: dict[type, Any] = {rsa.RSAPrivateKey: RSAKey, ec.EllipticCurvePrivateKey: ECKey}
    kind = next((kinds[base] for base in kinds if isinstance(key, base)), OKPKey)
    imported: Key = kind.import_key(pem)
    return imported


def public_pem(name: str) -> bytes:
    return (
        private_key(name)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def public_der(name: str) -> bytes:
    return (
        private_key(name)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def libtrust(name: str) -> str:
    """The key id of libtrust, written down independently of the package."""
    text = base64.b32encode(hashlib.sha256(public_der(name)).digest()[: 240 // 8]).decode()
    return ":".join(text[at : at + 4] for at in range(0, 48, 4))


def certificate(
    name: str,
    *,
    issuer: tuple[x509.Certificate, str] | None = None,
    authority: bool = False,
    days: int = 10,
) -> x509.Certificate:
    """A certificate for the key ``name``; self-signed, or by another's certificate and key."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.fromtimestamp(NOW, UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(private_key(name).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=100))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    signer = private_key(issuer[1] if issuer else name)
    edwards = isinstance(signer, ed25519.Ed25519PrivateKey)
    return builder.sign(signer, None if edwards else hashes.SHA256())


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(item.public_bytes(serialization.Encoding.PEM) for item in certificates)


def x5c(*certificates: x509.Certificate) -> list[str]:
    return [
        base64.b64encode(item.public_bytes(serialization.Encoding.DER)).decode()
        for item in certificates
    ]


def segment(data: Any) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def grant(name: str, *actions: str, type: str = "repository") -> dict[str, Any]:
    return {"type": type, "name": name, "actions": list(actions)}


def claims(**changed: Any) -> dict[str, Any]:
    """The claims of a good token for ``carol``; a value of None takes a claim out."""
    good = {
        "iss": ISSUER,
        "aud": SERVICE,
        "sub": "carol",
        "exp": NOW + 300,
        "nbf": NOW - 10,
        "iat": NOW - 10,
        "jti": "1",
        "access": [grant("team/app", "pull", "push")],
    }
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def sign(
    body: dict[str, Any] | bytes | None = None,
    *,
    key: str = "rsa",
    algorithm: str = "RS256",
    header: dict[str, Any] | None = None,
) -> str:
    """A token. Without ``header`` it names its key as libtrust does."""
    named = header if header is not None else {"kid": libtrust(key)}
    content = body if isinstance(body, bytes) else json.dumps(body or claims()).encode()
    registry = jws.JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)
    registry.max_header_length = 100_000
    model = jws.JWSRegistry.algorithms[algorithm]
    signed = f"{segment({'typ': 'JWT', 'alg': algorithm, **named})}.{segment(content)}"
    return f"{signed}.{segment(model.sign(signed.encode(), signing_key(key)))}"


@dataclass
class TokenServer:
    """The files a registry is given, and its ``auth`` section."""

    directory: Path
    certificates: list[x509.Certificate] = field(default_factory=list)
    keys: list[dict[str, Any]] = field(default_factory=list)

    def auth(self, **more: Any) -> dict[str, Any]:
        section: dict[str, Any] = {
            "realm": "https://auth.example/token",
            "service": SERVICE,
            "issuer": ISSUER,
        }
        if self.certificates:
            section["rootcertbundle"] = self.bundle
            self.bundle.write_bytes(pem(*self.certificates))
        if self.keys:
            section["jwks"] = self.key_set
            self.key_set.write_text(json.dumps({"keys": self.keys}))
        return {"token": {**section, **more}}

    @property
    def bundle(self) -> Path:
        return self.directory / "bundle.pem"

    @property
    def key_set(self) -> Path:
        return self.directory / "keys.json"

    def publish(self, name: str, **members: Any) -> None:
        """Put a public key (or the shared secret) into the key set."""
        if name == "shared":
            self.keys.append({"kty": "oct", "k": segment(SHARED), **members})
        else:
            self.keys.append({**signing_key(name).as_dict(private=False), **members})
