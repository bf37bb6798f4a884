"""One HTTP request and its answer: time-outs, attempts, redirects, and httpx's errors as ours."""

import contextlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

import anyio
import anyio.to_thread
import httpx
import tenacity

import longshore
from longshore.client.connection import Connection
from longshore.client.errors import (
    CertificateRejected,
    ClientError,
    ProtocolViolation,
    TimedOut,
    Unreachable,
)
from longshore.client.refusal import refusal

T = TypeVar("T")

#: Bytes of a body per step: large enough that the way to a worker thread and back costs little.
CHUNK: Final = 1024 * 1024
#: Registries must take manifests of 4 MiB; nobody sends documents much larger than that.
LARGEST_DOCUMENT: Final = 16 * 1024 * 1024
_LARGEST_ERROR = 64 * 1024
_REDIRECTS = 5

#: A body that can be sent more than once: each call starts it anew.
Body = Callable[[], AsyncGenerator[bytes, None]]


@dataclass(frozen=True)
class Ask:
    """A request. `url` may be relative to the registry; `accept` are error statuses that are
    answers, not errors; `scopes` is what a token must allow."""

    method: str
    url: str | httpx.URL
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Body | None = None
    scopes: frozenset[str] = frozenset()
    accept: frozenset[int] = frozenset()
    timeout: float | None = None


@dataclass(frozen=True)
class Reply:
    """A whole answer; `url` is where it came from, after redirects."""

    status: int
    headers: httpx.Headers
    body: bytes
    url: httpx.URL


