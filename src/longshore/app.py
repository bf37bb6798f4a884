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
)
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from longshore import background, migrations
from longshore.access.anonymous import AnonymousController
from longshore.access.model import AccessController
from longshore.access.settings import AccessSettings, AuthSettings
from longshore.adoption.upstream import OnDemand
from longshore.audit.sealing import Sealing
from longshore.audit.settings import AuditSettings
from longshore.catalog.pulls import PullCounts
from longshore.config.defaults import SYSTEM_DIRECTORY
from longshore.config.load import Configuration
from longshore.db import occupancy
from longshore.db.database import Connection, Database
from longshore.db.encryption import Encryption
from longshore.db.settings import DatabaseSettings, EncryptionSettings
from longshore.http.application import Application, Writable
from longshore.http.forwarded import TrustedProxies
from longshore.http.health import debug_application, guard, health_routes
from longshore.http.locations import Locations
from longshore.http.mounted import Mounted
from longshore.http.routing import Route
from longshore.http.server import Service
from longshore.http.settings import HTTPSettings, ServerSettings
from longshore.identity import install as identity
from longshore.identity.changes import Changes
from longshore.identity.sessions import Sessions
from longshore.identity.settings import AdminSettings, LoginSettings, TokenServiceSettings
from longshore.identity.workloads import Workloads
from longshore.jobs.settings import JobsSettings
from longshore.ldap import install as ldap
from longshore.ldap.settings import LDAPSettings
from longshore.oci.descriptor import Platform
from longshore.oci.errors import Denied, RegistryError, SizeInvalid, Unavailable
from longshore.oidc import install as oidc
from longshore.oidc.settings import OIDCSettings
from longshore.outbox.deferred import DeferredOutbox
from longshore.outbox.model import AnyListener
from longshore.outbox.recording import Outbox
from longshore.quotas import install as quotas
from longshore.quotas import store as quota_store
from longshore.quotas.settings import QuotasSettings
from longshore.registry import store
from longshore.registry.faults import explain_storage
from longshore.registry.install import DataPlane, DataPlaneOptions, install
from longshore.registry.policy import PushGate, StorageGate
from longshore.registry.redirects import RedirectRules
from longshore.registry.routes_manifests import uncounted as pulls_uncounted
from longshore.registry.settings import (
    CatalogSettings,
    ManifestSettings,
    TagsSettings,
    ValidationSettings,
)
from longshore.registry.validation import ManifestValidation
from longshore.storage.backends import DEFAULT, Backends
from longshore.storage.configured import create_backends
from longshore.storage.guarded import ignore
from longshore.storage.parts import MINIMUM_PART
from longshore.storage.redirect_probe import RedirectProbe
from longshore.storage.redirection import uncounted
from longshore.storage.settings import (
    BackendsSettings,
    FilesystemSettings,
    RedirectRulesSettings,
    StorageSettings,
)
from longshore.storage.watching import BackendWatch, reach
from longshore.system.configuration import Rule, SystemConfiguration
from longshore.telemetry.exchange import Exchange, Observer
from longshore.telemetry.install import Telemetry
from longshore.telemetry.settings import HealthSettings, LogSettings
from longshore.workload import install as workload
from longshore.workload.settings import WorkloadSettings

if TYPE_CHECKING:
    from longshore.http.mounted import ASGIApp
    from longshore.identity.authentication import Authenticator
    from longshore.identity.noticing import LoggedIn
    from longshore.ldap.logins import Servers
    from longshore.oidc.logins import Providers

#: Paths of the management API, and of logins with a browser.
MANAGEMENT: Final = r"/(?:api|c)/.*"
#: Bytes of a request's body there.
_LARGEST_BODY: Final = 1 << 20
#: On every reply, unless the configuration says otherwise.
HEADERS: Final[Mapping[str, str]] = {
    "Docker-Distribution-API-Version": "registry/2.0",
    "X-Content-Type-Options": "nosniff",
}
#: What works while the registry is read-only: ending that, and logging in and out.
_ALWAYS_WRITABLE: Final = frozenset(
    {
        "/api/v2.0/configurations",
        "/c/login",
        "/c/log_out",
        "/v2/token",
        "/service/token",
        "/c/oidc/device",
        "/c/oidc/device/token",
    }
)
#: Asked in this order at every manifest push.
GATES: Final[tuple[PushGate, ...]] = ()
#: What the database is asked now and then for gauges.
SAMPLES: Final[Mapping[str, Callable[[Connection], int]]] = {
    "longshore_uploads_open": store.count_uploads,
    "longshore_blobs_quarantined": store.count_quarantined,
    "longshore_quota_difference_bytes": quota_store.remembered_difference,
}


