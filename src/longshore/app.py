"""The composition root: configuration -> everything, in one place and in order.

:func:`prepare` runs once, before any worker exists; :func:`service` runs in every worker and builds
what answers requests. Nothing happens on import, nothing is global.
"""

import asyncio
import re
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from longshore import migrations
from longshore.access.anonymous import AnonymousController
from longshore.access.model import AccessController
from longshore.access.settings import AccessSettings, AuthSettings
from longshore.config.defaults import SYSTEM_DIRECTORY
from longshore.config.load import Configuration
from longshore.db import occupancy
from longshore.db.database import Connection, Database
from longshore.db.settings import DatabaseSettings
from longshore.http.application import Application
from longshore.http.forwarded import TrustedProxies
from longshore.http.health import debug_application, guard, health_routes
from longshore.http.locations import Locations
from longshore.http.routing import Route
from longshore.http.server import Service
from longshore.http.settings import HTTPSettings, ServerSettings
from longshore.jobs import store as job_store
from longshore.jobs.model import Task
from longshore.jobs.schedule import Schedule
from longshore.jobs.settings import JobsSettings
from longshore.jobs.worker import Worker, WorkerOptions
from longshore.oci.descriptor import Platform
from longshore.registry import store
from longshore.registry.expiry import UploadExpiry
from longshore.registry.faults import explain_storage
from longshore.registry.install import DataPlaneOptions, install
from longshore.registry.policy import PushGate
from longshore.registry.redirects import RedirectRules
from longshore.registry.settings import (
    CatalogSettings,
    ManifestSettings,
    TagsSettings,
    ValidationSettings,
)
from longshore.registry.validation import ManifestValidation
from longshore.storage import drivers
from longshore.storage.driver import PathNotFound, StorageDriver
from longshore.storage.guarded import ignore
from longshore.storage.layout import ROOT
from longshore.storage.parts import MINIMUM_PART
from longshore.storage.settings import FilesystemSettings, RedirectRulesSettings, StorageSettings
from longshore.telemetry.install import Telemetry
from longshore.telemetry.settings import HealthSettings, LogSettings

#: On every reply, unless the configuration says otherwise.
HEADERS: Final[Mapping[str, str]] = {
    "Docker-Distribution-API-Version": "registry/2.0",
    "X-Content-Type-Options": "nosniff",
}
#: Asked in this order at every manifest push.
GATES: Final[tuple[PushGate, ...]] = ()
#: What the database is asked now and then for gauges.
SAMPLES: Final[Mapping[str, Callable[[Connection], int]]] = {
    "longshore_uploads_open": store.count_uploads,
    "longshore_jobs_waiting": job_store.count_waiting,
    "longshore_jobs_dead": job_store.count_dead,
}


@dataclass(frozen=True, slots=True)
class Installation:
    """What all workers of one server share: the configuration, where metadata lies, the secret that
    tokens are signed with, a directory for what they tell one another, and whether it is for
    development."""

    configuration: Configuration
    database_url: str
    secret: bytes
    shared: Path
    dev: bool = False

    @property
    def read_only(self) -> bool:
        return self.configuration[StorageSettings].maintenance.readonly.enabled


def database_url(configuration: Configuration) -> str:
    """Where metadata lies: as configured, or beside the bytes in the storage's directory, or, when
    they are in another place, in a directory of this machine."""
    url = configuration[DatabaseSettings].url
    if url is not None:
        return url.get_secret_value()
    parameters = configuration[StorageSettings].parameters
    if isinstance(parameters, FilesystemSettings):
        return f"sqlite:///{parameters.rootdirectory.absolute()}/longshore.db"
    if configuration[StorageSettings].is_remote:
        return f"sqlite:///{SYSTEM_DIRECTORY}/{parameters.place}.db"
    # Bytes in memory end with the process; so does what is known about them.
    return f"sqlite:///{tempfile.mkdtemp(prefix='longshore-')}/longshore.db"


