"""Who is asking and may they: logins, what administrators set while the registry runs, and the management API."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from longshore.access.anonymous import AnonymousController
from longshore.access.model import AccessController
from longshore.access.settings import AccessSettings, AuthSettings
from longshore.app.installation import Installation
from longshore.app.process import Process
from longshore.audit.settings import AuditSettings
from longshore.catalog.pulls import PullCounts
from longshore.config.load import Configuration
from longshore.db.database import Database
from longshore.http.mounted import Mounted
from longshore.http.routing import Route
from longshore.http.settings import HTTPSettings
from longshore.identity import install as identity
from longshore.identity.changes import Changes
from longshore.identity.sessions import Sessions
from longshore.identity.settings import LoginSettings, TokenServiceSettings
from longshore.ldap import install as ldap
from longshore.ldap.settings import LDAPSettings
from longshore.oci.errors import Denied, RegistryError, SizeInvalid
from longshore.oidc import install as oidc
from longshore.oidc.settings import OIDCSettings
from longshore.outbox.deferred import DeferredOutbox
from longshore.outbox.recording import Outbox
from longshore.quotas.settings import QuotasSettings
from longshore.registry.faults import explain_storage
from longshore.registry.install import DataPlane
from longshore.system.configuration import Rule, SystemConfiguration
from longshore.telemetry.exchange import Exchange, Observer
from longshore.telemetry.install import Telemetry
from longshore.workload import install as workload
from longshore.workload.settings import WorkloadSettings

if TYPE_CHECKING:
    from longshore.http.mounted import ASGIApp
    from longshore.identity.authentication import Authenticator
    from longshore.identity.noticing import LoggedIn
    from longshore.oidc.logins import Providers


#: Paths of the management API, and of logins with a browser.
PATHS: Final = r"/(?:api|c)/.*"
#: Bytes of a request's body there.
_LARGEST_BODY: Final = 1 << 20
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


def access(
    installation: Installation,
    database: Database,
    outbox: Outbox,
    telemetry: Telemetry,
    system: SystemConfiguration,
    sessions: Sessions,
    elsewhere: "Elsewhere",
    logged_in: "LoggedIn | None",
) -> tuple[AccessController, list[Route]]:
    """Who decides about requests, and the token endpoint that it may need."""
    auth = installation.configuration[AuthSettings]
    settings = installation.configuration[AccessSettings]
    if auth.method == "none" and not settings.anonymouspull and not settings.rules:
        return AnonymousController(), []
    # Only where somebody logs in do the libraries for that cost start-up time.
    from longshore.access.controller import create
    from longshore.access.routes import routes
    from longshore.api.browsers import BrowserSessions

    http = installation.configuration[HTTPSettings]
    if auth.longshore is not None:
        changes = Changes(database, outbox)
        configuration = installation.configuration
        providers = oidc.logins(elsewhere.providers, changes)
        people = identity.create(
            database,
            settings,
            encryption=installation.encryption,
            host=http.host,
            prefix=http.prefix,
            tokens=installation.configuration[TokenServiceSettings],
            read_only=installation.read_only,
            authenticators=_authenticators(installation, changes, telemetry, elsewhere),
            changes=changes,
            second_factor_for=installation.configuration[LoginSettings].secondfactor,
            token_lifetime=system.token_lifetime,
            robot_prefix=system.robot_name_prefix,
            workloads=workload.create(
                configuration[WorkloadSettings], secret=installation.secret, host=http.host
            ),
            id_tokens=providers,
            logged_in=logged_in,
        )
        browsers = oidc.routes(
            providers,
            installation.encryption,
            people.refresh_token,
            BrowserSessions(sessions, people, changes),
            host=http.host,
            prefix=http.prefix,
        )
        return people, [*routes(people), *browsers.routes()]
    controller = create(
        auth,
        settings,
        secret=installation.secret,
        host=http.host,
        prefix=http.prefix,
        dev=installation.dev,
    )
    return controller, routes(controller)


def _authenticators(
    installation: Installation,
    changes: Changes,
    telemetry: Telemetry,
    elsewhere: "Elsewhere",
) -> "list[Authenticator]":
    """Who knows passwords, beside the database."""

    def observe(server: str, outcome: str, seconds: float, problem: str) -> None:
        if telemetry.metrics:
            telemetry.metrics.directory_asked(server, outcome, seconds)
        telemetry.health.warn(f"LDAP server {server}", problem)

    settings = installation.configuration[LDAPSettings]
    return [ldap.authenticator(elsewhere.directories, settings, changes, observe)]


def logins(installation: Installation, deferred: DeferredOutbox) -> "LoggedIn | None":
    """Who is told of logins."""
    seconds = installation.configuration[AuditSettings].logins
    if not seconds or installation.configuration[AuthSettings].longshore is None:
        return None
    from longshore.identity.noticing import LoginNotices

    return LoginNotices(deferred, seconds)


def observers(
    installation: Installation, telemetry: Telemetry, deferred: DeferredOutbox
) -> list[Observer]:
    """Who sees each request and its reply."""
    if installation.configuration[AuthSettings].longshore is None:
        return [*telemetry.observers]
    from longshore.identity.noticing import RefusalNotices

    return [*telemetry.observers, RefusalNotices(deferred)]


def pulls(installation: Installation, database: Database) -> PullCounts | None:
    """Counts pulls where somebody sees the counts."""
    if installation.read_only or installation.configuration[AuthSettings].longshore is None:
        return None
    return PullCounts(database)


def system(installation: Installation, database: Database) -> SystemConfiguration:
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


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where people are known beside the database: LDAP servers and OpenID providers, as they are now."""

    directories: ldap.ConfiguredServers
    providers: "Providers"


def elsewhere(
    configuration: Configuration, system: SystemConfiguration, telemetry: Telemetry
) -> Elsewhere:
    """One for all of a process, so that what is wrong with them is said once."""
    warn = telemetry.health.warn
    return Elsewhere(
        ldap.ConfiguredServers(
            configuration[LDAPSettings], partial(system.with_secrets, "ldap_"), warn
        ),
        oidc.providers(configuration[OIDCSettings], partial(system.with_secrets, "oidc_"), warn),
    )


async def writable(system: SystemConfiguration, exchange: Exchange, path: str) -> None:
    """Raises Denied while administrators have made the registry read-only (Harbor's ``read_only``)."""
    if path.rstrip("/") not in _ALWAYS_WRITABLE and await system.read_only():
        raise Denied(
            "the system is in read-only mode: pulls work; an administrator ends it with "
            'PUT /api/v2.0/configurations {"read_only": false}'
        )


def management(
    process: Process,
    access: AccessController,
    outbox: Outbox,
    plane: DataPlane,
    system: SystemConfiguration,
    sessions: Sessions,
    elsewhere: Elsewhere,
) -> Mounted | None:
    """The management API, where there are people to manage."""
    configuration = process.installation.configuration
    if configuration[AuthSettings].longshore is None:
        return None
    from longshore.identity.controller import ProjectController

    assert isinstance(access, ProjectController)  # noqa: S101 - as access() chose

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
            elsewhere.directories,
            elsewhere.providers,
            Registrations(process.database),
        )
        return create(services, explain_storage)

    return Mounted(build, largest=_LARGEST_BODY, too_large=_too_large)


def _too_large(largest: int) -> RegistryError:
    return SizeInvalid(f"the body of a request to the API has at most {largest} bytes")
