"""What a process answers requests with, and one that only works on jobs."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Final

from longshore.access.model import AccessController
from longshore.access.settings import AuthSettings
from longshore.adoption.upstream import OnDemand
from longshore.app import data_plane, people
from longshore.app.installation import Installation
from longshore.app.process import Process
from longshore.db.database import Database
from longshore.http.application import Application, Writable
from longshore.http.forwarded import TrustedProxies
from longshore.http.health import debug_application, guard, health_routes
from longshore.http.routing import Route
from longshore.http.server import Service
from longshore.http.settings import HTTPSettings, ServerSettings
from longshore.identity.sessions import Sessions
from longshore.identity.settings import LoginSettings
from longshore.jobs.settings import JobsSettings
from longshore.outbox.deferred import DeferredOutbox
from longshore.outbox.recording import Outbox
from longshore.registry.faults import explain_storage
from longshore.registry.install import install
from longshore.registry.policy import PushGate
from longshore.registry.routes_manifests import uncounted as pulls_uncounted
from longshore.telemetry.exchange import Observer
from longshore.telemetry.install import Telemetry

#: On every reply, unless the configuration says otherwise.
HEADERS: Final[Mapping[str, str]] = {
    "Docker-Distribution-API-Version": "registry/2.0",
    "X-Content-Type-Options": "nosniff",
}
#: Asked in this order at every manifest push.
GATES: Final[tuple[PushGate, ...]] = ()


def service(installation: Installation, slot: int) -> Service:
    """What one process of the server runs. ``slot`` is its number."""
    configuration = installation.configuration
    process = Process.of(installation, slot)
    telemetry, database = process.telemetry, process.database
    adoption = OnDemand(database, process.backends.default.driver)
    outbox = Outbox(() if installation.read_only else process.listeners)
    system = people.system(installation, database)
    sessions = Sessions(
        database, configuration[LoginSettings].sessionlifetime, system.session_timeout
    )
    deferred = DeferredOutbox(database, outbox)
    elsewhere = people.elsewhere(configuration, system, telemetry)
    logins = people.logins(installation, deferred)
    access, token_routes = people.access(
        installation, database, outbox, telemetry, system, sessions, elsewhere, logins
    )
    pulls = people.pulls(installation, database)
    plane = install(
        database,
        process.backends,
        access,
        data_plane.options(configuration),
        GATES,
        outbox,
        observe_lookup=telemetry.metrics.cache_lookup if telemetry.metrics else _unobserved,
        upstream=adoption,
        deferred=deferred,
        storage_gates=data_plane.storage_gates(configuration, database, outbox, deferred),
        pulled=pulls.pulled if pulls else pulls_uncounted,
    )
    management = people.management(process, access, outbox, plane, system, sessions, elsewhere)
    routes = [
        # No path is of two of them; what is asked for most comes first.
        *_for_both_names(plane.routes, installation, database, adoption),
        *token_routes,
        *(
            [management.route("management", people.PATHS, "Harbor's API v2.0")]
            if management
            else ()
        ),
        *health_routes(telemetry.health),
    ]
    lifespan = process.running(
        partial(adoption.running, suggest=slot == 0),
        partial(_started, access),
        deferred.running,
        *([pulls.running] if pulls else ()),
        *([management.running] if management else ()),
        works=configuration[JobsSettings].enabled,
    )
    application = _application(
        installation,
        routes,
        lifespan,
        telemetry,
        people.observers(installation, telemetry, deferred),
        partial(people.writable, system) if management else None,
    )
    if telemetry.metrics:
        telemetry.metrics.in_flight = application.in_flight
    debug = _debug(configuration[HTTPSettings], telemetry)
    return Service(application, debug, telemetry.drain, telemetry.close)


def _for_both_names(
    routes: Sequence[Route], installation: Installation, database: Database, adoption: OnDemand
) -> Sequence[Route]:
    """Where there are projects, names without a slash are those of the project library."""
    if installation.configuration[AuthSettings].longshore is None:
        return routes
    from longshore.identity.naming import RepositoryNames

    return RepositoryNames(database, lambda: adoption.active).around(routes)


def work_service(installation: Installation, slot: int) -> Service:
    """What a process runs that only works on jobs: its address has health and metrics."""
    process = Process.of(installation, slot)
    telemetry = process.telemetry
    application = debug_application(
        telemetry.health,
        telemetry.exposition if telemetry.metrics else None,
        installation.configuration[HTTPSettings].debug.prometheus.path,
        process.running(works=True),
    )
    return Service(application, None, telemetry.drain, telemetry.close)


@asynccontextmanager
async def _started(access: AccessController) -> AsyncIterator[None]:
    await access.start()
    try:
        yield
    finally:
        await access.stop()


def _unobserved(*, hit: bool) -> None:
    """Nobody counts look-ups."""


def _application(
    installation: Installation,
    routes: Sequence[Route],
    lifespan: AbstractAsyncContextManager[None],
    telemetry: Telemetry,
    observers: Sequence[Observer],
    writable: Writable | None,
) -> Application:
    http = installation.configuration[HTTPSettings]
    server = installation.configuration[ServerSettings]
    configured = {name: ", ".join(values) for name, values in http.headers.items()}
    return Application(
        routes,
        lifespan,
        observers=observers,
        proxies=TrustedProxies(server.trustedproxies),
        headers={**HEADERS, **configured},
        prefix=http.prefix,
        read_only=installation.read_only,
        body_timeout=server.bodytimeout,
        explain=explain_storage,
        guard=partial(guard, telemetry.health),
        writable=writable,
    )


def _debug(http: HTTPSettings, telemetry: Telemetry) -> Application | None:
    """What answers on the debug address, if there is one."""
    if not http.debug.addr:
        return None
    exposition = telemetry.exposition if telemetry.metrics else None
    return debug_application(telemetry.health, exposition, http.debug.prometheus.path)
