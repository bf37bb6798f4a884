"""Up to a hundred deletions in one request.

https://cloud.google.com/storage/docs/batch
"""

import re
from collections.abc import Sequence
from email.parser import BytesParser
from email.policy import HTTP
from typing import Final

from longshore.storage.gcs_requests import Service

#: Deletions in one request at most.
LIMIT: Final = 100
_PATH: Final = "/batch/storage/v1"
_BOUNDARY: Final = "one-of-many"
_NUMBER: Final = re.compile(r"response-(\d+)")
_STATUS: Final = re.compile(rb"\s*HTTP/[\d.]+ (\d{3})")
_GONE: Final = frozenset({200, 204, 404})


async def delete_batch(service: Service, keys: Sequence[str]) -> list[str]:
    """Remove objects, at most LIMIT; those that may still be there, because the service was
    busy, say: they are to be tried alone. Raises StorageUnavailable if the request as a whole fails."""
    parts = [
        f"--{_BOUNDARY}\r\nContent-Type: application/http\r\nContent-ID: <{number}>\r\n\r\n"
        f"DELETE {service.object_path(key)} HTTP/1.1\r\n\r\n\r\n"
        for number, key in enumerate(keys)
    ]
    reply = await service.call(
        keys[0],
        "POST",
        service.url(_PATH),
        body=f"{''.join(parts)}--{_BOUNDARY}--\r\n".encode(),
        headers={"Content-Type": f"multipart/mixed; boundary={_BOUNDARY}"},
        wanted=frozenset({200}),
    )
    removed = _removed(reply.headers.get("Content-Type", ""), reply.body)
    return [key for number, key in enumerate(keys) if number not in removed]


def _removed(media_type: str, body: bytes) -> set[int]:
    """The numbers of the deletions after which nothing is there."""
    answer = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: " + media_type.encode() + b"\r\n\r\n" + body
    )
    removed: set[int] = set()
    for part in answer.walk():
        number = _NUMBER.search(str(part.get("Content-ID", "")))
        content = part.get_payload(decode=True)
        if number is None or not isinstance(content, bytes):
            continue
        status = _STATUS.match(content)
        if status is not None and int(status[1]) in _GONE:
            removed.add(int(number[1]))
    return removed
