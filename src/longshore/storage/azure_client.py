"""What the azure driver tells the SDK: who it is, how often to try again, and what errors mean."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Protocol

from azure.core.exceptions import AzureError, HttpResponseError, ServiceResponseError
from azure.core.pipeline.transport import AioHttpTransport
from azure.storage.blob import BlobSasPermissions, UserDelegationKey, generate_blob_sas
from azure.storage.blob.aio import ExponentialRetry

from longshore.storage.driver import (
    PathNotFound,
    StorageError,
    StorageNoSpace,
    StorageUnavailable,
)
from longshore.telemetry import clock

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.storage.blob.aio import BlobServiceClient

    from longshore.storage.azure_settings import AzureSettings

NAME: Final = "azure"
#: Seconds until a connection must stand, and between two pieces of an answer.
CONNECT_TIMEOUT: Final = 10
READ_TIMEOUT: Final = 30
#: Longest wait before a repetition (seconds).
_LONGEST_WAIT: Final = 10.0
_SCOPE: Final = "https://storage.azure.com/.default"
#: A key that signs for a token's holder: how long it is asked for, and when it is renewed.
_DELEGATION: Final = timedelta(days=2)
_RENEW_BEFORE: Final = timedelta(minutes=30)
#: How long to ask no more for such a key after it was refused.
_REFUSED_FOR: Final = timedelta(minutes=10)

_CONTAINER: Final = {
    "ContainerNotFound": "the container does not exist: create it, or correct "
    "storage.azure.container",
    "ContainerBeingDeleted": "the container is being deleted",
    "ContainerDisabled": "the container is disabled",
}
_DENIED: Final = {
    "AuthenticationFailed": "the service does not accept the signature: correct "
    "storage.azure.accountkey, and look whether the clock is right",
    "InvalidAuthenticationInfo": "the service does not accept the credentials: correct "
    "storage.azure.credentials",
    "AuthorizationFailure": "the service refuses this client: correct storage.azure.accountname and "
    "storage.azure.accountkey, and look at the account's network rules",
    "AuthorizationPermissionMismatch": "the identity may not do this: it needs the role "
    "Storage Blob Data Contributor",
    "InsufficientAccountPermissions": "the account may not do this",
    "KeyBasedAuthenticationNotPermitted": "the account takes no keys: use "
    "storage.azure.credentials",
    "AccountIsDisabled": "the storage account is disabled",
}


def code(error: HttpResponseError) -> str:
    """The service's name for the error, or nothing."""
    named = getattr(error, "error_code", None)
    return str(getattr(named, "value", named) or "")


@contextmanager
def translated(key: str) -> Iterator[None]:
    """Errors of the service and of the way there become StorageError, with ``key`` as path."""
    try:
        yield
    except HttpResponseError as error:
        raise _meaning(key, error) from error
    except (AzureError, TimeoutError, OSError) as error:
        reason = f"the service does not answer: {type(error).__name__}: {_line(str(error))}"
        raise StorageUnavailable(NAME, key, reason) from error


def _meaning(key: str, error: HttpResponseError) -> StorageError:
    name, status = code(error), error.status_code
    known = _CONTAINER.get(name) or _DENIED.get(name)
    if known:
        return StorageUnavailable(NAME, key, known)
    if status == 404:
        return PathNotFound(NAME, key, "no such object")
    if status == 507:
        return StorageNoSpace(NAME, key, f"the service has no room ({name})")
    said = _line(str(error.message))
    if status is None:  # no answer at all, or one that ended early
        return StorageUnavailable(NAME, key, f"the service does not answer: {said}")
    return StorageUnavailable(NAME, key, f"the service answered {status} {name} {said}".strip())


def _line(text: str) -> str:
    return text.strip().partition("\n")[0][:300]


class Repetition(ExponentialRetry):
    """Waits that begin with the configured one and grow threefold, up to ten seconds."""

    def __init__(self, settings: "AzureSettings") -> None:
        count = settings.max_retries
        super().__init__(
            retry_total=count, retry_connect=count, retry_read=count, retry_status=count
        )
        self._first = settings.retry_delay

    def get_backoff_time(self, settings: dict[str, Any]) -> float:
        """Seconds before the repetition that is number ``settings["count"]``."""
        wait: float = min(_LONGEST_WAIT, self._first * 3.0 ** (settings["count"] - 1))
        return wait * random.uniform(0.75, 1.25)  # noqa: S311 (no secret)


