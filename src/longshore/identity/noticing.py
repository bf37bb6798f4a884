"""What requests show without changing anything: who logs in with them, and who was refused a change.

A login comes with nearly every request (clients send name and password again and again), and a client that was
refused tries again, so neither is told each time: once for the same user, address and thing in a while. All of it
is kept in memory until it is told (:class:`longshore.outbox.deferred.DeferredOutbox`), so that no request waits.
"""

import time
from collections.abc import Callable
from typing import Final

from cachetools import TTLCache

from longshore.identity.changes import ManagementChange
from longshore.oci.names import namespace_of
from longshore.outbox.deferred import DeferredOutbox
from longshore.outbox.model import Origin
from longshore.telemetry import clock
from longshore.telemetry.exchange import Exchange

#: Seconds for which a refusal is not told again.
REFUSED: Final = 60.0
_TABLE: Final = 16384
_FORBIDDEN: Final = 403
#: Routes of the registry that change something, and what they are about.
_CHANGING: Final = {
    "manifest": "artifact",
    "blob": "repository",
    "blob_upload": "repository",
    "blob_upload_chunk": "repository",
}
_OPERATIONS: Final = {
    "POST": "create",
    "PUT": "create",
    "PATCH": "create",
    "DELETE": "delete",
}

LoggedIn = Callable[[str, str, Exchange], None]
"""Told the name of who logged in, the way, and with which request."""


def unnoticed(_user: str, _way: str, _exchange: Exchange) -> None:
    """Nobody wants to know of logins."""


class LoginNotices:
    """Tells of a login once in ``seconds`` for the same user, address and way. One per process."""

    def __init__(
        self,
        deferred: DeferredOutbox,
        seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deferred = deferred
        self._told: TTLCache[tuple[str, str, str], bool] = TTLCache(
            _TABLE, seconds, timer=monotonic
        )

    def __call__(self, user: str, way: str, exchange: Exchange) -> None:
        """``user`` logged in with the request of ``exchange``, by ``way``: see :data:`LoggedIn`."""
        key = (user, exchange.client, way)
        if key not in self._told:
            self._told[key] = True
            self._deferred.tell(
                ManagementChange(
                    at=clock.timestamp(),
                    origin=_origin(user, exchange),
                    operation="login",
                    resource_type="user",
                    resource=user,
                    description=way,
                )
            )


class RefusalNotices:
    """Tells of pushes and deletes that somebody who logged in was refused (403), once a minute for the same
    thing. An observer of exchanges; one per process."""

    def __init__(
        self, deferred: DeferredOutbox, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._deferred = deferred
        self._told: TTLCache[tuple[str, ...], bool] = TTLCache(_TABLE, REFUSED, timer=monotonic)

    def __call__(self, exchange: Exchange) -> None:
        if exchange.status != _FORBIDDEN or not exchange.user:
            return
        kind = _CHANGING.get(exchange.route)
        operation = _OPERATIONS.get(exchange.method)
        if kind is None or operation is None:
            return
        name = exchange.repository
        resource = name
        if kind == "artifact":
            resource += f"{'@' if ':' in exchange.reference else ':'}{exchange.reference}"
        key = (exchange.user, exchange.client, operation, kind, resource[:512])
        if key in self._told:
            return
        self._told[key] = True
        self._deferred.tell(
            ManagementChange(
                at=clock.timestamp(),
                origin=_origin(exchange.user, exchange),
                operation=operation,
                resource_type=kind,
                resource=resource,
                project=namespace_of(name),
                description=exchange.message,
                successful=False,
            )
        )


def _origin(user: str, exchange: Exchange) -> Origin:
    return Origin(
        user,
        address=exchange.client,
        host=exchange.host,
        method=exchange.method,
        user_agent=exchange.user_agent,
        request_id=exchange.request_id,
    )