def prepare(configuration: Configuration, shared: Path, *, dev: bool = False) -> Installation:
    """Bring the database to the newest schema and find the secret. Leaves no thread and no
    connection behind, so that the caller may fork. Raises Unavailable or StorageFull."""
    url = database_url(configuration)
    database = Database(url, pool_size=1)
    database.open()
    try:
        migrations.upgrade(database)
        secret = configuration[HTTPSettings].secret.get_secret_value().encode()
        if not secret:
            remember = partial(store.remembered, name="secret", otherwise=secrets.token_hex(32))
            secret = bytes.fromhex(asyncio.run(database.write(remember)))
    finally:
        database.close()
    return Installation(configuration, url, secret, shared, dev)


def service(installation: Installation, slot: int) -> Service:
    """What one worker runs. ``slot`` is its number."""
    configuration = installation.configuration
    http = configuration[HTTPSettings]
    telemetry = Telemetry(
        configuration[LogSettings],
        configuration[HealthSettings],
        metrics=http.debug.prometheus.enabled,
        shared=installation.shared,
        slot=slot,
    )
    database = Database(
        installation.database_url, pool_size=configuration[DatabaseSettings].poolsize
    )
    driver = _driver(configuration[StorageSettings], telemetry)
    access, token_routes = _access(installation)
    routes = [
        *token_routes,
        *install(
            database,
            driver,
            access,
            data_plane_options(configuration),
            GATES,
            observe_lookup=telemetry.metrics.cache_lookup if telemetry.metrics else _unobserved,
        ),
        *health_routes(telemetry.health),
    ]
    lifespan = _running(installation, database, driver, access, telemetry)
    application = _application(installation, routes, lifespan, telemetry)
    if telemetry.metrics:
        telemetry.metrics.in_flight = application.in_flight
        for name, count in SAMPLES.items():
            telemetry.metrics.sample(name, partial(database.read, count))
    telemetry.health.require("database", database.ping)
    return Service(application, _debug(http, telemetry), telemetry.drain, telemetry.close)


def _access(installation: Installation) -> tuple[AccessController, list[Route]]:
    """Who decides about requests, and the token endpoint that it may need."""
    auth = installation.configuration[AuthSettings]
    access = installation.configuration[AccessSettings]
    if auth.method == "none" and not access.anonymouspull and not access.rules:
        return AnonymousController(), []
    # Only where somebody logs in do the libraries for that cost start-up time.
    from longshore.access.controller import create
    from longshore.access.routes import routes

    http = installation.configuration[HTTPSettings]
    controller = create(
        auth,
        access,
        secret=installation.secret,
        host=http.host,
        prefix=http.prefix,
        dev=installation.dev,
    )
    return controller, routes(controller)


def _unobserved(*, hit: bool) -> None:
    """Nobody counts look-ups."""


def _application(
    installation: Installation,
    routes: Sequence[Route],
    lifespan: AbstractAsyncContextManager[None],
    telemetry: Telemetry,
) -> Application:
    http = installation.configuration[HTTPSettings]
    server = installation.configuration[ServerSettings]
    configured = {name: ", ".join(values) for name, values in http.headers.items()}
    return Application(
        routes,
        lifespan,
        observers=telemetry.observers,
        proxies=TrustedProxies(server.trustedproxies),
        headers={**HEADERS, **configured},
        prefix=http.prefix,
        read_only=installation.read_only,
        body_timeout=server.bodytimeout,
        explain=explain_storage,
        guard=partial(guard, telemetry.health),
    )


def _debug(http: HTTPSettings, telemetry: Telemetry) -> Application | None:
    """What answers on the debug address, if there is one."""
    if not http.debug.addr:
        return None
    exposition = telemetry.exposition if telemetry.metrics else None
    return debug_application(telemetry.health, exposition, http.debug.prometheus.path)


