"""Rows posted as JSON, signed (:mod:`longshore.audit.webhook_signature`).

The address comes from the configuration only. A redirect is a failure and not followed, nothing of an answer is
read but its status, and messages show neither the path nor the query: they may hold a secret.
"""

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx

from longshore.audit.model import Row
from longshore.audit.webhook_signature import signature_headers
from longshore.telemetry import clock

_TYPE: Final = "audit.rows"


class Webhook:
    """A receiver. ``timeout`` is seconds for a whole batch; ``key`` signs."""

    def __init__(
        self,
        url: str,
        key: bytes,
        headers: Mapping[str, str],
        timeout: float,
        *,
        authority: Path | None = None,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self._url, self._key, self._headers, self._timeout = url, key, headers, timeout
        self._authority, self._certificate = authority, certificate
        self._client: httpx.AsyncClient | None = None

    async def send(self, rows: Sequence[Row]) -> None:
        """Returns when the answer is 2xx. Raises OSError."""
        now = clock.timestamp()
        document = {
            "type": _TYPE,
            "timestamp": datetime.fromtimestamp(now, UTC).isoformat().replace("+00:00", "Z"),
            "data": {"rows": [row.to_json() for row in rows]},
        }
        body = json.dumps(document, ensure_ascii=False).encode()
        id = f"audit-{rows[0].id}-{rows[-1].id}"
        headers = {
            **self._headers,
            "Content-Type": "application/json",
            **signature_headers(self._key, id, int(now), body),
        }
        try:
            async with asyncio.timeout(self._timeout):
                client = await self._open()
                async with client.stream("POST", self._url, content=body, headers=headers) as reply:
                    if not reply.is_success:
                        raise ConnectionError(f"it answered {reply.status_code}")
        except (httpx.LocalProtocolError, UnicodeEncodeError):
            # What the library says quotes the header: it may hold a secret.
            raise ConnectionError(
                "one of its headers cannot be sent: look for spaces or a line end at its end, or what is not ASCII"
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ConnectionError(
                f"it cannot be reached: {type(error).__name__} {error}"
            ) from error

    async def close(self) -> None:
        """Close what connections there are."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            # Reading the authorities that the system trusts takes milliseconds.
            context = await asyncio.to_thread(self._context)
            self._client = httpx.AsyncClient(
                verify=context, timeout=self._timeout, follow_redirects=False
            )
        return self._client

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._authority)
        if self._certificate is not None:
            context.load_cert_chain(*self._certificate)
        return context
