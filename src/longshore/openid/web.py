"""JSON over HTTP, from servers that are believed no more than needed.

An address comes from the configuration or from the document that one of these names. Bounded are the
time of a whole exchange, the size of an answer and the number of redirects. A redirect is followed
within the same origin only: another host would be one that nobody configured.
"""

import asyncio
import ipaddress
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import orjson

from longshore.openid.errors import ProviderUnavailable

if TYPE_CHECKING:
    import httpx

#: Large providers' key sets have tens of kilobytes.
MAX_LENGTH: Final = 512 * 1024
SECONDS: Final = 10.0
_REDIRECTS: Final = 3
_CONNECTIONS: Final = 16


class Web:
    """A client for one provider. ``authority`` is a PEM file of certificates that are trusted as well;
    ``verify`` false accepts any certificate."""

    def __init__(
        self, authority: Path | None = None, *, verify: bool = True, seconds: float = SECONDS
    ) -> None:
        self._authority = authority
        self._verify = verify
        self._seconds = seconds
        self._opening = asyncio.Lock()
        self._client: httpx.AsyncClient | None = None

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The JSON object at ``url``. Raises ProviderUnavailable for anything but 200 with one."""
        status, body = await self._exchange("GET", url, headers or {}, None)
        if status != HTTPStatus.OK:
            raise ProviderUnavailable(f"{shown(url)} answered {status}")
        return _object(url, body)

    async def post(
        self, url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Status below 500 and the JSON object that a form was answered with. Raises
        ProviderUnavailable."""
        status, body = await self._exchange("POST", url, headers or {}, form)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ProviderUnavailable(f"{shown(url)} answered {status}")
        return status, _object(url, body)

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> tuple[int, bytes]:
        check_address(url)
        # A tenth of a second the first time: neither at the start, where there may be no provider, nor here.
        httpx = await asyncio.to_thread(import_module, "httpx")
        try:
            async with asyncio.timeout(self._seconds):
                client = await self._open()
                request = client.build_request(
                    method, url, headers={"Accept": "application/json", **headers}, data=form
                )
                return await self._send(client, request)
        except TimeoutError as error:
            raise ProviderUnavailable(
                f"{shown(url)} did not answer within {self._seconds:g} seconds"
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            raise ProviderUnavailable(
                f"{shown(url)} cannot be reached: {type(error).__name__}: {str(error)[:200]}"
            ) from error

    async def _send(
        self, client: "httpx.AsyncClient", request: "httpx.Request"
    ) -> tuple[int, bytes]:
        for _ in range(_REDIRECTS):
            response = await client.send(request, stream=True)
            try:
                following = response.next_request
                if following is None:
                    return response.status_code, await _read(response)
            finally:
                await response.aclose()
            if request.method != "GET" or _origin(following.url) != _origin(request.url):
                raise ProviderUnavailable(
                    f"{shown(str(request.url))} redirects to {shown(str(following.url))}, which is "
                    "not followed: write the address itself in the configuration"
                )
            request = following
        raise ProviderUnavailable(f"{shown(str(request.url))} redirects again and again")

    async def _open(self) -> "httpx.AsyncClient":
        import httpx  # is there by now

        async with self._opening:
            if self._client is None:
                # Reading the authorities that the system trusts takes milliseconds.
                context = await asyncio.to_thread(self._context)
                self._client = httpx.AsyncClient(
                    verify=context,
                    timeout=self._seconds,
                    limits=httpx.Limits(max_connections=_CONNECTIONS),
                    headers={"User-Agent": "longshore", "Accept-Encoding": "identity"},
                    trust_env=False,
                )
            return self._client

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if not self._verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self._authority is not None:
            try:
                context.load_verify_locations(self._authority)
            except OSError as error:
                raise ProviderUnavailable(
                    f"{self._authority} is no file of certificates (PEM): {error}"
                ) from error
        return context


async def _read(response: "httpx.Response") -> bytes:
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > MAX_LENGTH:
            raise ProviderUnavailable(
                f"{shown(str(response.url))} sent more than {MAX_LENGTH} bytes"
            )
    return bytes(body)


def _origin(url: "httpx.URL") -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _object(url: str, body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise ProviderUnavailable(f"{shown(url)} answered with something that is no JSON object")
    return document


def check_address(url: str) -> None:
    """Raises ProviderUnavailable for what is no http or https URL."""
    parts = _split(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ProviderUnavailable(f"{shown(url)} is no http or https address")
    if parts.username is not None or parts.password is not None:
        raise ProviderUnavailable(f"the address at {shown(parts.hostname)} has a password in it")


def check_named(issuer: str, url: str, what: str) -> None:
    """Whether the address ``url``, which the provider ``issuer`` names as its ``what``, may be asked: no
    way out of TLS, and no inner address named by an outer provider. Raises ProviderUnavailable."""
    check_address(url)
    named, own = urlsplit(url), urlsplit(issuer)
    if own.scheme == "https" and named.scheme != "https":
        raise ProviderUnavailable(
            f"{shown(issuer)} names {shown(url)} as its {what}: plain http, where it is https itself"
        )
    if named.hostname != own.hostname and _is_inner(named.hostname or ""):
        raise ProviderUnavailable(
            f"{shown(issuer)} names {shown(url)} as its {what}: an inner address of another host"
        )


def _is_inner(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def _split(url: str) -> Any:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def shown(text: str) -> str:
    """``text`` as it may stand in a message: without a query, and cut."""
    return ascii(text.partition("?")[0][:200]).strip("'\"")