@dataclass(frozen=True, slots=True)
class Installation:
    """What all workers of one server share: the configuration, where metadata lies, the secret that
    tokens are signed with, what decrypts secrets in the database, what seals the audit log, a directory for
    what they tell one another, and whether it is for development."""

    configuration: Configuration
    database_url: str
    secret: bytes
    encryption: Encryption
    sealing: Sealing
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
    connection behind, so that the caller may fork. Raises Unavailable, StorageFull, or IdentityError
    for an administrator's password that is too easy."""
    url = database_url(configuration)
    database = Database(url, pool_size=1)
    database.open()
    try:
        migrations.upgrade(database)
        asyncio.run(_know_backends(configuration, database))
        kept = asyncio.run(database.write(_kept_secret))
        secret = configuration[HTTPSettings].secret.get_secret_value().encode()
        if not secret:
            secret = bytes.fromhex(kept)
        quotas.prepare(database, wanted=configuration[AuthSettings].longshore is not None)
        if configuration[AuthSettings].longshore is not None:
            ldap.check(configuration[LDAPSettings])
            _workloads(configuration, secret)
            identity.prepare(database, configuration[AdminSettings].password.get_secret_value())
    finally:
        database.close()
    encryption, sealing = _encryption(configuration, kept), _sealing(configuration, kept)
    return Installation(configuration, url, secret, encryption, sealing, shared, dev)


def encryption(configuration: Configuration, database: Database) -> Encryption:
    """What decrypts secrets in the database, for commands. Blocks."""
    return _encryption(configuration, asyncio.run(database.write(_kept_secret)))


def _encryption(configuration: Configuration, kept: str) -> Encryption:
    """With the configured keys, and those that were used before there were any."""
    configured = [
        *configuration[EncryptionSettings].keys,
        configuration[HTTPSettings].secret,
    ]
    return Encryption([*filter(None, (key.get_secret_value() for key in configured)), kept])


def sealing(configuration: Configuration, database: Database) -> Sealing:
    """What seals the audit log, for commands. Blocks."""
    return _sealing(configuration, asyncio.run(database.write(_kept_secret)))


def _sealing(configuration: Configuration, kept: str) -> Sealing:
    """As for encryption, with a key of its own in front if there is one."""
    configured = [
        configuration[AuditSettings].sealkey,
        *configuration[EncryptionSettings].keys,
        configuration[HTTPSettings].secret,
    ]
    secrets = [*filter(None, (key.get_secret_value() for key in configured)), kept]
    return Sealing(secrets, kept)


def _kept_secret(connection: Connection) -> str:
    """The secret of this installation, made the first time that somebody asks."""
    found: str = store.remembered(connection, "secret", secrets.token_hex(32))
    return found


async def _know_backends(configuration: Configuration, database: Database) -> None:
    """Raises Unavailable when bytes lie in a backend that is not configured."""
    known = [DEFAULT, *configuration[BackendsSettings].backends]
    strange = await database.read(partial(store.other_backend, known=known))
    if strange is not None:
        raise Unavailable(
            f"blobs lie in a backend {strange!r} that longshore.storage.backends does not name: name "
            "it again, or, if it has another name now, run `longshore storage rename`"
        )


@dataclass(frozen=True, slots=True)
class _Process:
    """What every process has, whether it serves or only works."""

    installation: Installation
    telemetry: Telemetry
    database: Database
    backends: Backends
    watches: Sequence[RedirectProbe | BackendWatch]
    listeners: Sequence[AnyListener]

    @asynccontextmanager
    async def running(
        self, *others: Callable[[], AbstractAsyncContextManager[None]], works: bool
    ) -> AsyncIterator[None]:
        """Its life: open in this order, close in the other. ``works``: on jobs, too."""
        async with AsyncExitStack() as stack:
            await asyncio.to_thread(self.database.open)
            stack.push_async_callback(asyncio.to_thread, self.database.close)
            if not self.installation.read_only:
                await asyncio.to_thread(stack.enter_context, occupancy.sharing(self.database))
            await self.backends.open()
            stack.push_async_callback(self.backends.close)
            for other in others:
                await stack.enter_async_context(other())
            if works and not self.installation.read_only:
                await stack.enter_async_context(self._work())
            await stack.enter_async_context(self.telemetry.running())
            for watch in self.watches:
                stack.push_async_callback(_end, asyncio.create_task(watch.run()))
            yield

    def _work(self) -> AbstractAsyncContextManager[None]:
        return background.work(
            self.installation.configuration,
            self.database,
            self.backends,
            self.listeners,
            self.installation.encryption,
            self.installation.sealing,
            self.telemetry.metrics,
        )


