"""Errors become wire form here and nowhere else.

Body: OCI Distribution 1.1, "Error Codes": ``{"errors": [{"code", "message", "detail"}]}``.
"""

from typing import Any

from longshore.http.response import JSONResponse
from longshore.oci.errors import RegistryError, Unauthorized


def error_response(error: RegistryError) -> JSONResponse:
    """The reply that tells a client about ``error``."""
    entry: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.detail is not None:
        entry["detail"] = error.detail
    headers = dict(error.headers)
    if isinstance(error, Unauthorized):
        # Proxies must not keep a challenge for somebody who has credentials.
        headers.setdefault("Cache-Control", "no-store")
    return JSONResponse({"errors": [entry]}, error.status, headers)
