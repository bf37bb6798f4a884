"""Signed URLs, verified as the service publishes its scheme, with nothing of the driver's code.

No emulator checks signatures, so this stands for the service: it takes a URL apart, makes the
canonical request of what it finds, and verifies the signature with the public key.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st

from longshore.storage.driver import Redirects
from longshore.storage.gcs import from_settings
from longshore.storage.gcs_settings import GCSCredentials, GCSSettings
from longshore.storage.gcs_signature import unsigned_url
from longshore.telemetry import clock
from tests.services.gcs import ACCOUNT

NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PARAMETERS = [
    "X-Goog-Algorithm",
    "X-Goog-Credential",
    "X-Goog-Date",
    "X-Goog-Expires",
    "X-Goog-SignedHeaders",
    "X-Goog-Signature",
]


class Refused(Exception):
    """The service would not serve this request."""


@dataclass(frozen=True)
class Verified:
    account: str
    resource: bytes
    begins: datetime
    ends: datetime


def encoded(raw: bytes, also: bytes = b"") -> str:
    """Percent-encoding as the scheme wants it: capitals, and nothing reserved left."""
    plain = _UNRESERVED | set(also)
    return "".join(chr(byte) if byte in plain else f"%{byte:02X}" for byte in raw)


def verify(url: str, method: str, key: RSAPublicKey, at: datetime) -> Verified:
    """What the service does with a request. Raises Refused."""
    parts = urlsplit(url)
    if parts.fragment or parts.username:
        raise Refused("not a URL of the service")
    pairs = [tuple(pair.split("=", 1)) for pair in parts.query.split("&")]
    if sorted(name for name, _ in pairs) != sorted(_PARAMETERS):
        raise Refused(f"other parameters than there should be: {pairs}")
    given_values = dict(parse_qsl(parts.query, strict_parsing=True))
    if given_values["X-Goog-Algorithm"] != "GOOG4-RSA-SHA256":
        raise Refused("another algorithm")
    if not re.fullmatch(r"\d{8}T\d{6}Z", given_values["X-Goog-Date"]):
        raise Refused("no date")
    begins = datetime.strptime(given_values["X-Goog-Date"], "%Y%m%dT%H%M%S%z")
    lifetime = int(given_values["X-Goog-Expires"])
    if not 1 <= lifetime <= 604_800:
        raise Refused("a lifetime of no or more than seven days")
    if not begins - timedelta(minutes=15) <= at < begins + timedelta(seconds=lifetime):
        raise Refused("too early or too late")
    account, *scope = given_values["X-Goog-Credential"].split("/")
    if scope != [begins.strftime("%Y%m%d"), "auto", "storage", "goog4_request"]:
        raise Refused(f"another scope: {scope}")
    if given_values["X-Goog-SignedHeaders"] != "host":
        raise Refused("other headers than host are signed")
    resource = unquote_to_bytes(parts.path)
    if parts.path != encoded(resource, b"/"):
        raise Refused("the path is not encoded canonically")
    signed = {encoded(k.encode()): encoded(v.encode()) for k, v in given_values.items()}
    signature = bytes.fromhex(signed.pop("X-Goog-Signature"))
    canonical = (
        f"{method}\n{encoded(resource, b'/')}\n"
        + "&".join(f"{name}={signed[name]}" for name in sorted(signed))
        + f"\nhost:{parts.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    )
    text = (
        f"GOOG4-RSA-SHA256\n{given_values['X-Goog-Date']}\n{'/'.join(scope)}\n"
        + hashlib.sha256(canonical.encode()).hexdigest()
    )
    try:
        key.verify(signature, text.encode(), padding.PKCS1v15(), SHA256())
    except InvalidSignature:
        raise Refused("the signature is of something else") from None
    return Verified(account, resource, begins, begins + timedelta(seconds=lifetime))


def signed_url(*about: Any, sign: Callable[[bytes], bytes]) -> str:
    url, text = unsigned_url(*about)
    return url + sign(text).hex()


@pytest.fixture(scope="module")
def key(service_account: dict[str, str]) -> RSAPrivateKey:
    loaded = load_pem_private_key(service_account["private_key"].encode(), None)
    assert isinstance(loaded, RSAPrivateKey)
    return loaded


@pytest.fixture(scope="module")
def sign(key: RSAPrivateKey) -> Callable[[bytes], bytes]:
    return lambda message: key.sign(message, padding.PKCS1v15(), SHA256())


@given(
    path=st.text(st.characters(codec="utf-8"), min_size=1, max_size=80),
    method=st.sampled_from(["GET", "HEAD"]),
    lifetime=st.floats(0.1, 1e6),
)
def test_a_url_is_what_the_service_verifies_whatever_the_key(
    key: RSAPrivateKey, sign: Callable[[bytes], bytes], path: str, method: str, lifetime: float
):
    endpoint = "https://storage.googleapis.com"
    url = signed_url(endpoint, f"/bucket/{path}", method, lifetime, NOW, ACCOUNT, sign=sign)

    found = verify(url, method, key.public_key(), NOW)

    assert (found.account, found.resource) == (ACCOUNT, f"/bucket/{path}".encode())
    assert found.ends - NOW == timedelta(seconds=max(1, min(int(lifetime), 604_800)))


@pytest.mark.parametrize(
    ("changed", "method", "seconds"),
    [
        (lambda url: url.replace("/key", "/kez"), "GET", 0),
        (lambda url: url.replace("/bucket", "/bucked"), "GET", 0),
        (lambda url: url.replace("storage.googleapis", "storage.example"), "GET", 0),
        (lambda url: url.replace("Expires=60", "Expires=61"), "GET", 0),
        (lambda url: url.replace("0506Z", "0507Z"), "GET", 0),
        (lambda url: url.replace("registry%40", "admin%40"), "GET", 0),
        (lambda url: url + "&userProject=other", "GET", 0),
        (lambda url: url, "PUT", 0),
        (lambda url: url, "HEAD", 0),
        (lambda url: url, "GET", 60),
    ],
)  # fmt: skip
def test_a_url_is_good_for_nothing_else(
    key: RSAPrivateKey,
    sign: Callable[[bytes], bytes],
    changed: Callable[[str], str],
    method: str,
    seconds: int,
):
    url = signed_url(
        "https://storage.googleapis.com", "/bucket/key", "GET", 60, NOW, ACCOUNT, sign=sign
    )
    verify(url, "GET", key.public_key(), NOW + timedelta(seconds=59))

    with pytest.raises(Refused):
        verify(changed(url), method, key.public_key(), NOW + timedelta(seconds=seconds))


@pytest.mark.anyio
@pytest.mark.parametrize("form", ["keyfile", "credentials", "one line"])
async def test_the_driver_signs_with_the_key_that_it_is_given(
    key: RSAPrivateKey, service_account: dict[str, str], gcs_keyfile: Path, form: str
):
    pem = service_account["private_key"]
    if form == "one line":  # as a variable often has it
        pem = json.dumps(pem)[1:-1]
    credentials = GCSCredentials.model_validate({**service_account, "private_key": pem})
    named = {"keyfile": gcs_keyfile} if form == "keyfile" else {"credentials": credentials}
    settings = GCSSettings.model_validate({"bucket": "images", "rootdirectory": "/r", **named})
    driver = from_settings(settings)
    assert isinstance(driver, Redirects)
    await driver._store._service.identity.open()  # type: ignore[attr-defined]

    for method in ("GET", "HEAD"):
        url = await driver.presigned_url("/docker/blobs/sha256:ab/data", method, 1200)
        assert url
        found = verify(url, method, key.public_key(), clock.now())
        assert found.account == ACCOUNT
        assert found.resource == b"/images/r/docker/blobs/sha256:ab/data"
        assert urlsplit(url).netloc == "storage.googleapis.com"
    assert await driver.presigned_url("/docker/blobs/sha256:ab/data", "PUT", 60) is None
