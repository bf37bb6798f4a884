"""The checks that distribution's ``health`` section offers besides storage: file, http, tcp."""

import asyncio
import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from longshore.telemetry.health import Check


class CheckFailed(Exception):
    """What was looked at is not as it should be."""


def file_absent(path: Path) -> Check:
    """Fails while the file exists: ``touch`` it to take the registry out of service."""

    async def check() -> None:
        if await asyncio.to_thread(path.exists):
            raise CheckFailed(f"file {path} exists")

    return check


def tcp_connects(address: str, timeout: float) -> Check:
    """Fails when nobody accepts a connection at ``HOST:PORT``."""
    host, _, port = address.rpartition(":")

    async def check() -> None:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.close()
        await writer.wait_closed()

    return check


def http_answers(
    uri: str,
    *,
    status: int = 200,
    timeout: float = 5.0,
    headers: Mapping[str, Sequence[str]] | None = None,
) -> Check:
    """Fails unless HEAD of ``uri`` is answered with ``status``. Raises ValueError for another
    scheme than http or https."""
    if urlsplit(uri).scheme not in ("http", "https"):
        raise ValueError(f"health check address {uri!r} must begin with http:// or https://")
    sent = {name: ", ".join(values) for name, values in (headers or {}).items()}

    async def check() -> None:
        found = await asyncio.to_thread(_head, uri, timeout, sent)
        if found != status:
            raise CheckFailed(f"{uri} answered {found}, expected {status}")

    return check


def _head(uri: str, timeout: float, headers: Mapping[str, str]) -> int:
    request = urllib.request.Request(uri, method="HEAD", headers=dict(headers))  # noqa: S310 - http of the configuration
    try:
        with closing(urllib.request.urlopen(request, timeout=timeout)) as reply:  # noqa: S310 - http of the configuration
            status: int = reply.status
            return status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except (OSError, http.client.HTTPException) as error:
        raise CheckFailed(f"{uri}: {error}") from error
