"""A content delivery network of one server: it checks signatures as CloudFront documents them, and
fetches what it delivers from a directory."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

KEY_ID = "K2JCJMDEHXQW5F"


@dataclass
class CDN:
    """``directory`` is what lies behind it; ``answers`` are (method, path, status) so far."""

    directory: Path
    key: rsa.RSAPrivateKey = field(
        default_factory=lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    url: str = ""
    answers: list[tuple[str, str, int]] = field(default_factory=list)

    def private_key(self, path: Path) -> Path:
        """The PEM file that the registry signs with."""
        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(pem)
        return path

    def refusal(self, url: str) -> str:
        """Why a URL is not good; empty when it is."""
        resource, _, query = url.partition("?")
        given = {name: values[0] for name, values in parse_qs(query).items()}
        if given.get("Key-Pair-Id") != KEY_ID:
            return "MissingKey"
        text = given["Signature"].translate(str.maketrans("-_~", "+=/"))
        condition = {"DateLessThan": {"AWS:EpochTime": int(given["Expires"])}}
        statement = {"Statement": [{"Resource": resource, "Condition": condition}]}
        signed = json.dumps(statement, separators=(",", ":")).encode()
        try:
            self.key.public_key().verify(
                base64.b64decode(text, validate=True),
                signed,
                padding.PKCS1v15(),
                hashes.SHA1(),  # noqa: S303
            )
        except (InvalidSignature, ValueError):
            return "SignatureInvalid"
        return "Expired" if int(given["Expires"]) < time.time() else ""


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: Any, cdn: CDN, **more: Any) -> None:
        self.cdn = cdn
        super().__init__(*arguments, directory=str(cdn.directory), **more)

    def send_head(self) -> Any:
        refused = self.cdn.refusal(self.cdn.url + self.path)
        if refused:
            self.send_error(403, refused)
            return None
        return super().send_head()

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        self.cdn.answers.append((self.command, urlsplit(self.path).path, int(code)))

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(directory: Path) -> Iterator[CDN]:
    """One that delivers what is below ``directory``."""
    cdn = CDN(directory)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, cdn=cdn)) as server:
        cdn.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield cdn
        finally:
            server.shutdown()
            thread.join(10)
