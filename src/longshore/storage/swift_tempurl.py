"""URLs with which anybody may fetch an object: Swift's TempURL middleware."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urlencode, urlsplit

from longshore.storage.swift_requests import Account
from longshore.telemetry import clock

if TYPE_CHECKING:
    from longshore.storage.swift_settings import SwiftSettings

#: The best first.
_DIGESTS: Final = ("sha256", "sha512", "sha1")


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs for one account and container."""

    digest: str
    secret: bytes = field(repr=False)
    methods: frozenset[str]
    #: What a service wants beside the signature.
    more: Mapping[str, str]

    def url(self, account: str, container: str, key: str, method: str, lifetime: float) -> str:
        """The URL of an object; ``account`` is the account's URL as clients reach it."""
        address = urlsplit(account)
        path = f"{unquote(address.path)}/{container}/{key}"
        expires = int(clock.timestamp() + lifetime)
        signed = hmac.new(self.secret, f"{method}\n{expires}\n{path}".encode(), self.digest)
        query = {
            "temp_url_sig": signed.hexdigest(),
            "temp_url_expires": str(expires),
            **self.more,
        }
        return f"{address.scheme}://{address.netloc}{quote(path)}?{urlencode(query)}"


async def signer(
    account: Account, settings: "SwiftSettings", able: Mapping[str, Any] | None
) -> Signer | None:
    """What can be signed with the key that is there, or with the configured one, which is set where
    it is missing. ``able`` is what the service tells of TempURLs. None where there is no key."""
    methods = frozenset(settings.tempurlmethods or (able or {}).get("methods", ()))
    digest = next(
        (name for name in _DIGESTS if name in (able or {}).get("allowed_digests", ["sha1"])), ""
    )
    if not able or not digest or not methods & {"GET", "HEAD"}:
        return None
    wanted = settings.secretkey.get_secret_value()
    owner, kind = ("", "Container") if settings.tempurlcontainerkey else (None, "Account")
    headers, _ = await account.send("HEAD", owner)
    names = (f"X-{kind}-Meta-Temp-Url-Key", f"X-{kind}-Meta-Temp-Url-Key-2")
    there = [headers[name] for name in names if headers.get(name)]
    if wanted and wanted not in there:
        await account.send("POST", owner, headers={names[0]: wanted})
    secret = wanted or (there[0] if there else "")
    if not secret:
        return None
    more = {"temp_url_access_key": settings.accesskey} if settings.accesskey else {}
    return Signer(digest, secret.encode(), methods & {"GET", "HEAD"}, more)