class Wire:
    """Sends requests for one registry; knows nothing of authorization."""

    def __init__(self, registry: str, connection: Connection) -> None:
        self.registry = registry
        self.connection = connection
        self._http: httpx.AsyncClient | None = None

    async def open(self) -> None:
        """Read the certificates and make the connection pool."""
        context = await anyio.to_thread.run_sync(self.connection.tls, self.registry)
        self._http = httpx.AsyncClient(
            verify=context,
            timeout=self.connection.timeout(),
            limits=self.connection.limits(),
            headers={
                "User-Agent": f"longshore/{longshore.__version__}",
                # Digests are of the bytes as stored; a compressed transfer would only cost time.
                "Accept-Encoding": "identity",
            },
        )

    @property
    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            raise RuntimeError("the client is not open: use it with 'async with'")
        return self._http

    async def close(self) -> None:
        """Close every connection."""
        if self._http is not None:
            await self._http.aclose()

    @contextlib.asynccontextmanager
    async def send(self, ask: Ask, url: httpx.URL) -> AsyncIterator[httpx.Response]:
        """One attempt: an open response of any status, redirects followed.

        Raises Unreachable and its kin, or ProtocolViolation for a redirect that must not be
        followed.
        """
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(self.translated(url))
            body = ask.body() if callable(ask.body) else ask.body
            if isinstance(body, AsyncGenerator):  # httpx leaves it as it is when it fails
                stack.push_async_callback(body.aclose)
            response = await self._start(self._request(ask, url, body))
            try:
                for _ in range(_REDIRECTS):
                    following = _following(ask, response)
                    if following is None:
                        break
                    response = await self._redirected(response, following)
                yield response
            finally:
                await response.aclose()

    def _request(
        self, ask: Ask, url: httpx.URL, body: bytes | AsyncGenerator[bytes, None] | None
    ) -> httpx.Request:
        timeout = self.connection.timeout()
        if ask.timeout is not None:
            timeout.read = ask.timeout
        return self._client.build_request(
            ask.method, url, headers=dict(ask.headers), content=body, timeout=timeout
        )

    async def _start(self, request: httpx.Request) -> httpx.Response:
        return await self._client.send(request, stream=True)

    async def _redirected(
        self, response: httpx.Response, following: httpx.Request
    ) -> httpx.Response:
        await response.aclose()
        downgrade = response.url.scheme == "https" and following.url.scheme == "http"
        if downgrade and not self.connection.insecure:
            raise ProtocolViolation(
                f"{self.registry} redirects from https to plain http ({following.url.host}), "
                "which is not followed: the registry or its storage is set up wrongly"
            )
        # httpx has taken the Authorization header off if this goes to another host.
        return await self._start(following)

    async def read(self, response: httpx.Response, limit: int = LARGEST_DOCUMENT) -> bytes:
        """The whole body; raises ProtocolViolation when it is longer than `limit`."""
        body = bytearray()
        async for chunk in response.aiter_raw(CHUNK):
            body += chunk
            if len(body) > limit:
                raise ProtocolViolation(
                    f"{self.registry} sent more than {limit} bytes for {response.url.path}"
                )
        return bytes(body)

    async def check(self, ask: Ask, response: httpx.Response) -> None:
        """Raise what an error status means, unless the request takes it for an answer."""
        if response.next_request is not None:
            raise ProtocolViolation(
                f"{self.registry} redirects {ask.method} {response.request.url.path} to "
                f"{response.next_request.url.host}, which is not followed"
            )
        if response.status_code < 400 or response.status_code in ask.accept:
            return
        body = bytearray()
        async for chunk in response.aiter_raw(_LARGEST_ERROR):
            body += chunk
            if len(body) >= _LARGEST_ERROR:
                break
        raise refusal(self.registry, response, bytes(body))

    async def attempts(self, action: Callable[[], Awaitable[T]]) -> T:
        """The result of `action`, tried again while its errors are temporary."""
        retrying = tenacity.AsyncRetrying(
            sleep=anyio.sleep,
            stop=tenacity.stop_after_attempt(self.connection.attempts),
            wait=self._pause,
            retry=tenacity.retry_if_exception(self._worth_another_attempt),
            reraise=True,
        )

        async def attempt() -> T:  # tenacity awaits coroutine functions only
            return await action()

        return await retrying(attempt)

    def _worth_another_attempt(self, error: BaseException) -> bool:
        if not isinstance(error, ClientError) or not error.temporary:
            return False
        return (error.retry_after or 0) <= self.connection.longest_pause

    def _pause(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, ClientError) else None
        return asked if asked is not None else _BACKOFF(state)

    @contextlib.contextmanager
    def translated(self, url: httpx.URL) -> Iterator[None]:
        """httpx's exceptions as ClientErrors that name the host."""
        host = url.netloc.decode("ascii")
        try:
            yield
        except httpx.TimeoutException as error:
            raise TimedOut(f"{host} did not answer in time", temporary=True) from error
        except httpx.UnsupportedProtocol as error:
            raise ProtocolViolation(f"{self.registry} sent a useless address: {error}") from error
        except httpx.TransportError as error:
            raise _broken(host, error) from error
        except httpx.InvalidURL as error:
            raise ProtocolViolation(f"{self.registry} sent a useless address: {error}") from error


#: Half a second, one, two ... at most ten, each shortened by chance so that clients do not march.
_BACKOFF: Final = tenacity.wait_random_exponential(multiplier=0.5, max=10)


def _following(ask: Ask, response: httpx.Response) -> httpx.Request | None:
    """The request a redirect leads to. A body (an image, a login) goes to no other host."""
    following = response.next_request
    if following is None or ask.method in ("GET", "HEAD"):
        return following
    kept = response.status_code in (httpx.codes.TEMPORARY_REDIRECT, httpx.codes.PERMANENT_REDIRECT)
    own = following.url.host == response.url.host
    return following if kept and own and not callable(ask.body) else None


def _broken(host: str, error: httpx.TransportError) -> Unreachable:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return CertificateRejected(
                f"{host}: its certificate is not trusted ({cause.verify_message}); give the "
                "authority's certificate with --ca FILE"
            )
        cause = cause.__cause__ or cause.__context__
    what = "cannot be reached" if isinstance(error, httpx.ConnectError) else "broke the connection"
    said = f": {error}" if str(error) else ""
    return Unreachable(f"{host} {what}{said}", temporary=True)
