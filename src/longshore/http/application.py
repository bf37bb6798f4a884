"""The ASGI application: finds the route, runs it, turns refusals into replies, reports the exchange."""

import logging
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Final

from longshore.http.errors import error_response
from longshore.http.forwarded import TrustedProxies
from longshore.http.request import Request
from longshore.http.response import RawHeaders, Response, encode_headers
from longshore.http.routing import Route, Router
from longshore.oci.errors import RegistryError, Unknown, Unsupported
from longshore.telemetry.exchange import Exchange, Observer

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

logger = logging.getLogger(__name__)

#: What a reply did not need of the request's body is read all the same, up to so many bytes and
#: seconds, so that the connection can be used again. Beyond that the reply says that it is closed:
#: otherwise the client's next request would be lost.
_SKIPPED: Final = 256 << 10
_PATIENCE: Final = 1.0

Explain = Callable[[Exception], RegistryError | None]
Writable = Callable[[Exchange, str], Awaitable[None]]
Guard = Callable[[str], None]


class Application:
    """One per worker process. ``lifespan`` brings up and tears down what the routes use."""

    def __init__(
        self,
        routes: Sequence[Route],
        lifespan: AbstractAsyncContextManager[None],
        *,
        observers: Sequence[Observer] = (),
        proxies: TrustedProxies | None = None,
        headers: Mapping[str, str] | None = None,
        prefix: str = "",
        read_only: bool = False,
        body_timeout: float = 60.0,
        explain: Explain = lambda _error: None,
        guard: Guard = lambda _route: None,
        writable: Writable | None = None,
    ) -> None:
        """``headers`` go on every reply. ``prefix`` is a path below which everything lies.
        ``body_timeout`` is how many seconds a request body may pause. ``explain`` says how an
        error of a lower layer is told to a client. ``guard`` gets the name of the route, and may
        refuse before it is called; ``writable`` gets each request that would change something, and its
        path, and may refuse it."""
        self.router = Router(routes)
        self.lifespan = lifespan
        self.observers = tuple(observers)
        self.proxies = proxies or TrustedProxies(())
        self.headers: RawHeaders = encode_headers(headers or {})
        self._last_headers = [*self.headers, (b"connection", b"close")]
        self.prefix = prefix.rstrip("/")
        self.read_only = read_only
        self.body_timeout = body_timeout
        self.explain = explain
        self.guard = guard
        self.writable = writable
        self._open: dict[str, Exchange] = {}

    def in_flight(self) -> Mapping[str, int]:
        """How many requests each route is answering at this moment."""
        return Counter(exchange.route for exchange in self._open.values())

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] == "lifespan":
            await self._run_lifespan(receive, send)
        elif scope["type"] == "http":
            await self._exchange(scope, receive, send)

    async def _exchange(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        began = time.perf_counter()
        exchange = Exchange(secrets.token_hex(8), scope["method"], scope["path"])
        self.proxies.apply(scope, exchange)
        request = Request(scope, receive, exchange, self.body_timeout)
        self._open[exchange.request_id] = exchange
        try:
            response = await self._respond(request)
            exchange.status = response.status
            whole = await request.skip(_SKIPPED, _PATIENCE)
            await response.send(request, send, self.headers if whole else self._last_headers)
        finally:
            del self._open[exchange.request_id]
            exchange.seconds = time.perf_counter() - began
            for observe in self.observers:
                observe(exchange)

    async def _respond(self, request: Request) -> Response:
        exchange = request.exchange
        try:
            path = exchange.path
            if self.prefix and path.startswith(self.prefix + "/"):
                path = path[len(self.prefix) :]
            match = self.router.match(exchange.method, path)
            exchange.route = match.route.name
            self.guard(exchange.route)
            if exchange.method in match.route.writes:
                self._check_writable()
                if self.writable is not None:
                    await self.writable(exchange, path)
            return await match(request)
        except RegistryError as error:
            return self._refuse(exchange, error)
        except Exception as error:
            # The last line of defence: a fault of ours must become a reply, and the stack trace
            # belongs in the log only.
            logger.exception("request %s failed", exchange.request_id)
            return self._refuse(exchange, self.explain(error) or _unexplained(exchange))

    @staticmethod
    def _refuse(exchange: Exchange, error: RegistryError) -> Response:
        # Why a request ended early says more than the refusal that nobody will read.
        exchange.reason, exchange.message = exchange.reason or error.code, error.message
        return error_response(error)

    def _check_writable(self) -> None:
        if self.read_only:
            raise Unsupported(
                "the registry is in read-only mode "
                "(storage.maintenance.readonly.enabled): pulls work, changes wait"
            )

    async def _run_lifespan(self, receive: "Receive", send: "Send") -> None:
        await receive()
        try:
            await self.lifespan.__aenter__()
        except Exception as error:
            # The person who starts the server gets one sentence; the stack trace is for debuggers.
            logger.debug("the worker did not start", exc_info=True)
            message = " ".join(str(error).split()) or type(error).__name__
            await send({"type": "lifespan.startup.failed", "message": message})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.lifespan.__aexit__(None, None, None)
        await send({"type": "lifespan.shutdown.complete"})


def _unexplained(exchange: Exchange) -> Unknown:
    return Unknown(
        "the registry failed to answer; its log has the details under request id "
        f"{exchange.request_id}"
    )
