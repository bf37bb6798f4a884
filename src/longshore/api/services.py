"""What handlers work with: made once, by the composition root."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

if TYPE_CHECKING:
    from longshore.catalog.install import Catalog
    from longshore.config.load import Configuration
    from longshore.db.database import Database
    from longshore.identity.changes import Changes
    from longshore.identity.controller import ProjectController
    from longshore.identity.lockout import Registrations
    from longshore.identity.sessions import Sessions
    from longshore.ldap.install import ConfiguredServers
    from longshore.oidc.logins import Providers
    from longshore.system.configuration import SystemConfiguration
    from longshore.telemetry.health import Health


@dataclass(frozen=True, slots=True)
class Services:
    """One per process. ``people`` says who sends a request and what they may do."""

    configuration: "Configuration"
    database: "Database"
    people: "ProjectController"
    changes: "Changes"
    sessions: "Sessions"
    health: "Health"
    catalog: "Catalog"
    system: "SystemConfiguration"
    ldap_servers: "ConfiguredServers"
    oidc_providers: "Providers"
    registrations: "Registrations"


def _services(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


Serving = Annotated[Services, Depends(_services)]
