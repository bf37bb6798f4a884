"""One provider: its metadata and its keys, fetched when they are needed and kept for a while."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from longshore.openid.errors import ProviderUnavailable, TokenRefused
from longshore.openid.keys import KeySet, PublicKey, unknown_key
from longshore.openid.metadata import PATH, ProviderMetadata, parse
from longshore.openid.web import Web, check_address, shown
from longshore.telemetry import clock

T = TypeVar("T")

#: For how long an answer is taken as it is, and for how long after that while no newer one is to be had.
FRESH: Final = 3600.0
STALE: Final = 86_400.0
#: How often keys may be fetched because a token names one that is not known. Anybody can name one.
AGAIN: Final = 30.0
#: How long a failure stands for the answer to the next question.
FAILED: Final = 5.0


class _Kept(Generic[T]):
    """One document: one question at a time, the last good answer, and the last failure."""

    def __init__(self, fetch: Callable[[], Awaitable[T]], monotonic: Callable[[], float]) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._found: T | None = None
        self._at = 0.0
        self._failure: ProviderUnavailable | None = None
        self._failed_at = 0.0

    async def get(self, younger: float = FRESH) -> T:
        """An answer that is at most ``younger`` seconds old; an older one when no newer one is to be
        had. Raises ProviderUnavailable."""
        if self._found is not None and self._age <= younger:
            return self._found
        async with self._lock:
            if self._found is not None and self._age <= younger:
                return self._found
            if self._failure is None or self._monotonic() - self._failed_at > FAILED:
                await self._ask()
            if self._found is None or self._age > STALE:
                raise self._failure or ProviderUnavailable("the provider has not answered")
            return self._found

    @property
    def _age(self) -> float:
        return self._monotonic() - self._at

    async def _ask(self) -> None:
        try:
            found = await self._fetch()
        except ProviderUnavailable as error:
            self._failure, self._failed_at = error, self._monotonic()
            return
        self._found, self._at, self._failure = found, self._monotonic(), None


class Provider:
    """The provider that calls itself ``issuer``."""

    def __init__(
        self,
        issuer: str,
        web: Web,
        *,
        discovery: str = "",
        jwks_uri: str = "",
        monotonic: Callable[[], float] = clock.monotonic,
    ) -> None:
        """``discovery`` is where its metadata is, if not where the specification has it; ``jwks_uri``
        where its keys are, if its metadata need not be asked."""
        self.issuer = issuer
        self.web = web
        self._discovery = discovery or issuer.removesuffix("/") + PATH
        self._jwks_uri = jwks_uri
        self._metadata = _Kept(self._fetch_metadata, monotonic)
        self._keys = _Kept(self._fetch_keys, monotonic)

    async def metadata(self) -> ProviderMetadata:
        """What it publishes about itself. Raises ProviderUnavailable."""
        return await self._metadata.get()

    async def find(self, kid: str | None, algorithm: str) -> PublicKey:
        """A ``longshore.openid.keys.KeySource``: a key that is not known may be new, so keys are
        fetched again, but not more often than every half a minute."""
        found = (await self._keys.get()).get(kid, algorithm)
        if found is None:
            found = (await self._keys.get(AGAIN)).get(kid, algorithm)
        if found is None:
            raise TokenRefused(unknown_key(kid, algorithm, shown(self.issuer)))
        return found

    async def try_out(self) -> None:
        """Ask for metadata and keys. Raises ProviderUnavailable."""
        await self.metadata()
        await self._keys.get()

    async def close(self) -> None:
        """Close the connections."""
        await self.web.close()

    async def _fetch_metadata(self) -> ProviderMetadata:
        check_address(self.issuer)
        return parse(self.issuer, await self.web.get(self._discovery))

    async def _fetch_keys(self) -> KeySet:
        url = self._jwks_uri or (await self.metadata()).jwks_uri
        return KeySet(await self.web.get(url))