def _driver(settings: StorageSettings, telemetry: Telemetry) -> StorageDriver:
    observe = telemetry.metrics.storage_action if telemetry.metrics else ignore
    driver = drivers.create(settings, observe)

    async def reachable() -> None:
        with suppress(PathNotFound):
            await driver.stat(ROOT)

    telemetry.health.require("storage", reachable)
    telemetry.watch_storage(driver.name, reachable)
    return driver


def _redirect_rules(configuration: Configuration) -> RedirectRules:
    settings = configuration[RedirectRulesSettings]
    return RedirectRules(settings.lifetime, settings.networks, settings.exempt)


def data_plane_options(configuration: Configuration) -> DataPlaneOptions:
    """What the configuration says about the data plane."""
    http, storage = configuration[HTTPSettings], configuration[StorageSettings]
    return DataPlaneOptions(
        deletes=bool(storage.delete.enabled),
        redirect=None if storage.redirect.disable else _redirect_rules(configuration),
        # Smaller chunks work, too; each costs a request to the service, or two.
        minimum_chunk=MINIMUM_PART if storage.is_remote else 0,
        catalog_limit=configuration[CatalogSettings].maxentries,
        tags_limit=configuration[TagsSettings].maxtags,
        validation=_validation(configuration),
        locations=Locations(http.host, http.prefix, absolute=http.relativeurls is False),
    )


def _validation(configuration: Configuration) -> ManifestValidation:
    settings, manifests = configuration[ValidationSettings], configuration[ManifestSettings]
    indexes, urls = settings.manifests.indexes, settings.manifests.urls
    return ManifestValidation(
        enabled=not (settings.disabled or manifests.sparse),
        platforms=indexes.platforms,
        platform_list=[Platform(entry.os, entry.architecture) for entry in indexes.platformlist],
        allow_urls=tuple(re.compile(pattern) for pattern in urls.allow),
        deny_urls=tuple(re.compile(pattern) for pattern in urls.deny),
        max_size=manifests.maxsize,
    )


@asynccontextmanager
async def _running(
    installation: Installation,
    database: Database,
    driver: StorageDriver,
    access: AccessController,
    telemetry: Telemetry,
) -> AsyncIterator[None]:
    """The life of a worker: open in this order, close in the other."""
    async with AsyncExitStack() as stack:
        await asyncio.to_thread(database.open)
        stack.push_async_callback(asyncio.to_thread, database.close)
        if not installation.read_only:
            await asyncio.to_thread(stack.enter_context, occupancy.sharing(database))
        await driver.open()
        stack.push_async_callback(driver.close)
        await access.start()
        stack.push_async_callback(access.stop)
        if installation.configuration[JobsSettings].enabled and not installation.read_only:
            worker = _worker(installation.configuration, database, driver)
            await stack.enter_async_context(worker)
        await stack.enter_async_context(telemetry.running())
        yield


def _worker(
    configuration: Configuration, database: Database, driver: StorageDriver
) -> AbstractAsyncContextManager[None]:
    """What works on jobs in this process."""
    settings = configuration[JobsSettings]
    tasks, schedules = _tasks(configuration, database, driver)
    options = WorkerOptions(
        lease=settings.lease,
        poll=settings.poll,
        retention=settings.retention,
        dead_retention=settings.deadretention,
    )
    return Worker(database, tasks, schedules, options).running()


def _tasks(
    configuration: Configuration, database: Database, driver: StorageDriver
) -> tuple[list[Task], list[Schedule]]:
    """Every kind of job there is, and which of them come back."""
    tasks: list[Task] = []
    schedules: list[Schedule] = []
    purging = configuration[StorageSettings].maintenance.uploadpurging
    if purging.enabled:
        expiry = UploadExpiry(database, driver, purging.age, dry_run=purging.dryrun)
        tasks.append(expiry)
        schedules.append(Schedule(expiry.kind, purging.interval))
    return tasks, schedules
