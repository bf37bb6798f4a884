"""Requests to a Swift account: a token that is renewed, time-outs, retries, and what errors mean."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import tenacity
from yarl import URL

from longshore.storage.driver import (
    PathNotFound,
    StorageError,
    StorageNoSpace,
    StorageUnavailable,
)
from longshore.storage.swift_login import NAME, Access, LoginRefused, login

if TYPE_CHECKING:
    from longshore.storage.swift_settings import SwiftSettings

T = TypeVar("T")

_CONNECTIONS: Final = 128
_ATTEMPTS: Final = 4
#: Longest wait before the second attempt (seconds); it doubles.
FIRST_WAIT: Final = 0.2
#: Silence that is taken for a failure (seconds); the second for what the service does by itself:
#: it copies, joins or removes much, and answers at the end.
SILENCE, LONG_SILENCE = 60.0, 240.0
#: The same for a whole request, however fast its bytes go.
_TOTAL: Final = 600.0
#: Too busy (498 is Swift's own), or something between us and the disks failed.
_TEMPORARY: Final = frozenset({408, 429, 498, 500, 502, 503, 504})
#: Bytes of an error's text that are worth reading.
_TEXT: Final = 2_000
_DENIED: Final = (
    "the user may not do this in the container: it needs a role that may read and write the "
    "project's objects (such as member or swiftoperator), or the container's ACLs must allow it"
)


class Refused(StorageUnavailable):
    """The service understood the request and did not do it: nothing has changed."""

    #: The HTTP status.
    status = 0


class _Temporary(Exception):
    """Worth another attempt; the cause is what to raise after the last one."""

    def __init__(self, error: StorageError) -> None:
        self.error = error


class Account:
    """The account that the settings log in to, seen from one container of it."""

    def __init__(self, settings: "SwiftSettings") -> None:
        self._settings = settings
        self.container = settings.container
        self._session: aiohttp.ClientSession | None = None
        self._access: Access | None = None
        self._logging_in = asyncio.Lock()

    async def open(self) -> None:
        """Log in. Raises StorageUnavailable."""
        connector = aiohttp.TCPConnector(
            limit=_CONNECTIONS, ssl=not self._settings.insecureskipverify
        )
        self._session = aiohttp.ClientSession(
            connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        await _repeated(self._logged_in)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def access(self, refused: Access | None = None) -> Access:
        """A token to use: another one than ``refused``. Only one task logs in at a time."""
        async with self._logging_in:
            access = self._access
            if access is None or access is refused or time.monotonic() > access.until:
                access = self._access = await login(self._http, self._settings)
            return access

    async def _logged_in(self, refused: Access | None = None) -> Access:
        try:
            return await self.access(refused)
        except LoginRefused:
            raise
        except StorageUnavailable as error:
            raise _Temporary(error) from error

    @property
    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the store is not open")
        return self._session

    def path(self, key: str) -> str:
        """``/container/key`` as URLs and manifests' headers spell it."""
        return f"/{quote(self.container, safe='')}/{quote(key)}"

    async def send(
        self,
        method: str,
        key: str | None,
        content: bytes = b"",
        *,
        headers: Mapping[str, str] = {},
        query: Mapping[str, str] = {},
        long: bool = False,
    ) -> tuple[Mapping[str, str], bytes]:
        """The headers and the whole body of a successful answer about an object, or the container
        (``key`` is ""), or the account (None).

        Raises PathNotFound for an object, Refused, StorageNoSpace, StorageUnavailable.
        """

        async def attempt() -> tuple[Mapping[str, str], bytes]:
            reply = await self._ask(method, key, content, headers=headers, query=query, long=long)
            with _answering(key or self.container):
                async with reply:
                    return reply.headers, await reply.read()

        return await _repeated(attempt)

    @asynccontextmanager
    async def answer(
        self, key: str, *, headers: Mapping[str, str] = {}, also: int = 0
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """An object as it comes, or an answer with the status ``also``. When it breaks off while the
        block reads it, that is StorageUnavailable. Raises what :meth:`send` raises."""

        async def attempt() -> aiohttp.ClientResponse:
            return await self._ask("GET", key, headers=headers, also=also)

        reply = await _repeated(attempt)
        try:
            with _answering(key):
                async with reply:
                    yield reply
        except _Temporary as broken:
            raise broken.error from broken.__cause__

    async def _ask(
        self,
        method: str,
        key: str | None,
        content: bytes = b"",
        *,
        headers: Mapping[str, str] = {},
        query: Mapping[str, str] = {},
        long: bool = False,
        also: int = 0,
    ) -> aiohttp.ClientResponse:
        """One request, and a second one if the token is refused."""
        path = key or self.container
        where = "" if key is None else self.path(key) if key else self.path("").rstrip("/")
        if query:
            where += f"?{urlencode(query)}"
        total = None if method == "GET" else _TOTAL
        silence = LONG_SILENCE if long else SILENCE
        timeout = aiohttp.ClientTimeout(total=total, sock_connect=10, sock_read=silence)
        access = await self._logged_in()
        renewed = False
        while True:
            with _answering(path):
                reply: aiohttp.ClientResponse = await self._http.request(
                    method,
                    URL(access.url + where, encoded=True),
                    data=BytesIO(content) if content else None,
                    headers={"X-Auth-Token": access.token, **headers},
                    timeout=timeout,
                    allow_redirects=False,
                )
            if reply.status < 300 or reply.status == also:
                return reply
            if reply.status != 401 or renewed:
                break
            reply.release()
            access, renewed = await self._logged_in(access), True
        meaning = await _meaning(path, key, reply)
        raise _Temporary(meaning) if reply.status in _TEMPORARY else meaning

    async def open_url(self, path: str) -> bytes | None:
        """What lies at a path of the server that the account is on, without a token; None when it
        is not there."""
        access = await self.access()
        url = URL(access.url, encoded=True).origin().with_path(path)
        try:
            timeout = aiohttp.ClientTimeout(total=10)
            async with self._http.get(url, timeout=timeout, allow_redirects=False) as reply:
                return await reply.read() if reply.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None


async def _repeated(attempt: Callable[[], Awaitable[T]]) -> T:
    """The result of ``attempt``, made again while it fails with what may pass."""

    async def work() -> T:  # tenacity awaits coroutine functions only
        return await attempt()

    retrying = tenacity.AsyncRetrying(
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=tenacity.wait_random_exponential(multiplier=FIRST_WAIT, max=5),
        retry=tenacity.retry_if_exception_type(_Temporary),
        reraise=True,
    )
    try:
        return await retrying(work)
    except _Temporary as last:
        raise last.error from last.__cause__


@contextmanager
def _answering(path: str) -> Iterator[None]:
    """What breaks on the way is worth another attempt."""
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        reason = f"the service does not answer: {type(error).__name__}: {error}"
        raise _Temporary(StorageUnavailable(NAME, path, reason)) from error


async def _meaning(path: str, key: str | None, reply: aiohttp.ClientResponse) -> StorageError:
    status = reply.status
    try:
        async with reply:
            said = (await reply.content.read(_TEXT)).decode(errors="replace")
    except (aiohttp.ClientError, TimeoutError, OSError):
        said = ""
    if status == 404 and key:
        return PathNotFound(NAME, path, "no such object")
    if status == 507 or (status == 413 and "quota" in said.lower()):
        return StorageNoSpace(NAME, path, f"the service has no room ({status})")
    about = "" if said.startswith("<") else f" {' '.join(said.split())[:200]}"
    reason = _DENIED if status in (401, 403) else f"the service answered {status}{about}"
    if status >= 500:
        return StorageUnavailable(NAME, path, reason)
    refused = Refused(NAME, path, reason)
    refused.status = status
    return refused
