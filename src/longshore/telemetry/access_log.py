"""The access log: one line for each request, on standard output.

| field | what it says |
|---|---|
| `method`, `path`, `route` | the request, and the name of the endpoint that answered |
| `repository`, `reference` | the repository, and the tag, digest or upload it was about |
| `user` | who was logged in |
| `client`, `host`, `agent` | address (after trusted proxies), Host, User-Agent |
| `status`, `in`, `out`, `ms` | the reply; body bytes received and sent; milliseconds |
| `id` | the request id that error messages name |
| `reason`, `error` | code and message of a refusal, or why the request ended early |

Empty fields are left out.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

from longshore.telemetry.exchange import Exchange
from longshore.telemetry.rendering import Formatter, renderer, shorten
from longshore.telemetry.sinks import Sink

#: Every field of a line, beside time, level and message; the documentation lists the same.
FIELDS: Final = (
    "method", "path", "route", "repository", "reference", "user", "client", "host", "agent",
    "status", "in", "out", "ms", "id", "reason", "error",
)  # fmt: skip

#: A client that left, or was asked to come back later, is no fault of the server.
_NOT_OURS: Final = frozenset({"client disconnected", "UNAVAILABLE"})


class AccessLog:
    """An observer (see :data:`longshore.telemetry.exchange.Observer`): microseconds, no blocking."""

    def __init__(
        self, sink: Sink, *, formatter: Formatter = "text", fields: Mapping[str, Any] | None = None
    ) -> None:
        self._sink = sink
        self._render = renderer(formatter, fields or {})

    def __call__(self, exchange: Exchange) -> None:
        entry: dict[str, Any] = {"method": exchange.method, "path": shorten(exchange.path)}
        if exchange.route:
            entry["route"] = exchange.route
        if exchange.repository:
            entry["repository"] = exchange.repository
        if exchange.reference:
            entry["reference"] = exchange.reference
        if exchange.user:
            entry["user"] = exchange.user
        if exchange.client:
            entry["client"] = exchange.client
        if exchange.host:
            entry["host"] = shorten(exchange.host)
        if exchange.user_agent:
            entry["agent"] = exchange.user_agent
        entry["status"] = exchange.status
        entry["in"] = exchange.received
        entry["out"] = exchange.sent
        entry["ms"] = round(exchange.seconds * 1000, 3)
        entry["id"] = exchange.request_id
        if exchange.reason:
            entry["reason"] = exchange.reason
        if exchange.message:
            entry["error"] = shorten(exchange.message)
        ours = exchange.status >= 500 and exchange.reason not in _NOT_OURS
        level = "error" if ours else "info"
        self._sink.write(self._render(time.time(), level, "request", entry))
