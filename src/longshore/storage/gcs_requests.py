"""Requests to Google Cloud Storage's JSON API, over aiohttp: tried again, and their errors told.

https://cloud.google.com/storage/docs/json_api/v1
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import tenacity
from yarl import URL

import longshore
from longshore.storage.driver import PathNotFound, StorageError, StorageUnavailable
from longshore.storage.gcs_identity import Identity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from longshore.storage.gcs_settings import GCSSettings

T = TypeVar("T")

NAME: Final = "gcs"
#: Requests at the same time, at least: distribution's documented minimum of ``maxconcurrency``.
_MINIMUM_PLACES: Final = 25
_ATTEMPTS: Final = 5
_PAUSE: Final = tenacity.wait_random_exponential(multiplier=0.5, max=10)
#: Seconds to connect, and to wait for the next bytes of an answer.
_CONNECT, _READ = 10.0, 60.0
#: Bytes a second that a body is given time for.
_SLOWEST: Final = 64 << 10
#: Bytes of a body that are handed to the connection in one piece, so that others get their turn.
_PIECE: Final = 256 << 10
_TEMPORARY: Final = frozenset({408, 429, 500, 502, 503, 504})
_RATES: Final = frozenset({"rateLimitExceeded", "userRateLimitExceeded"})
_DENIED: Final = (
    "the credentials may not do this: give their account the role roles/storage.objectUser on the "
    "bucket"
)
_UNKNOWN: Final = "the credentials are not accepted: correct storage.gcs.keyfile or credentials"
_NO_BUCKET: Final = "the bucket does not exist: create it, or correct storage.gcs.bucket"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the service answered: the status, and what follows it."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body's value; an empty table when there is none."""
        return json.loads(self.body or b"{}")


class _Temporary(Exception):  # never leaves this module
    """Another attempt may succeed; else ``error`` is what is raised."""

    def __init__(self, error: StorageError) -> None:
        super().__init__(error.reason)
        self.error = error


