"""Health: watched and required checks, the switch, and what each endpoint answers."""

import asyncio
import contextlib
import http.server
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import httpx
import pytest

from longshore.http.application import Application
from longshore.http.health import debug_routes, guard, health_routes
from longshore.http.request import Request
from longshore.http.response import Response
from longshore.http.routing import Route
from longshore.telemetry import checks
from longshore.telemetry.health import MANUAL, Health
from tests.services.processes import free_port

pytestmark = pytest.mark.anyio


class Patient:
    """A check that is well or not, as the test says."""

    def __init__(self) -> None:
        self.pain = ""
        self.asked = 0

    async def __call__(self) -> None:
        self.asked += 1
        if self.pain:
            raise RuntimeError(self.pain)


@contextlib.asynccontextmanager
async def running(health: Health) -> AsyncIterator[None]:
    task = asyncio.create_task(health.run())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def until(condition: object) -> None:
    assert callable(condition)
    with anyio.fail_after(5):
        while not condition():  # noqa: ASYNC110 (nothing announces it)
            await anyio.sleep(0.01)


async def test_a_watched_check_fails_after_its_threshold_and_recovers():
    health, patient = Health(), Patient()
    health.watch("storage", patient, interval=0.01, threshold=3)
    patient.pain = "disk on fire"
    async with running(health):
        await until(lambda: patient.asked == 2)
        assert not health.failing
        await until(lambda: health.failing)
        assert health.failing == {"storage": "disk on fire"}
        patient.pain = ""
        await until(lambda: not health.failing)


async def test_a_check_that_hangs_fails():
    health = Health()
    health.watch("slow", lambda: anyio.sleep(60), timeout=0.02)
    async with running(health):
        await until(lambda: health.failing)

    assert health.failing == {"slow": "no answer within 0.02 seconds"}


async def test_readiness_asks_required_checks_and_remembers_for_a_moment():
    health, database = Health(), Patient()
    health.require("database", database)
    assert await health.readiness() == {"start": "the server is starting"}
    health.started = True

    answers = await asyncio.gather(*(health.readiness() for _ in range(20)))

    assert answers == [{}] * 20
    assert database.asked == 1


async def test_a_server_that_drains_is_not_ready():
    health = Health()
    health.started = health.draining = True

    assert "drain" in await health.readiness()


async def test_the_switch_reaches_every_worker_that_shares_it(tmp_path: Path):
    here, there = Health(tmp_path / "down"), Health(tmp_path / "down")
    async with running(there):
        await here.switch(down=True)
        await until(lambda: MANUAL in there.failing)
        assert MANUAL in here.failing
        await here.switch(down=False)
        await until(lambda: not there.failing)
        assert not here.failing


async def get(health: Health, path: str, method: str = "GET") -> httpx.Response:
    """Ask an application with the health routes, the debug routes and one of the registry's."""

    async def base(request: Request) -> Response:
        return Response(200)

    application = Application(
        [
            *debug_routes(health, None),
            Route("base", "/v2/", {"GET": base}, "end-1"),
        ],
        contextlib.nullcontext(),
        guard=lambda route: guard(health, route) if path.startswith("/v2") else None,
    )
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.request(method, path)


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/healthz", "/startupz", "/v2/"])
async def test_all_is_well(path: str):
    health = Health()
    health.started = True

    assert (await get(health, path)).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/livez", 200),
        ("/readyz", 503),
        ("/healthz", 503),
        ("/startupz", 200),
        ("/v2/", 503),
        ("/debug/health", 503),
    ],
)
async def test_a_failing_check_closes_the_api_but_not_the_process(path: str, status: int):
    health = Health()
    health.started = True
    await health.switch(down=True)

    reply = await get(health, path)

    assert reply.status_code == status
    if path == "/v2/":
        error = reply.json()["errors"][0]
        assert error["code"] == "UNAVAILABLE"
        assert error["detail"] == "health check failed: please see /debug/health"
    if path == "/debug/health":
        assert list(reply.json()) == [MANUAL]
    if path == "/readyz":
        assert reply.json() == {"status": "unavailable", "failing": [MANUAL]}


async def test_before_the_start_nothing_is_ready():
    health = Health()

    assert (await get(health, "/startupz")).status_code == 503
    assert (await get(health, "/readyz")).status_code == 503
    assert (await get(health, "/livez")).status_code == 200


async def test_the_switch_is_turned_over_http():
    health = Health()
    health.started = True

    assert (await get(health, "/debug/health/down", "POST")).status_code == 200
    assert (await get(health, "/debug/health")).status_code == 503
    assert (await get(health, "/debug/health/up", "POST")).status_code == 200
    assert (await get(health, "/debug/health")).json() == {}


def test_the_main_address_offers_no_switch():
    assert not any("debug" in route.pattern for route in health_routes(Health()))


async def test_a_file_that_exists_fails_the_file_check(tmp_path: Path):
    check = checks.file_absent(tmp_path / "maintenance")
    await check()
    (tmp_path / "maintenance").touch()

    with pytest.raises(checks.CheckFailed, match="maintenance exists"):
        await check()


class _Teapot(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(418 if self.headers["X-Tea"] else 200)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def upstream() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Teapot)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


async def test_the_http_check_wants_one_status(upstream: int):
    uri = f"http://127.0.0.1:{upstream}/"
    await checks.http_answers(uri)()
    await checks.http_answers(uri, status=418, headers={"X-Tea": ["green"]})()

    with pytest.raises(checks.CheckFailed, match="answered 200, expected 204"):
        await checks.http_answers(uri, status=204)()
    with pytest.raises(checks.CheckFailed, match="refused"):
        await checks.http_answers(f"http://127.0.0.1:{free_port()}/")()
    with pytest.raises(ValueError, match="http:// or https://"):
        checks.http_answers("file:///etc/passwd")


async def test_the_tcp_check_wants_a_connection(upstream: int):
    await checks.tcp_connects(f"127.0.0.1:{upstream}", 1)()

    with pytest.raises(OSError, match=r"127\.0\.0\.1"):
        await checks.tcp_connects(f"127.0.0.1:{free_port()}", 1)()
