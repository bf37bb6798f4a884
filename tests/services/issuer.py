"""An issuer whose every word a test chooses: a real server with discovery and keys, and tokens of any kind."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from tests.services.oidc_provider import signing_key

Answer = tuple[int, dict[str, str], bytes]


class Issuer:
    """Serves what ``pages`` holds, by path. ``asked`` are the paths of requests, ``asked_in_full`` with queries."""

    def __init__(self, key: RSAKey | ECKey | None = None) -> None:
        self.keys: list[RSAKey | ECKey] = [key or signing_key("one", "EC")]
        self.pages: dict[str, Callable[[], Answer]] = {}
        self.asked: list[str] = []
        self.asked_in_full: list[str] = []
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                issuer.asked.append(path)
                issuer.asked_in_full.append(self.path)
                status, headers, body = issuer.pages.get(path, lambda: (404, {}, b"{}"))()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.pages["/.well-known/openid-configuration"] = lambda: answer(self.metadata())
        self.pages["/jwks"] = lambda: answer({"keys": self.public_keys()})

    def metadata(self) -> dict[str, Any]:
        """What it says of itself."""
        return {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"}

    def public_keys(self) -> list[dict[str, Any]]:
        """Its keys as it publishes them."""
        return [dict(key.as_dict(private=False)) for key in self.keys]

    def claims(self, **more: Any) -> dict[str, Any]:
        """Those of a good token; None takes one away."""
        now = int(time.time())
        found = {
            "iss": self.url,
            "sub": "somebody",
            "aud": "longshore",
            "iat": now,
            "exp": now + 300,
        }
        return {name: value for name, value in {**found, **more}.items() if value is not None}

    def token(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token signed with the newest key."""
        key = self.keys[-1]
        algorithm = "RS256" if isinstance(key, RSAKey) else "ES256"
        head = {"alg": algorithm, "kid": key.kid, **(header or {})}
        head = {name: value for name, value in head.items() if value is not None}
        return jwt.encode(head, self.claims(**claims), key, algorithms=[algorithm])

    def unsigned(self, **claims: Any) -> str:
        """One with the algorithm "none"."""
        return self.of({"alg": "none", "kid": self.keys[-1].kid}, "", **claims)

    def of(self, header: dict[str, Any], signature: str = "c2lnbmVk", **claims: Any) -> str:
        """One with any header, and a signature of nobody."""
        return f"{_part(header)}.{_part(self.claims(**claims))}.{signature}"

    def signed_with_the_public_key(self, **claims: Any) -> str:
        """HS256, with the public key's PEM as the secret."""
        key = self.keys[-1]
        secret = key.public_key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        text = f"{_part({'alg': 'HS256', 'kid': key.kid})}.{_part(self.claims(**claims))}"
        return f"{text}.{_encode(hmac.digest(secret, text.encode(), hashlib.sha256))}"

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def answer(document: Any, status: int = 200, **headers: str) -> Answer:
    """A JSON answer."""
    return status, headers, json.dumps(document).encode()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _part(document: Any) -> str:
    return _encode(json.dumps(document).encode())


@pytest.fixture
def start_issuer() -> Iterator[Callable[[], Issuer]]:
    """Starts issuers, and ends them."""
    running: list[Issuer] = []

    def start() -> Issuer:
        running.append(Issuer())
        return running[-1]

    yield start
    for issuer in running:
        issuer.close()


@pytest.fixture
def issuer(start_issuer: Callable[[], Issuer]) -> Issuer:
    """One issuer."""
    return start_issuer()