class Service:
    """One bucket's URLs, and the connections to them.

    A request has five attempts; only answers that may change are tried again. ``wanted`` are the
    statuses that the caller deals with; all others are raised.
    """

    def __init__(self, settings: "GCSSettings") -> None:
        self.identity = Identity(NAME, settings)
        self._settings = settings
        self._places = asyncio.Semaphore(max(_MINIMUM_PLACES, settings.maxconcurrency))
        self._stack = AsyncExitStack()
        bucket = quote(settings.bucket, safe="")
        self._bucket_path = f"/storage/v1/b/{bucket}"
        self._upload_url = f"{settings.url}/upload{self._bucket_path}/o"

    async def open(self) -> None:
        """Find the credentials. Raises StorageUnavailable."""
        await self.identity.open()
        product = f"longshore/{longshore.__version__} {self._settings.useragent}".strip()
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=_READ),
            headers={"User-Agent": product, "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._session = await self._stack.enter_async_context(session)

    async def close(self) -> None:
        """Release the connections."""
        await self._stack.aclose()

    def object_path(self, key: str) -> str:
        """The path of an object, without the host."""
        return f"{self._bucket_path}/o/{quote(key, safe='')}"

    def url(self, path: str, **query: str) -> str:
        """The URL of a path of the API."""
        return f"{self._settings.url}{path}{_query(query)}"

    def object_url(self, key: str, **query: str) -> str:
        """Of an object's description, or of its content with ``alt="media"``."""
        return self.url(self.object_path(key), **query)

    def list_url(self, **query: str) -> str:
        """Of the bucket's list of objects."""
        return self.url(f"{self._bucket_path}/o", **query)

    def upload_url(self, **query: str) -> str:
        """Where new objects are sent."""
        return f"{self._upload_url}{_query(query)}"

    async def call(
        self,
        key: str,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        wanted: frozenset[int] = frozenset({200, 204}),
        identified: bool = True,
    ) -> Reply:
        """One small answer. Errors have ``key`` as their path; no URL is ever part of them."""

        async def attempt() -> Reply:
            async with self._places, asyncio.timeout(_READ + len(body) / _SLOWEST):
                answer = await self._answer(method, url, body, headers, identified)
                async with answer:
                    reply = Reply(answer.status, answer.headers, await answer.read())
            if reply.status in wanted:
                return reply
            raise self._refusal(key, reply)

        return await _repeated(key, attempt)

    @asynccontextmanager
    async def content(
        self,
        key: str,
        headers: Mapping[str, str],
        wanted: frozenset[int],
        which: Mapping[str, str],
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer that has an object's content, not read yet. Reading it is not tried again.
        ``which`` may name the object's generation."""
        url = self.object_url(key, alt="media", **which)

        async def attempt() -> aiohttp.ClientResponse:
            async with self._places, asyncio.timeout(_READ):
                answer = await self._answer("GET", url, b"", headers, True)
                if answer.status in wanted:
                    return answer
                async with answer:
                    reply = Reply(answer.status, answer.headers, await answer.read())
            raise self._refusal(key, reply)

        async with await _repeated(key, attempt) as answer:
            yield answer

    async def _answer(
        self,
        method: str,
        url: str,
        body: bytes,
        headers: Mapping[str, str] | None,
        identified: bool,
    ) -> aiohttp.ClientResponse:
        told = {**(await self.identity.headers() if identified else {}), **(headers or {})}
        if method != "GET":
            told["Content-Length"] = str(len(body))
        return await self._session.request(
            method,
            URL(url, encoded=True),
            data=_in_pieces(body) if body else None,
            headers=told,
            allow_redirects=False,
        )

    def _refusal(self, key: str, reply: Reply) -> Exception:
        """What a status means. 401 is temporary because the next attempt has a new token."""
        reason, message = _explanation(reply.body)
        said = f"the service answered {reply.status} {message}".strip()
        unavailable = StorageUnavailable(NAME, key, said)
        if reply.status in _TEMPORARY or (reply.status == 403 and reason in _RATES):
            return _Temporary(unavailable)
        if reply.status == 401:
            self.identity.forget()
            return _Temporary(StorageUnavailable(NAME, key, f"{_UNKNOWN} ({message})"))
        if reply.status == 403:
            return StorageUnavailable(NAME, key, f"{_DENIED} ({message})")
        if reply.status == 404:
            if "bucket does not exist" in message:
                return StorageUnavailable(NAME, key, _NO_BUCKET)
            return PathNotFound(NAME, key, "no such object")
        return unavailable


@contextmanager
def translated(key: str) -> "Iterator[None]":
    """Errors of the way to the service become StorageUnavailable, with ``key`` as path."""
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        reason = f"the service does not answer: {type(error).__name__}: {error}"
        raise StorageUnavailable(NAME, key, reason) from error


async def _repeated(key: str, attempt: Callable[[], Awaitable[T]]) -> T:
    """The result of the first attempt that has one."""

    async def once() -> T:
        try:
            with translated(key):
                return await attempt()
        except StorageUnavailable as error:
            if isinstance(error.__cause__, aiohttp.ClientError | TimeoutError | OSError):
                raise _Temporary(error) from error
            raise

    retrying = tenacity.AsyncRetrying(
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=_PAUSE,
        retry=tenacity.retry_if_exception_type(_Temporary),
        reraise=True,
    )
    try:
        return await retrying(once)
    except _Temporary as last:
        raise last.error from last


async def _in_pieces(body: bytes) -> AsyncGenerator[memoryview, None]:
    whole = memoryview(body)
    for start in range(0, len(body), _PIECE):
        yield whole[start : start + _PIECE]


def _explanation(body: bytes) -> tuple[str, str]:
    """The reason and the sentence of an error, which content requests get as plain text."""
    try:
        error = json.loads(body)["error"]
        told = error.get("errors") or [{}]
        return str(told[0].get("reason", "")), str(error.get("message", "")).strip()
    except (ValueError, TypeError, KeyError, AttributeError):
        return "", body[:200].decode(errors="replace").strip()


def _query(values: Mapping[str, str]) -> str:
    return f"?{urlencode(values, quote_via=quote)}" if values else ""
