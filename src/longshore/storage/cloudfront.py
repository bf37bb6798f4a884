"""Signed URLs of Amazon CloudFront with a canned policy.

"Creating a signed URL using a canned policy", Amazon CloudFront Developer Guide: the policy in its one
canonical spelling is signed with RSA and SHA-1, and its signature is written in a variant of Base64
that needs no escaping in a URL. The policy itself is not sent: CloudFront makes it again from the
URL, so the two must agree to the byte.
"""

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from longshore.storage.aws_networks import AWSNetworks
from longshore.storage.driver import ObjectKeys, StorageDriver
from longshore.storage.redirection import URLSource
from longshore.telemetry import clock

_UNRESERVED: Final = bytes.maketrans(b"+=/", b"-_~")


class KeyUnusable(Exception):
    """The file has no RSA key that could sign; the message says why."""


def read_key(path: Path) -> rsa.RSAPrivateKey:
    """The key of a PEM file (PKCS#1 or PKCS#8, without a passphrase). Raises KeyUnusable."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        reason = getattr(error, "strerror", None) or "is not a PEM file with an unencrypted key"
        raise KeyUnusable(f"middleware.storage: cloudfront: privatekey {path}: {reason}") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise KeyUnusable(
            f"middleware.storage: cloudfront: privatekey {path}: only RSA keys can sign here"
        )
    return key


def policy(url: str, expires: int) -> bytes:
    """What is signed: ``url`` may be fetched until ``expires`` (POSIX seconds)."""
    return (
        f'{{"Statement":[{{"Resource":"{url}","Condition":'
        f'{{"DateLessThan":{{"AWS:EpochTime":{expires}}}}}}}]}}'
    ).encode()


@dataclass(frozen=True, slots=True)
class URLSigner:
    """Signs with one key, whose public half CloudFront knows as ``key_id``."""

    key: rsa.RSAPrivateKey
    key_id: str

    def sign(self, url: str, expires: int) -> str:
        """``url`` (without a query) with its signature."""
        # SHA-1 is what CloudFront checks; a collision would need control over the policy's text.
        signature = self.key.sign(policy(url, expires), padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - see above
        written = base64.b64encode(signature).translate(_UNRESERVED).decode()
        return f"{url}?Expires={expires}&Signature={written}&Key-Pair-Id={self.key_id}"


@dataclass(frozen=True, slots=True)
class CloudFrontURLs:
    """Clients fetch from CloudFront, except those in ``nearby`` networks: they are inside AWS and
    get the ``inner`` URL, that of the storage. ``duration`` in seconds; None: as long as asked."""

    base: str
    signer: URLSigner
    key_of: Callable[[str], str]
    inner: URLSource | None = None
    duration: float | None = None
    nearby: AWSNetworks | None = None

    async def url(self, path: str, method: str, lifetime: float, client: str) -> str | None:
        """See URLSource."""
        if self.nearby is not None and self.inner is not None:
            self.nearby.refresh()
            if self.nearby.holds(client):
                return await self.inner.url(path, method, lifetime, client)
        expires = int(clock.timestamp() + (self.duration or lifetime))
        return await asyncio.to_thread(self.signer.sign, self.base + self.key_of(path), expires)


def key_of(driver: StorageDriver) -> Callable[[str], str]:
    """How an object of ``driver`` is called by a CDN in front of the same storage: the key in the
    bucket, or the path below the root directory."""
    if isinstance(driver, ObjectKeys):
        return driver.object_key
    return lambda path: path.removeprefix("/")


def base_url(written: str) -> str:
    """With the scheme that distribution adds, and a slash at the end."""
    url = written if "://" in written else f"https://{written}"
    return url if url.endswith("/") else f"{url}/"
