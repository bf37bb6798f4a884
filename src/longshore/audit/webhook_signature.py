"""Signatures of requests: Standard Webhooks 1.0 (standardwebhooks.com), which has libraries for receivers."""

import base64
import binascii
import hmac
from collections.abc import Mapping
from typing import Final

_PREFIX: Final = "whsec_"


def signing_key(secret: str) -> bytes:
    """The key in ``secret``: base64 behind ``whsec_``, or else the text itself. Raises ValueError."""
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("the secret begins with whsec_, but no base64 follows") from error


def signature_headers(key: bytes, id: str, at: int, body: bytes) -> Mapping[str, str]:
    """The headers of a request with ``body``, sent at ``at`` (POSIX seconds); ``id`` is the same when it
    is sent again."""
    mac = hmac.digest(key, f"{id}.{at}.".encode() + body, "sha256")
    return {
        "webhook-id": id,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }
