"""A token server as distribution's `auth: token` wants one: RS256, a certificate, scopes."""

import base64
import datetime
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.client.scripted import Answer, Seen

ISSUER, SERVICE = "test tokens", "test registry"
USER, PASSWORD, REFRESH = "carol", "correct horse", "a refresh token"


@dataclass
class TokenServer:
    """The script of a token server; `certificate` is the PEM file that verifies its tokens."""

    directory: Path
    lifetime: float = 300
    #: Given out in place of a password when a client asks for it.
    refresh: bool = False
    public: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        certificate = self._certificate()
        self.certificate = self.directory / "tokens.crt"
        self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self._chain = [base64.b64encode(certificate.public_bytes(serialization.Encoding.DER))]

    def _certificate(self) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tokens")])
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def auth(self, realm: str) -> Mapping[str, Any]:
        """The `auth` section of a registry's configuration."""
        token = {
            "realm": realm,
            "service": SERVICE,
            "issuer": ISSUER,
            "rootcertbundle": str(self.certificate),
        }
        return {"auth": {"token": token}}

    def __call__(self, seen: Seen) -> Answer:
        user = self._user(seen)
        if user is None:
            return Answer.json({"errors": [{"code": "UNAUTHORIZED"}]}, 401)
        scopes = self._scopes(seen)
        document: dict[str, Any] = {
            "token": self._token(user, scopes),
            "expires_in": self.lifetime,
        }
        if self.refresh and dict(seen.query).get("offline_token") == "true":
            document["refresh_token"] = REFRESH
        return Answer.json(document)

    def _user(self, seen: Seen) -> str | None:
        """Who asks: empty for nobody in particular, None for a wrong password."""
        if seen.method == "POST":
            return USER if seen.form().get("refresh_token") == REFRESH else None
        header = seen.headers.get("Authorization", "")
        if not header:
            return ""
        name, _, password = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
        return name if (name, password) == (USER, PASSWORD) else None

    def _scopes(self, seen: Seen) -> list[str]:
        if seen.method == "POST":
            return seen.form().get("scope", "").split()
        return [value for key, value in seen.query if key == "scope"]

    def _token(self, user: str, scopes: list[str]) -> str:
        access = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            allowed = actions.split(",") if user or name in self.public else []
            access.append({"type": kind, "name": name, "actions": allowed})
        now = int(time.time())
        header = {"alg": "RS256", "x5c": [part.decode() for part in self._chain]}
        claims = {
            "iss": ISSUER,
            "sub": user,
            "aud": SERVICE,
            "nbf": now - 60,
            "iat": now,
            "exp": now + 3600,
            "jti": "one",
            "access": access,
        }
        return jwt.encode(header, claims, RSAKey.import_key(self._key))
