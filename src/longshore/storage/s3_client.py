"""The SDK's client of an S3 service, and what its errors mean."""

import random
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aiobotocore.session
from aiobotocore.config import AioConfig
from aiohttp import ClientError as TransportError
from botocore.exceptions import BotoCoreError, ClientError

from longshore.storage.driver import (
    PathNotFound,
    StorageError,
    StorageNoSpace,
    StorageUnavailable,
)
from longshore.storage.s3_settings import ATTEMPTS

if TYPE_CHECKING:
    from longshore.storage.s3_settings import S3Settings

NAME: Final = "s3"
#: Longest wait after the first answer 429 (seconds); it doubles.
FIRST_WAIT: Final = 1.0
_MISSING: Final = frozenset({"404", "NoSuchKey", "NotFound"})
_FULL: Final = frozenset({"QuotaExceeded", "507", "InsufficientStorage", "XMinioStorageFull"})
_BUCKET: Final = {
    "NoSuchBucket": "the bucket does not exist: create it, or correct storage.s3.bucket",
    "AllAccessDisabled": "all access to the bucket is disabled",
}
_DENIED: Final = {
    "403": "the credentials may not use the bucket",
    "AccessDenied": "the credentials may not do this: the policy needs s3:ListBucket, "
    "s3:ListBucketMultipartUploads, s3:GetObject, s3:PutObject, s3:DeleteObject, "
    "s3:ListMultipartUploadParts and s3:AbortMultipartUpload",
    "InvalidAccessKeyId": "the access key is not known: correct storage.s3.accesskey",
    "SignatureDoesNotMatch": "the secret key is not right: correct storage.s3.secretkey",
}


@contextmanager
def translated(key: str) -> Iterator[None]:
    """Errors of the service and of the way there become StorageError, with ``key`` as path."""
    try:
        yield
    except ClientError as error:
        raise _meaning(key, error) from error
    except (BotoCoreError, TransportError, TimeoutError, OSError) as error:
        reason = f"the service does not answer: {type(error).__name__}: {error}"
        raise StorageUnavailable(NAME, key, reason) from error


def _meaning(key: str, error: ClientError) -> StorageError:
    told: Mapping[str, Any] = error.response.get("Error", {})
    code = str(told.get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in _MISSING:
        return PathNotFound(NAME, key, "no such object")
    if code in _FULL or status == 507:
        return StorageNoSpace(NAME, key, f"the service has no room ({code})")
    known = _BUCKET.get(code) or _DENIED.get(code)
    said = str(told.get("Message", "")).strip()
    return StorageUnavailable(NAME, key, known or f"the service answered {code} {said}".strip())


def code(error: ClientError) -> str:
    """What the service calls its refusal."""
    return str(error.response.get("Error", {}).get("Code", ""))


def no_such_bucket(error: ClientError, bucket: str) -> StorageError | None:
    """What a missing answer means for a request that names no object."""
    if code(error) not in _MISSING:
        return None
    return StorageUnavailable(NAME, bucket, f"bucket {bucket!r}: {_BUCKET['NoSuchBucket']}")


def connect(settings: "S3Settings", endpoint: str | None) -> AbstractAsyncContextManager[Any]:
    """A client of the service at ``endpoint``; None is Amazon's own."""
    client: AbstractAsyncContextManager[Any] = aiobotocore.session.AioSession().create_client(
        "s3",
        region_name=settings.region or None,
        endpoint_url=endpoint,
        verify=not settings.skipverify,
        aws_access_key_id=settings.accesskey.get_secret_value() or None,
        aws_secret_access_key=settings.secretkey.get_secret_value() or None,
        aws_session_token=settings.sessiontoken.get_secret_value() or None,
        config=AioConfig(**settings.client_options),
    )
    return client


def again_after_429(response: tuple[Any, Any] | None, attempts: int, **_: object) -> float | None:
    """Seconds to wait before the request is repeated, or None: what the SDK does for 503, but not
    for this status, with which some services say the same."""
    if response is None or response[0].status_code != 429 or attempts >= ATTEMPTS:
        return None
    return FIRST_WAIT * random.uniform(0.5, 1.0) * 2.0 ** (attempts - 1)  # noqa: S311 (no secret)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket and the client that reaches it.

    ``client`` is Any: its methods are made from the service's description when it starts.
    """

    client: Any
    name: str
    settings: "S3Settings"

    def object(self, key: str) -> Mapping[str, str]:
        """Which object a request is about."""
        return {"Bucket": self.name, "Key": key}

    def new_object(self, key: str) -> Mapping[str, str]:
        """The same, for a request that makes it."""
        return {**self.object(key), **self.settings.object_options}
