"""Where clients may fetch the bytes of a backend themselves, and what happens when that fails.

A client that is sent to a place from which it gets nothing cannot pull at all, so whatever goes wrong
with a redirect ends in sending the bytes ourselves.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit, urlunsplit

from longshore.storage.driver import Redirects, StorageDriver, StorageError

if TYPE_CHECKING:
    from longshore.storage.middleware_settings import StorageMiddlewareSettings

logger = logging.getLogger(__name__)

#: Seconds that signing may take: it may ask a service for credentials first.
PATIENCE: Final = 5.0
#: Seconds without another attempt after signing failed: a credential service that hangs must not
#: hold up every pull.
PAUSE: Final = 10.0
#: Seconds between two lines about it in the log.
_QUIET: Final = 60.0


class URLSource(Protocol):
    """Says under which URL a client fetches an object itself."""

    async def url(self, path: str, method: str, lifetime: float, client: str) -> str | None:
        """A URL for ``method`` (GET, HEAD), valid for ``lifetime`` seconds, for the client of this
        address; None when there is none for this object or this client. Raises StorageError."""


@dataclass(frozen=True, slots=True)
class DriverURLs:
    """What the storage itself signs."""

    driver: Redirects

    async def url(self, path: str, method: str, lifetime: float, client: str) -> str | None:
        """See URLSource."""
        return await self.driver.presigned_url(path, method, lifetime)


@dataclass(frozen=True, slots=True)
class BaseURLs:
    """distribution's ``redirect``: the path behind ``base``, unsigned. For a server that is open to
    clients, or that asks them itself."""

    base: str

    async def url(self, path: str, method: str, lifetime: float, client: str) -> str | None:
        """See URLSource."""
        return f"{self.base.rstrip('/')}{path}"


@dataclass(frozen=True, slots=True)
class RewrittenURLs:
    """distribution's ``rewrite``: another scheme or host, a part of the path less; empty: as it is.

    A signature that covers what is changed no longer holds: for a proxy that puts it back.
    """

    inner: URLSource
    scheme: str = ""
    host: str = ""
    trim: str = ""

    async def url(self, path: str, method: str, lifetime: float, client: str) -> str | None:
        """See URLSource."""
        found = await self.inner.url(path, method, lifetime, client)
        if found is None:
            return None
        parts = urlsplit(found)
        return urlunsplit(
            parts._replace(
                scheme=self.scheme or parts.scheme,
                netloc=self.host or parts.netloc,
                path=parts.path.removeprefix(self.trim),
            )
        )


def url_source(
    driver: StorageDriver, middleware: "Sequence[StorageMiddlewareSettings]" = ()
) -> URLSource | None:
    """Where the objects of ``driver`` are fetched: each middleware is laid around the one before it.

    None when nobody knows a URL. Raises KeyUnusable for CloudFront's private key.
    """
    source: URLSource | None = DriverURLs(driver) if isinstance(driver, Redirects) else None
    for entry in middleware:
        options = entry.options
        if entry.disabled:
            continue
        if entry.name == "redirect":
            source = BaseURLs(options.baseurl)
        elif entry.name == "cloudfront":
            source = _cloudfront(driver, entry, source)
        elif source is not None:
            source = RewrittenURLs(source, options.scheme, options.host, options.trimpathprefix)
    return source


def _cloudfront(
    driver: StorageDriver, entry: "StorageMiddlewareSettings", inner: URLSource | None
) -> URLSource:
    # The library is needed, and its time to load paid, only here.
    from longshore.storage import cloudfront
    from longshore.storage.aws_networks import AWSNetworks

    options = entry.options
    if options.privatekey is None:
        raise cloudfront.KeyUnusable("middleware.storage: cloudfront needs a privatekey")
    nearby = None
    if options.ipfilteredby != "none":
        regions = options.awsregion.replace(",", " ").split()
        nearby = AWSNetworks(
            options.iprangesurl,
            regions if options.ipfilteredby == "awsregion" else (),
            options.updatefrequency,
        )
    return cloudfront.CloudFrontURLs(
        cloudfront.base_url(options.baseurl),
        cloudfront.URLSigner(cloudfront.read_key(options.privatekey), options.keypairid),
        cloudfront.key_of(driver),
        inner,
        options.duration,
        nearby,
    )


def uncounted() -> None:
    """Nobody counts failures."""


class Redirection:
    """The URLs of one backend, for those who pull: never raises, because there is always the other
    way. ``failed`` is called for every pull that could not be redirected."""

    def __init__(self, source: URLSource, failed: Callable[[], None] = uncounted) -> None:
        self.source = source
        #: Why nobody is redirected at the moment; empty: everybody is.
        self.suspended = ""
        self._failed = failed
        self._again = 0.0
        self._said = -_QUIET

    async def url(self, path: str, method: str, lifetime: float, client: str) -> str | None:
        """Where to send the client; None to send the bytes ourselves."""
        if self.suspended or time.monotonic() < self._again:
            self._failed()
            return None
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.source.url(path, method, lifetime, client)
        except (StorageError, TimeoutError) as error:
            now = time.monotonic()
            self._again = now + PAUSE
            self._failed()
            if now - self._said >= _QUIET:
                self._said = now
                logger.warning(
                    "no URL of the storage can be signed, so blobs are sent by this server: %s",
                    str(error) or f"no answer within {PATIENCE:g} seconds",
                )
            return None
