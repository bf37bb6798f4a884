"""Every section of the configuration, in one place, without importing what the sections configure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from longshore.access.settings import AccessSettings, AuthSettings
from longshore.adoption.settings import LinksSettings
from longshore.audit.settings import AuditSettings
from longshore.config.load import Configuration, load
from longshore.config.section import Section
from longshore.db.settings import DatabaseSettings, EncryptionSettings
from longshore.gc.settings import CollectionSettings
from longshore.http.settings import HTTPSettings, ServerSettings
from longshore.identity.settings import AdminSettings, LoginSettings, TokenServiceSettings
from longshore.jobs.settings import JobsSettings
from longshore.ldap.settings import LDAPSettings
from longshore.notifications.settings import NotificationsSettings
from longshore.oidc.settings import OIDCSettings
from longshore.outbox.settings import EventsSettings
from longshore.quotas.settings import QuotasSettings
from longshore.registry.settings import (
    CatalogSettings,
    ManifestSettings,
    TagsSettings,
    ValidationSettings,
)
from longshore.scrub.settings import ScrubSettings
from longshore.storage.middleware_settings import MiddlewareSettings
from longshore.storage.settings import BackendsSettings, RedirectRulesSettings, StorageSettings
from longshore.telemetry.settings import HealthSettings, LogSettings
from longshore.workload.settings import WorkloadSettings

#: In the order in which they are explained.
SECTIONS: Final[tuple[type[Section], ...]] = (
    LogSettings,
    StorageSettings,
    AuthSettings,
    MiddlewareSettings,
    HTTPSettings,
    HealthSettings,
    NotificationsSettings,
    CatalogSettings,
    TagsSettings,
    ValidationSettings,
    AccessSettings,
    AdminSettings,
    LoginSettings,
    TokenServiceSettings,
    LDAPSettings,
    OIDCSettings,
    WorkloadSettings,
    QuotasSettings,
    DatabaseSettings,
    EncryptionSettings,
    ServerSettings,
    JobsSettings,
    EventsSettings,
    CollectionSettings,
    ScrubSettings,
    AuditSettings,
    ManifestSettings,
    RedirectRulesSettings,
    LinksSettings,
    BackendsSettings,
)


def load_configuration(
    path: Path | None, environ: Mapping[str, str], *, dev: bool = False
) -> Configuration:
    """Read config.yml and the environment. Raises ConfigurationInvalid with every problem."""
    return load(path, environ, SECTIONS, dev=dev)
