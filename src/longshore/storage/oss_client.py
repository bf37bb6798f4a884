"""The SDK's client of OSS, and what its errors mean."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import alibabacloud_oss_v2 as sdk
import alibabacloud_oss_v2.aio as aio
from alibabacloud_oss_v2.aio.transport import AioHttpClient

from longshore.storage.driver import (
    PathNotFound,
    StorageError,
    StorageNoSpace,
    StorageUnavailable,
)

if TYPE_CHECKING:
    from longshore.storage.oss_settings import OSSSettings

NAME: Final = "oss"
#: What every object is stored as.
BYTES: Final = "application/octet-stream"
#: How often one request is sent at most; the longest wait before the second time, which doubles;
#: silence that is taken for a failure (both in seconds).
_ATTEMPTS, FIRST_WAIT, SILENCE = 4, 0.2, 60.0
_CONNECTIONS: Final = 128
#: Bytes written to a request in one piece.
_PIECE: Final = 1 << 20
_KNOWN: Final = {
    "NoSuchBucket": "the bucket does not exist: create it, or correct storage.oss.bucket",
    "InvalidAccessKeyId": "the access key is not known: correct storage.oss.accesskeyid",
    "SignatureDoesNotMatch": "the secret is not right: correct storage.oss.accesskeysecret",
    "InvalidArgument": "the service does not take the request",
    "AccessDenied": "the access key may not do this, or the bucket is at another endpoint; the "
    "policy needs oss:ListObjects, oss:ListMultipartUploads, oss:GetObject, oss:PutObject, "
    "oss:DeleteObject and oss:AbortMultipartUpload",
    "UserDisable": "the account is disabled, perhaps because a bill is due",
}


@contextmanager
def translated(key: str) -> Iterator[None]:
    """Errors of the service and of the way there become StorageError, with ``key`` as path."""
    try:
        yield
    except sdk.exceptions.OperationError as error:
        raise _meaning(key, error.unwrap()) from error
    except (sdk.exceptions.BaseError, aiohttp.ClientError, TimeoutError, OSError) as error:
        raise _silent(key, error) from error


def _silent(key: str, error: object) -> StorageUnavailable:
    reason = f"the service does not answer: {type(error).__name__}: {error}"
    return StorageUnavailable(NAME, key, reason)


def _meaning(key: str, error: Any) -> StorageError:
    if not isinstance(error, sdk.exceptions.ServiceError):
        return _silent(key, error)
    code = str(error.code)
    # What is told of a HEAD may have no body.
    if code == "NoSuchKey" or (error.status_code == 404 and code == "BadErrorResponse"):
        return PathNotFound(NAME, key, "no such object")
    if error.status_code == 507 or code == "QuotaExceeded":
        return StorageNoSpace(NAME, key, f"the service has no room ({code})")
    said = f"the service answered {error.status_code} {code} {error.message}".strip()
    known = _KNOWN.get(code)
    return StorageUnavailable(NAME, key, f"{known} ({said})" if known else said)


class Body:
    """Bytes that can be sent again, in pieces that do not hold up the event loop."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[memoryview]:
        whole = memoryview(self._content)
        for start in range(0, len(whole), _PIECE):
            yield whole[start : start + _PIECE]


class _Retryer(sdk.retry.StandardRetryer):  # type: ignore[misc]
    """Repeats what the SDK repeats, and what it cannot read: the refusal of a machine on the way to
    the service need not have the service's headers."""

    def is_error_retryable(self, error: Exception) -> bool:
        if isinstance(error, sdk.exceptions.DeserializationError):
            return True
        retryable: bool = super().is_error_retryable(error)
        return retryable


def connections() -> aiohttp.ClientSession:
    """A pool of connections for :func:`connect`, to be closed by the caller."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def connect(settings: "OSSSettings", endpoint: str, session: aiohttp.ClientSession) -> Any:
    """A client of the service at ``endpoint``; empty is the region's own address."""
    at = settings.at(endpoint)
    secret = settings.accesskeysecret.get_secret_value()
    provider = (
        sdk.credentials.StaticCredentialsProvider(settings.accesskeyid, secret)
        if settings.accesskeyid
        else sdk.credentials.EnvironmentVariableCredentialsProvider()
    )
    return aio.AsyncClient(
        sdk.config.Config(
            region=settings.region_id,
            endpoint=at.url or None,
            use_cname=at.is_bucket,
            use_internal_endpoint=settings.internal,
            disable_ssl=not settings.secure,
            credentials_provider=provider,
            retryer=_Retryer(max_attempts=_ATTEMPTS, max_backoff=5.0, base_delay=FIRST_WAIT),
            # The checksum takes seven times as long as the sending; TLS protects the bytes.
            disable_upload_crc64_check=True,
            http_client=AioHttpClient(
                session=session, connect_timeout=10, readwrite_timeout=SILENCE
            ),
        )
    )
