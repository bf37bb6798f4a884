"""Signed URLs of Google Cloud Storage, version 4.

https://cloud.google.com/storage/docs/authentication/canonical-requests
"""

import base64
import hashlib
import json
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlsplit

from cachetools import TLRUCache

from longshore.storage.driver import StorageUnavailable
from longshore.storage.gcs_requests import NAME, Service
from longshore.telemetry import clock

_ALGORITHM: Final = "GOOG4-RSA-SHA256"
#: Seconds; the service refuses URLs that are valid for longer.
_LONGEST: Final = 7 * 24 * 3600
#: Where Google signs with keys that it does not give away.
_IAM: Final = "https://iamcredentials.googleapis.com"
#: URLs that Google signed, and the part of their lifetime in which they are given again.
_REMEMBERED: Final = 10_000
_REUSE: Final = 0.25


def unsigned_url(
    endpoint: str, path: str, method: str, lifetime: float, now: datetime, account: str
) -> tuple[str, bytes]:
    """The URL of ``/bucket/key`` for ``method`` requests, and what ``account`` has to sign, with
    RSA (PKCS #1 v1.5) over its SHA-256, so that anybody may make them.

    They may for ``lifetime`` seconds from ``now`` (UTC). The signature follows the URL.
    """
    time = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{time[:8]}/auto/storage/goog4_request"
    query = "&".join(
        f"{name}={quote(value, safe='')}"
        for name, value in (  # in the order of their names
            ("X-Goog-Algorithm", _ALGORITHM),
            ("X-Goog-Credential", f"{account}/{scope}"),
            ("X-Goog-Date", time),
            ("X-Goog-Expires", str(max(1, min(int(lifetime), _LONGEST)))),
            ("X-Goog-SignedHeaders", "host"),
        )
    )
    quoted = quote(path, safe="/~")
    host = urlsplit(endpoint).netloc
    request = "\n".join((method, quoted, query, f"host:{host}", "", "host", "UNSIGNED-PAYLOAD"))
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join((_ALGORITHM, time, scope, digest))
    return f"{endpoint}{quoted}?{query}&X-Goog-Signature=", text.encode()


class SignedURLs:
    """Of one bucket. Whoever has the account's key signs with it; for others Google does.

    A signature of Google's costs a request, so such a URL is given again for a quarter of its
    lifetime.
    """

    def __init__(self, service: Service, endpoint: str, bucket: str) -> None:
        self._service, self._endpoint, self._bucket = service, endpoint, bucket
        self._remembered: TLRUCache[tuple[str, str, float], str] = TLRUCache(
            _REMEMBERED, ttu=lambda wanted, _url, now: now + wanted[2] * _REUSE
        )

    async def url(self, key: str, method: str, lifetime: float) -> str | None:
        """For GET and HEAD; None when there is no account. Raises StorageUnavailable."""
        signer = self._service.identity.signer
        if signer is None or method not in ("GET", "HEAD"):
            return None
        if found := self._remembered.get((key, method, lifetime)):
            return found
        path = f"/{self._bucket}/{key}"
        url, text = unsigned_url(
            self._endpoint, path, method, lifetime, clock.now(), signer.account
        )
        if signer.sign:
            return url + signer.sign(text).hex()
        url += (await self._signed_by_google(signer.account, text)).hex()
        self._remembered[key, method, lifetime] = url
        return url

    async def _signed_by_google(self, account: str, text: bytes) -> bytes:
        reply = await self._service.call(
            account,
            "POST",
            f"{_IAM}/v1/projects/-/serviceAccounts/{quote(account)}:signBlob",
            body=json.dumps({"payload": base64.b64encode(text).decode()}).encode(),
            headers={"Content-Type": "application/json"},
            wanted=frozenset({200, 403, 404}),
        )
        if reply.status != 200:
            reason = (
                f"{account} may not sign URLs: give it the role "
                "roles/iam.serviceAccountTokenCreator on itself, or set storage.redirect.disable"
            )
            raise StorageUnavailable(NAME, self._bucket, reason)
        return base64.b64decode(reply.json["signedBlob"])
