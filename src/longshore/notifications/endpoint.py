"""One endpoint: a listener that posts each event and is satisfied by any answer below 400."""

import asyncio
import logging
import socket
import ssl
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import httpx

from longshore.jobs.model import Postponed
from longshore.notifications.envelope import (
    MEDIA_TYPE,
    References,
    Source,
    action_of,
    envelope,
    media_type_of,
)
from longshore.notifications.settings import EndpointSettings
from longshore.outbox.model import Event, Recorded
from longshore.registry.events import ManifestPushed

logger = logging.getLogger(__name__)

#: The longest pause after many failures, and the one while failures are still few. Seconds.
LONGEST: Final = 300.0
SHORTEST: Final = 0.5

FindReferences = Callable[[ManifestPushed], Awaitable[References | None]]


async def no_references(_event: ManifestPushed) -> References | None:
    """Do not tell what a manifest refers to."""
    return None


class Endpoint:
    """``base`` is the registry's URL for clients, empty to use what each client called it;
    ``address`` is where this process listens."""

    batch = 1  # who reads only the first event of an envelope is as well served as by distribution

    def __init__(
        self,
        settings: EndpointSettings,
        *,
        base: str = "",
        prefix: str = "",
        address: str = "",
        references: FindReferences = no_references,
    ) -> None:
        self.name = f"endpoint-{settings.name}"
        self._settings = settings
        self._base, self._prefix = base, prefix
        self._source = Source(f"{socket.gethostname()}{address}", str(uuid.uuid4()))
        self._references = references
        self._client: httpx.AsyncClient | None = None
        self._failures = 0

    def wants(self, event: Event) -> bool:
        action = action_of(event)
        if action is None or action in self._settings.ignore.actions:
            return False
        return media_type_of(event) not in self._settings.ignored_types

    async def deliver(self, events: Sequence[Recorded]) -> None:
        """Raises Postponed when the endpoint does not answer, or refuses."""
        for recorded in events:
            body = await self._body(recorded)
            try:
                await self._post(body)
            except (httpx.HTTPError, TimeoutError) as error:
                self._failures += 1
                raise Postponed(self._pause(), _reason(error)) from error
            self._failures = 0

    async def close(self) -> None:
        """Close what connections there are."""
        if self._client:
            await self._client.aclose()

    async def _body(self, recorded: Recorded) -> bytes:
        origin = recorded.event.origin
        base = self._base or (f"{origin.scheme}://{origin.host}" if origin.host else "")
        references = None
        if isinstance(recorded.event, ManifestPushed):
            references = await self._references(recorded.event)
        return envelope(recorded, self._source, f"{base}{self._prefix}", references)

    async def _post(self, body: bytes) -> None:
        if self._client is None:
            # Reading the authorities that the system trusts takes milliseconds.
            context = await asyncio.to_thread(ssl.create_default_context)
            self._client = httpx.AsyncClient(verify=context, timeout=self._settings.timeout)
        headers = [
            *(
                (name, value.get_secret_value())
                for name, values in self._settings.headers.items()
                for value in values
            ),
            ("Content-Type", MEDIA_TYPE),
        ]
        url = self._settings.url.get_secret_value()
        async with asyncio.timeout(self._settings.timeout):
            async with self._client.stream("POST", url, content=body, headers=headers) as answer:
                if answer.status_code >= httpx.codes.BAD_REQUEST:
                    answer.raise_for_status()

    def _pause(self) -> float:
        """Seconds until the next attempt, after the failures that there were in a row."""
        over = self._failures - self._settings.threshold
        if over < 0:
            return SHORTEST
        return min(
            max(LONGEST, self._settings.backoff), self._settings.backoff * 2.0 ** min(over, 32)
        )


def _reason(error: Exception) -> str:
    """What went wrong, without the URL: it may hold a password."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"the endpoint answered {error.response.status_code}"
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return "the endpoint did not answer in time"
    if isinstance(error, httpx.LocalProtocolError):
        # What the library says quotes the header: it may hold a secret.
        return "a header cannot be sent: look for spaces or a line end at its end"
    return f"the endpoint cannot be reached: {type(error).__name__} {error}".strip()
