"""What a client is told when something is refused: one class per reason, one table of codes.

    RegistryError
    ├── Unauthorized        401  who are you?
    ├── Denied              403  you may not
    ├── NameInvalid         400    NameUnknown          404
    ├── TagInvalid          400
    ├── DigestInvalid       400    SizeInvalid          400
    ├── ManifestInvalid     400    ManifestUnknown      404
    │   └── ManifestTooLarge 413
    ├── ManifestBlobUnknown 400
    ├── BlobUnknown         404
    ├── BlobUploadUnknown   404    BlobUploadInvalid    404
    ├── RangeInvalid        416    PaginationNumberInvalid 400
    ├── PreconditionFailed  412
    ├── Unsupported         405
    │   └── TokenRequestInvalid 400
    ├── NotFound            404    a path that is no endpoint
    ├── TooManyRequests     429
    ├── Unavailable         503    try again later
    ├── StorageFull         507    no room for these bytes
    └── Unknown             500    our fault; the log knows more

Codes: OCI Distribution 1.1 "Error Codes" and the additional ones of the Docker Registry HTTP API V2.
The wire form (JSON body, headers) is made in one place, :mod:`longshore.http.errors`.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

#: Codes of the OCI distribution specification and of the Docker V2 API, with the status of each.
#: Several statuses: the first is the usual one.
SPECIFIED: Mapping[str, tuple[int, ...]] = {
    "BLOB_UNKNOWN": (404,),
    "BLOB_UPLOAD_INVALID": (404,),
    "BLOB_UPLOAD_UNKNOWN": (404,),
    "DIGEST_INVALID": (400,),
    "MANIFEST_BLOB_UNKNOWN": (400,),
    "MANIFEST_INVALID": (400, 413),
    "MANIFEST_UNKNOWN": (404,),
    "NAME_INVALID": (400,),
    "NAME_UNKNOWN": (404,),
    "SIZE_INVALID": (400,),
    "TAG_INVALID": (400,),
    "UNAUTHORIZED": (401,),
    "DENIED": (403,),
    "UNSUPPORTED": (405, 400),
    "TOOMANYREQUESTS": (429,),
    "RANGE_INVALID": (416,),
    "PAGINATION_NUMBER_INVALID": (400,),
    "UNAVAILABLE": (503,),
    "UNKNOWN": (500,),
    # Longshore's own, where the specifications name no code.
    "NOT_FOUND": (404,),
    "PRECONDITION_FAILED": (412,),
    "STORAGE_FULL": (507,),
    "SECOND_FACTOR_NEEDED": (401,),
    "SECOND_FACTOR_NOT_ENROLLED": (401,),
}


class RegistryError(Exception):
    """Something a client is told about: a code, a status, a sentence, perhaps a detail.

    ``message`` says what was wrong, with which value, and what to do about it. ``detail`` is any
    JSON value. ``headers`` are added to the reply (``WWW-Authenticate``, ``Retry-After``, ``Range``).
    """

    code: ClassVar[str]
    status: ClassVar[int]

    def __init__(
        self,
        message: str,
        *,
        detail: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.headers: Mapping[str, str] = headers or {}


class Unauthorized(RegistryError):
    code, status = "UNAUTHORIZED", 401


class Denied(RegistryError):
    code, status = "DENIED", 403


class NameInvalid(RegistryError):
    code, status = "NAME_INVALID", 400


class NameUnknown(RegistryError):
    code, status = "NAME_UNKNOWN", 404


class TagInvalid(RegistryError):
    code, status = "TAG_INVALID", 400


class DigestInvalid(RegistryError):
    code, status = "DIGEST_INVALID", 400


class SizeInvalid(RegistryError):
    code, status = "SIZE_INVALID", 400


class ManifestInvalid(RegistryError):
    code, status = "MANIFEST_INVALID", 400


class ManifestTooLarge(ManifestInvalid):
    code, status = "MANIFEST_INVALID", 413


class ManifestUnknown(RegistryError):
    code, status = "MANIFEST_UNKNOWN", 404


class ManifestBlobUnknown(RegistryError):
    code, status = "MANIFEST_BLOB_UNKNOWN", 400


class BlobUnknown(RegistryError):
    code, status = "BLOB_UNKNOWN", 404


class BlobUploadUnknown(RegistryError):
    code, status = "BLOB_UPLOAD_UNKNOWN", 404


class BlobUploadInvalid(RegistryError):
    code, status = "BLOB_UPLOAD_INVALID", 404


class RangeInvalid(RegistryError):
    code, status = "RANGE_INVALID", 416


class PaginationNumberInvalid(RegistryError):
    code, status = "PAGINATION_NUMBER_INVALID", 400


class PreconditionFailed(RegistryError):
    code, status = "PRECONDITION_FAILED", 412


class Unsupported(RegistryError):
    code, status = "UNSUPPORTED", 405


class TokenRequestInvalid(Unsupported):
    code, status = "UNSUPPORTED", 400


class NotFound(RegistryError):
    code, status = "NOT_FOUND", 404


class TooManyRequests(RegistryError):
    code, status = "TOOMANYREQUESTS", 429


class Unavailable(RegistryError):
    code, status = "UNAVAILABLE", 503


class StorageFull(RegistryError):
    code, status = "STORAGE_FULL", 507


class Unknown(RegistryError):
    code, status = "UNKNOWN", 500
