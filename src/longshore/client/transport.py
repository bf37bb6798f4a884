"""Authorized requests to one registry: which address answers, and one second try after a 401."""

import contextlib
from collections.abc import AsyncIterator

import anyio
import httpx

from longshore.client.addresses import api_host, is_loopback
from longshore.client.authorization import Authorization
from longshore.client.connection import Connection
from longshore.client.credentials import CredentialSource
from longshore.client.errors import ProtocolViolation, Unreachable
from longshore.client.refusal import refusal
from longshore.client.wire import LARGEST_DOCUMENT, Ask, Reply, Wire

_API = "/v2/"


class Transport:
    """Sends requests to one registry and gives back answers, authorized and retried."""

    def __init__(
        self, registry: str, credentials: CredentialSource, connection: Connection
    ) -> None:
        self.registry = registry
        self.connection = connection
        self.wire = Wire(registry, connection)
        self.authorization = Authorization(self.wire, credentials)
        self._base: httpx.URL | None = None
        self._lock = anyio.Lock()

    async def call(self, ask: Ask, limit: int = LARGEST_DOCUMENT) -> Reply:
        """The whole answer, tried again while the failure is temporary. Raises ClientErrors."""

        async def once() -> Reply:
            async with self._exchange(ask) as response:
                body = await self.wire.read(response, limit)
                return Reply(response.status_code, response.headers, body, response.url)

        return await self.wire.attempts(once)

    async def call_once(self, ask: Ask) -> Reply:
        """As `call`, without a second attempt: for parts of an upload, which resume instead."""
        async with self._exchange(ask) as response:
            body = await self.wire.read(response)
            return Reply(response.status_code, response.headers, body, response.url)

    @contextlib.asynccontextmanager
    async def stream(self, ask: Ask) -> AsyncIterator[httpx.Response]:
        """An answer whose body is still to be read. It is opened with several attempts; what
        breaks while it is read is the caller's to continue."""
        async with contextlib.AsyncExitStack() as stack:

            async def once() -> httpx.Response:
                return await stack.enter_async_context(self._exchange(ask))

            yield await self.wire.attempts(once)

    @contextlib.asynccontextmanager
    async def _exchange(self, ask: Ask) -> AsyncIterator[httpx.Response]:
        base = await self.base()
        url = self.resolve(base, ask.url)
        own = (url.scheme, url.host, url.port) == (base.scheme, base.host, base.port)
        for last in (False, True):
            sent = await self.authorization.header(ask.scopes) if own else None
            headers = {**ask.headers, **({"Authorization": sent} if sent else {})}
            attempt = Ask(ask.method, url, headers, ask.body, timeout=ask.timeout)
            async with self.wire.send(attempt, url) as response:
                # Only the registry itself is believed when it says who wants which credentials.
                own = own and response.url.host == base.host
                if response.status_code != httpx.codes.UNAUTHORIZED or last or not own:
                    await self.wire.check(ask, response)
                    yield response
                    return
                challenges = response.headers.get_list("WWW-Authenticate")
                error = refusal(self.registry, response, await self.wire.read(response))
            if not await self.authorization.learn(base, challenges, ask.scopes, sent):
                raise error

    def resolve(self, base: httpx.URL, url: str | httpx.URL) -> httpx.URL:
        """An address the registry named, made absolute.

        A registry behind a proxy that does not know of the proxy's TLS names itself with http;
        that is put right, because following it would give up encryption.
        """
        try:
            joined = base.join(url)
        except httpx.InvalidURL as error:
            raise ProtocolViolation(f"{self.registry} sent a useless address: {error}") from error
        if base.scheme == "https" and joined.scheme == "http":
            if joined.host != base.host:
                raise ProtocolViolation(
                    f"{self.registry} wants to go on over plain http at {joined.host}, which is "
                    "not followed: its configuration of proxies (http.host) is wrong"
                )
            return joined.copy_with(scheme="https", port=base.port)
        return joined

    async def base(self) -> httpx.URL:
        """The root of the registry's API, found at the first request."""
        async with self._lock:
            if self._base is None:
                self._base = await self._probe()
        return self._base

    async def _probe(self) -> httpx.URL:
        host = api_host(self.registry)
        urls = [httpx.URL(f"{scheme}://{host}") for scheme in self._schemes(host)]
        for url in urls:
            try:
                return await self._contact(url)
            except Unreachable as error:
                if not error.temporary:  # an untrusted certificate is no reason to go without
                    raise
        try:
            return await self._contact(urls[-1])
        except Unreachable as error:
            # Nobody is there: more attempts would only keep a person waiting for that news.
            error.temporary = False
            raise

    def _schemes(self, host: str) -> list[str]:
        if self.connection.plain_http:
            return ["http"]
        bare = httpx.URL(f"https://{host}").host
        return ["https", "http"] if self.connection.insecure or is_loopback(bare) else ["https"]

    async def _contact(self, url: httpx.URL) -> httpx.URL:
        ask = Ask("GET", url.join(_API), timeout=self.connection.connect_timeout)
        async with self.wire.send(ask, url.join(_API)) as response:
            challenges = response.headers.get_list("WWW-Authenticate")
            own = response.url.host == url.host
            refused = response.status_code == httpx.codes.UNAUTHORIZED
        if own and refused:
            await self.authorization.learn(url, challenges, frozenset(), None)
        return url