def _process(installation: Installation, slot: int) -> _Process:
    configuration = installation.configuration
    telemetry = Telemetry(
        configuration[LogSettings],
        configuration[HealthSettings],
        metrics=configuration[HTTPSettings].debug.prometheus.enabled,
        shared=installation.shared,
        slot=slot,
    )
    database = Database(
        installation.database_url, pool_size=configuration[DatabaseSettings].poolsize
    )
    telemetry.health.require("database", database.ping)
    if telemetry.metrics:
        for name, count in SAMPLES.items():
            telemetry.metrics.sample(name, partial(database.read, count))
        receivers = background.audit_receivers(configuration)
        telemetry.metrics.sample_groups(partial(background.gauges, database, receivers))
    backends = _backends(configuration, telemetry)
    watches = _watches(configuration, backends, telemetry)
    listeners = background.event_listeners(configuration, database, backends, installation.sealing)
    return _Process(installation, telemetry, database, backends, watches, listeners)


def service(installation: Installation, slot: int) -> Service:
    """What one process of the server runs. ``slot`` is its number."""
    configuration = installation.configuration
    process = _process(installation, slot)
    telemetry, database = process.telemetry, process.database
    adoption = OnDemand(database, process.backends.default.driver)
    outbox = Outbox(() if installation.read_only else process.listeners)
    system = _system(installation, database)
    sessions = Sessions(
        database, configuration[LoginSettings].sessionlifetime, system.session_timeout
    )
    deferred = DeferredOutbox(database, outbox)
    access, token_routes = _access(
        installation, database, outbox, telemetry, system, sessions, _logins(installation, deferred)
    )
    pulls = _pulls(installation, database)
    plane = install(
        database,
        process.backends,
        access,
        data_plane_options(configuration),
        GATES,
        outbox,
        observe_lookup=telemetry.metrics.cache_lookup if telemetry.metrics else _unobserved,
        upstream=adoption,
        deferred=deferred,
        storage_gates=_storage_gates(configuration, database, outbox, deferred),
        pulled=pulls.pulled if pulls else pulls_uncounted,
    )
    management = _management(process, access, outbox, plane, system, sessions)
    routes = [
        # No path is of two of them; what is asked for most comes first.
        *_for_both_names(plane.routes, installation, database, adoption),
        *token_routes,
        *([management.route("management", MANAGEMENT, "Harbor's API v2.0")] if management else ()),
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
    people = configuration[AuthSettings].longshore is not None
    application = _application(
        installation,
        routes,
        lifespan,
        telemetry,
        _observers(installation, telemetry, deferred),
        partial(_writable, system) if people else None,
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
    process = _process(installation, slot)
    telemetry = process.telemetry
    application = debug_application(
        telemetry.health,
        telemetry.exposition if telemetry.metrics else None,
        installation.configuration[HTTPSettings].debug.prometheus.path,
        process.running(works=True),
    )
    return Service(application, None, telemetry.drain, telemetry.close)


def _storage_gates(
    configuration: Configuration, database: Database, outbox: Outbox, deferred: DeferredOutbox
) -> Sequence[StorageGate]:
    """Asked in this order whenever a repository is to hold more."""
    if configuration[AuthSettings].longshore is None:
        return ()
    return [quotas.gate(database, configuration[QuotasSettings], outbox, deferred)]


@asynccontextmanager
async def _started(access: AccessController) -> AsyncIterator[None]:
    await access.start()
    try:
        yield
    finally:
        await access.stop()


def _access(
    installation: Installation,
    database: Database,
    outbox: Outbox,
    telemetry: Telemetry,
    system: SystemConfiguration,
    sessions: Sessions,
    logged_in: "LoggedIn | None",
) -> tuple[AccessController, list[Route]]:
    """Who decides about requests, and the token endpoint that it may need."""
    auth = installation.configuration[AuthSettings]
    access = installation.configuration[AccessSettings]
    if auth.method == "none" and not access.anonymouspull and not access.rules:
        return AnonymousController(), []
    # Only where somebody logs in do the libraries for that cost start-up time.
    from longshore.access.controller import create
    from longshore.access.routes import routes
    from longshore.api.browsers import BrowserSessions

    http = installation.configuration[HTTPSettings]
    if auth.longshore is not None:
        changes = Changes(database, outbox)
        configuration = installation.configuration
        logins = oidc.logins(_providers(configuration, system), changes)
        people = identity.create(
            database,
            access,
            encryption=installation.encryption,
            host=http.host,
            prefix=http.prefix,
            tokens=installation.configuration[TokenServiceSettings],
            read_only=installation.read_only,
            authenticators=_authenticators(installation, changes, telemetry, system),
            changes=changes,
            second_factor_for=installation.configuration[LoginSettings].secondfactor,
            token_lifetime=system.token_lifetime,
            robot_prefix=system.robot_name_prefix,
            workloads=_workloads(installation.configuration, installation.secret),
            id_tokens=logins,
            logged_in=logged_in,
        )
        browsers = oidc.routes(
            logins,
            installation.encryption,
            people.refresh_token,
            BrowserSessions(sessions, people, changes),
            host=http.host,
            prefix=http.prefix,
        )
        return people, [*routes(people), *browsers.routes()]
    controller = create(
        auth,
        access,
        secret=installation.secret,
        host=http.host,
        prefix=http.prefix,
        dev=installation.dev,
    )
    return controller, routes(controller)


def _logins(installation: Installation, deferred: DeferredOutbox) -> "LoggedIn | None":
    """Who is told of logins."""
    seconds = installation.configuration[AuditSettings].logins
    if not seconds or installation.configuration[AuthSettings].longshore is None:
        return None
    from longshore.identity.noticing import LoginNotices

    return LoginNotices(deferred, seconds)


def _observers(
    installation: Installation, telemetry: Telemetry, deferred: DeferredOutbox
) -> list[Observer]:
    """Who sees each request and its reply."""
    if installation.configuration[AuthSettings].longshore is None:
        return [*telemetry.observers]
    from longshore.identity.noticing import RefusalNotices

    return [*telemetry.observers, RefusalNotices(deferred)]


def _pulls(installation: Installation, database: Database) -> PullCounts | None:
    """Counts pulls where somebody sees the counts."""
    if installation.read_only or installation.configuration[AuthSettings].longshore is None:
        return None
    return PullCounts(database)


def _system(installation: Installation, database: Database) -> SystemConfiguration:
    """What administrators set while the registry runs, and what of it is decided already."""
    configuration = installation.configuration
    quotas, tokens = configuration[QuotasSettings], configuration[TokenServiceSettings]
    method = "ldap_auth" if configuration[LDAPSettings].servers else "db_auth"
    if configuration[OIDCSettings].providers:
        method = "oidc_auth"
    fixed: dict[str, bool | int | str] = {
        # Without effect here: said, rather than taken.
        "notification_enable": True,
        "audit_log_forward_endpoint": "",
        "skip_audit_log_database": False,
        "disabled_audit_log_event_types": "",
        "scanner_skip_update_pulltime": False,
        "robot_scanner_name_prefix": "scanner",
    }
    if installation.read_only:
        fixed["read_only"] = True
    defaults: dict[str, bool | int | str] = {
        "auth_mode": method,
        "token_expiration": max(1, round(tokens.lifetime / 60)),
        "storage_per_project": quotas.storage or -1,
    }
    rules = (
        Rule("ldap_", "ldap_url", "ldap_search_password", ldap.check_stored),
        Rule(
            "oidc_",
            "oidc_endpoint",
            "oidc_client_secret",
            partial(oidc.check_stored, configuration[OIDCSettings]),
        ),
    )
    return SystemConfiguration(
        database, installation.encryption, defaults=defaults, fixed=fixed, rules=rules
    )


def _directories(configuration: Configuration, system: SystemConfiguration) -> "Servers":
    """The LDAP servers of now."""
    return ldap.servers(configuration[LDAPSettings], partial(system.with_secrets, "ldap_"))


def _providers(configuration: Configuration, system: SystemConfiguration) -> "Providers":
    """The OpenID providers of now."""
    return oidc.providers(configuration[OIDCSettings], partial(system.with_secrets, "oidc_"))


async def _writable(system: SystemConfiguration, exchange: Exchange, path: str) -> None:
    """Raises Denied while administrators have made the registry read-only (Harbor's ``read_only``)."""
    if path.rstrip("/") not in _ALWAYS_WRITABLE and await system.read_only():
        raise Denied(
            "the system is in read-only mode: pulls work; an administrator ends it with "
            'PUT /api/v2.0/configurations {"read_only": false}'
        )


def _management(
    process: _Process,
    access: AccessController,
    outbox: Outbox,
    plane: DataPlane,
    system: SystemConfiguration,
    sessions: Sessions,
) -> Mounted | None:
    """The management API, where there are people to manage."""
    configuration = process.installation.configuration
    if configuration[AuthSettings].longshore is None:
        return None
    from longshore.identity.controller import ProjectController

    assert isinstance(access, ProjectController)  # noqa: S101 - as _access chose

    def build() -> "ASGIApp":
        # In a thread, after the start: the framework takes a good part of a second.
        from longshore.api.application import create
        from longshore.api.services import Services
        from longshore.catalog.install import catalog
        from longshore.identity.lockout import Registrations

        services = Services(
            configuration,
            process.database,
            access,
            Changes(process.database, outbox),
            sessions,
            process.telemetry.health,
            catalog(plane, process.database, process.backends),
            system,
            _directories(configuration, system),
            _providers(configuration, system),
            Registrations(process.database),
        )
        return create(services, explain_storage)

    return Mounted(build, largest=_LARGEST_BODY, too_large=_too_large)


def _too_large(largest: int) -> RegistryError:
    return SizeInvalid(f"the body of a request to the API has at most {largest} bytes")


def _authenticators(
    installation: Installation,
    changes: Changes,
    telemetry: Telemetry,
    system: SystemConfiguration,
) -> "list[Authenticator]":
    """Who knows passwords, beside the database."""

    def observe(server: str, outcome: str, seconds: float, problem: str) -> None:
        if telemetry.metrics:
            telemetry.metrics.directory_asked(server, outcome, seconds)
        telemetry.health.warn(f"LDAP server {server}", problem)

    configuration = installation.configuration
    servers = _directories(configuration, system)
    return [ldap.authenticator(servers, configuration[LDAPSettings], changes, observe)]


def _workloads(configuration: Configuration, secret: bytes) -> Workloads | None:
    """What takes tokens of platforms, if any are configured. Raises IdentityError."""
    host = configuration[HTTPSettings].host
    return workload.create(configuration[WorkloadSettings], secret=secret, host=host)


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


def _backends(configuration: Configuration, telemetry: Telemetry) -> Backends:
    """What holds the bytes."""
    metrics = telemetry.metrics
    backends = create_backends(
        configuration,
        metrics.storage_action if metrics else ignore,
        metrics.redirect_failed if metrics else uncounted,
    )
    driver = backends.default.driver
    telemetry.health.require("storage", partial(reach, driver))
    telemetry.watch_storage(driver.name, partial(reach, driver))
    return backends


def _watches(
    configuration: Configuration, backends: Backends, telemetry: Telemetry
) -> list[RedirectProbe | BackendWatch]:
    """What looks after backends in the background."""
    rules, warn = configuration[RedirectRulesSettings], telemetry.health.warn
    found: list[RedirectProbe | BackendWatch] = [
        BackendWatch(name, backend.driver, warn)
        for name, backend in backends.all.items()
        if name != DEFAULT
    ]
    found += [
        RedirectProbe(
            f"redirect {name}".strip(),
            backend.driver,
            backend.redirection,
            warn,
            lifetime=rules.lifetime,
            writes=not configuration[StorageSettings].maintenance.readonly.enabled,
            stream=rules.probe == "stream",
        )
        for name, backend in backends.all.items()
        if backend.redirection is not None and rules.probe != "none"
    ]
    return found


def _redirect_rules(configuration: Configuration) -> RedirectRules:
    settings = configuration[RedirectRulesSettings]
    return RedirectRules(settings.lifetime, settings.networks, settings.exempt)


def data_plane_options(configuration: Configuration) -> DataPlaneOptions:
    """What the configuration says about the data plane."""
    http, storage = configuration[HTTPSettings], configuration[StorageSettings]
    places = [storage, *configuration[BackendsSettings].backends.values()]
    return DataPlaneOptions(
        deletes=bool(storage.delete.enabled),
        redirect=None if storage.redirect.disable else _redirect_rules(configuration),
        # Smaller chunks work, too; each costs a request to the service, or two.
        minimum_chunk=MINIMUM_PART if any(place.is_remote for place in places) else 0,
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


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
