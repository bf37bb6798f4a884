"""Another ASGI application below a path of ours: it answers, and the rest (what proxies say, logs,
metrics, limits, errors) stays in one place."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio.to_thread

from longshore.http.request import Request
from longshore.http.response import RawHeaders, Response
from longshore.http.routing import Route
from longshore.oci.errors import RegistryError, Unavailable

if TYPE_CHECKING:
    from starlette.types import ASGIApp as ASGIApp
    from starlette.types import Send

logger = logging.getLogger(__name__)

#: Where the application finds our request in its scope.
SCOPE_KEY: Final = "longshore.request"
#: Messages of a reply that wait for a slow client.
_WAITING: Final = 4
#: How long a request waits for the application to be built, in seconds.
_PATIENCE: Final = 60.0
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

Refuse = Callable[[int], RegistryError]


class Mounted:
    """The application, built in a thread when the process starts: what it imports takes a good part of
    a second, which the first pull must not wait for."""

    def __init__(self, build: "Callable[[], ASGIApp]", *, largest: int, too_large: Refuse) -> None:
        """Bodies of more than ``largest`` bytes are refused with ``too_large(largest)``."""
        self._build = build
        self._largest = largest
        self._too_large = too_large
        self._application: asyncio.Task[ASGIApp] | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Build it, in the background."""
        self._application = asyncio.create_task(anyio.to_thread.run_sync(self._build))
        try:
            yield
        finally:
            self._application.cancel()

    def route(self, name: str, pattern: str, specification: str) -> Route:
        """All methods of all paths that match ``pattern`` are its own."""
        return Route(name, pattern, dict.fromkeys(_METHODS, self._answer), specification)

    async def _answer(self, request: Request) -> Response:
        if self._application is None:
            raise Unavailable("the registry is just starting; try again in a few seconds")
        application = await asyncio.wait_for(asyncio.shield(self._application), _PATIENCE)
        body = await request.read(self._largest)
        if body is None:
            raise self._too_large(self._largest)
        return await _Reply.begin(application, request, body)


class _Reply(Response):
    """What the application says, handed on as it comes."""

    def __init__(
        self,
        status: int,
        raw: RawHeaders,
        messages: "asyncio.Queue[Any]",
        task: "asyncio.Task[None]",
    ) -> None:
        super().__init__(status, raw=raw)
        self._messages = messages
        self._task = task

    @classmethod
    async def begin(cls, application: "ASGIApp", request: Request, body: bytes) -> "_Reply":
        """Call the application, and wait for the head of its reply. Raises what it raises before."""
        messages: asyncio.Queue[Any] = asyncio.Queue(_WAITING)
        receive = _receiver(request, body)
        scope = {**request.scope, SCOPE_KEY: request}
        task = asyncio.create_task(_run(application(scope, receive, messages.put), messages))
        try:
            head = await messages.get()
        except asyncio.CancelledError:
            task.cancel()
            raise
        route = scope.get("route")
        request.exchange.route = getattr(route, "name", None) or request.exchange.route
        if head is None:
            await task  # raises
            raise RuntimeError("the application ended without a reply")
        return cls(head["status"], list(head.get("headers", ())), messages, task)

    async def send(self, request: Request, send: "Send", extra: RawHeaders) -> None:
        """See :class:`Response`."""
        mine = {name.lower() for name, _ in self.raw}
        headers = self.raw + [header for header in extra if header[0] not in mine]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        try:
            while (message := await self._messages.get()) is not None:
                if request.method == "HEAD":
                    message = {**message, "body": b""}
                request.exchange.sent += len(message.get("body", b""))
                await send(message)
            await self._task
        finally:
            self._task.cancel()


async def _run(call: Awaitable[None], messages: "asyncio.Queue[Any]") -> None:
    try:
        await call
    finally:
        await messages.put(None)


def _receiver(request: Request, body: bytes) -> Callable[[], Awaitable[Any]]:
    """The body in one message; after it, whatever the client does."""
    first = {"type": "http.request", "body": body, "more_body": False}

    async def receive() -> Any:
        nonlocal first
        if first:
            message, first = first, {}
            return message
        return await request.receive()

    return receive