class Transport(AioHttpTransport):  # type: ignore[misc]
    """Connections. Large bodies go out piece by piece, which lets others have the event loop in
    between. An answer 429, which the SDK would not repeat, is taken for none."""

    async def send(self, request: Any, **options: Any) -> Any:
        """Send one request, once."""
        content = request.data
        if isinstance(content, bytes):
            request.data = BytesIO(content)
        try:
            reply = await super().send(request, **options)
        finally:
            request.data = content
        if reply.status_code == 429:
            raise ServiceResponseError("429: the service has too many requests")
        if options.get("stream"):
            begin = reply.stream_download
            reply.stream_download = lambda *given, **more: _Download(reply, begin(*given, **more))
        return reply


class _Download:
    """The body of an answer. Whoever gives up reading it gives back the connection, which the SDK
    would hold until the garbage collection finds it."""

    def __init__(self, reply: Any, pieces: AsyncIterator[bytes]) -> None:
        self._reply, self._pieces = reply, pieces

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pieces, name)

    def __aiter__(self) -> "_Download":
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._pieces)
        except (AzureError, asyncio.CancelledError):
            self._reply.internal_response.close()
            raise


def credential(settings: "AzureSettings") -> "str | Mapping[str, str] | AsyncTokenCredential":
    """What the client proves with who it is."""
    if settings.kind == "shared_key":
        return {
            "account_name": settings.accountname,
            "account_key": settings.accountkey.get_secret_value(),
        }
    from azure.identity.aio import ClientSecretCredential, DefaultAzureCredential

    given = settings.credentials
    if settings.kind == "client_secret":
        return ClientSecretCredential(
            given.tenantid, given.clientid, given.secret.get_secret_value()
        )
    return DefaultAzureCredential()


class Signer(Protocol):
    """Grants others the right to read one object."""

    async def query(self, key: str, lifetime: float) -> str | None:
        """What makes the object's URL readable for ``lifetime`` seconds; None when it cannot be."""

    async def source(self, key: str, url: str) -> tuple[str, dict[str, Any]]:
        """The URL and the options with which the service itself may read the object, to copy it."""


class KeySigner:
    """Signs with the account's key, without a request."""

    def __init__(self, settings: "AzureSettings") -> None:
        self._settings = settings

    async def query(self, key: str, lifetime: float) -> str | None:
        """See Signer."""
        settings = self._settings
        return _signed(settings, key, lifetime, account_key=settings.accountkey.get_secret_value())

    async def source(self, key: str, url: str) -> tuple[str, dict[str, Any]]:
        """See Signer."""
        return f"{url}?{await self.query(key, 3600.0)}", {}


class DelegatedSigner:
    """Signs with a key that the service gives to the holder of a token, for two days."""

    def __init__(
        self,
        settings: "AzureSettings",
        service: "BlobServiceClient",
        credential: "AsyncTokenCredential",
    ) -> None:
        self._settings, self._service, self._credential = settings, service, credential
        self._asking = asyncio.Lock()
        self._key: UserDelegationKey | None = None
        self._until = clock.now()
        self._refused_until = clock.now()

    async def query(self, key: str, lifetime: float) -> str | None:
        """See Signer. None when the identity may not have such a key."""
        signing = await self._signing_key(timedelta(seconds=lifetime))
        if signing is None:
            return None
        return _signed(self._settings, key, lifetime, user_delegation_key=signing)

    async def source(self, key: str, url: str) -> tuple[str, dict[str, Any]]:
        """See Signer. The token itself goes with the request, over TLS."""
        token = await self._credential.get_token(_SCOPE)
        return url, {"source_authorization": f"Bearer {token.token}"}

    async def _signing_key(self, lifetime: timedelta) -> UserDelegationKey | None:
        needed = max(lifetime, _RENEW_BEFORE)
        async with self._asking:
            now = clock.now()
            if now < self._refused_until or (self._key and now + needed < self._until):
                return self._key
            until = now + _DELEGATION
            try:
                with translated("user delegation key"):
                    self._key = await self._service.get_user_delegation_key(
                        now - timedelta(minutes=5), until
                    )
            except StorageError:
                self._key, self._refused_until = None, now + _REFUSED_FOR
            else:
                self._until = until
            return self._key


def _signed(settings: "AzureSettings", key: str, lifetime: float, **signing: Any) -> str:
    until: datetime = clock.now() + timedelta(seconds=lifetime)
    return generate_blob_sas(
        settings.accountname,
        settings.container,
        key,
        permission=BlobSasPermissions(read=True),
        expiry=until,
        protocol="https" if settings.endpoint.startswith("https:") else "https,http",
        **signing,
    )
