"""Health over HTTP: for load balancers and orchestrators on the main address, and distribution's
debug address with metrics and the switch."""

import contextlib
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from longshore.http.application import Application
from longshore.http.request import Request
from longshore.http.response import JSONResponse, Response
from longshore.http.routing import Route
from longshore.oci.errors import Unavailable
from longshore.telemetry.health import Health

#: Names of routes that answer whatever the state of the registry.
ROUTES: Final = frozenset({"root", "live", "ready", "started", "health"})
#: The text format of Prometheus.
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_UNCACHED: Final = {"Cache-Control": "no-store"}
_WRITES: Final[frozenset[str]] = frozenset()


def health_routes(health: Health) -> list[Route]:
    """``/``, ``/livez``, ``/readyz``, ``/healthz`` and ``/startupz`` of the main address. They say
    which checks fail, not why: that is for the log and the debug address."""

    async def root(request: Request) -> Response:
        """Nothing, with 200: for load balancers."""
        return Response(200, _UNCACHED)

    async def live(request: Request) -> Response:
        """This process answers."""
        return JSONResponse({"status": "ok"}, 200, _UNCACHED)

    async def started(request: Request) -> Response:
        """The start is over, or 503."""
        return _status([] if health.started else ["start"])

    async def ready(request: Request) -> Response:
        """Requests may be sent here, or 503 and which checks fail."""
        return _status(sorted(await health.readiness()), sorted(health.warnings))

    return [
        Route("root", "/", {"GET": root}, "200 for load balancers (distribution)", _WRITES),
        Route("live", "/livez", {"GET": live}, "the process answers; touches nothing", _WRITES),
        Route("ready", "/readyz", {"GET": ready}, "requests may be sent here", _WRITES),
        Route("health", "/healthz", {"GET": ready}, "the same as /readyz", _WRITES),
        Route("started", "/startupz", {"GET": started}, "the start is over", _WRITES),
    ]


def _status(failing: list[str], warnings: Sequence[str] = ()) -> Response:
    more = {"warnings": list(warnings)} if warnings else {}
    if failing:
        return JSONResponse({"status": "unavailable", "failing": failing, **more}, 503, _UNCACHED)
    return JSONResponse({"status": "ok", **more}, 200, _UNCACHED)


def guard(health: Health, route: str) -> None:
    """Raises Unavailable (503) while a watched check fails, for every route but these."""
    if health.failing and route not in ROUTES:
        names = ", ".join(sorted(health.failing))
        raise Unavailable(
            f"the registry is out of service: health check {names} fails; try again later",
            detail="health check failed: please see /debug/health",
            headers={"Retry-After": "10"},
        )


def debug_routes(
    health: Health, exposition: Callable[[], Awaitable[bytes]] | None, path: str = "/metrics"
) -> list[Route]:
    """The debug address: ``/debug/health`` with its switch, and metrics where they are enabled."""

    async def show(request: Request) -> Response:
        """Which checks fail and why; 503 if any. Warnings are shown, too, and change nothing."""
        failing = dict(health.failing)
        if health.draining:
            failing["drain"] = "the server is stopping"
        warnings = {name: f"warning: {reason}" for name, reason in health.warnings.items()}
        return JSONResponse({**warnings, **failing}, 503 if failing else 200, _UNCACHED)

    async def down(request: Request) -> Response:
        """Take this server out of service."""
        await health.switch(down=True)
        return Response(200, _UNCACHED)

    async def up(request: Request) -> Response:
        """Take this server back into service."""
        await health.switch(down=False)
        return Response(200, _UNCACHED)

    async def metrics(request: Request) -> Response:
        """The numbers of all workers, in the text format."""
        text = await exposition() if exposition else b""
        return Response(200, {"Content-Type": METRICS_TYPE, **_UNCACHED}, text)

    routes = [
        Route("debug_health", "/debug/health", {"GET": show}, "distribution: debug.addr", _WRITES),
        Route("debug_down", "/debug/health/down", {"POST": down}, "distribution", _WRITES),
        Route("debug_up", "/debug/health/up", {"POST": up}, "distribution", _WRITES),
        *health_routes(health),
    ]
    if exposition:
        routes.append(Route("metrics", re.escape(path), {"GET": metrics}, "Prometheus", _WRITES))
    return routes


def debug_application(
    health: Health,
    exposition: Callable[[], Awaitable[bytes]] | None,
    path: str = "/metrics",
    lifespan: contextlib.AbstractAsyncContextManager[None] | None = None,
) -> Application:
    """What answers on the debug address. Nothing of it is logged or counted."""
    return Application(debug_routes(health, exposition, path), lifespan or contextlib.nullcontext())
