"""The composition root: which sections the configuration has."""

from typing import Final

from longshore.access.settings import AccessSettings, AuthSettings
from longshore.config.section import Section
from longshore.db.settings import DatabaseSettings
from longshore.http.settings import HTTPSettings, ServerSettings
from longshore.registry.settings import (
    CatalogSettings,
    ManifestSettings,
    TagsSettings,
    ValidationSettings,
)
from longshore.storage.settings import StorageSettings
from longshore.telemetry.settings import HealthSettings, LogSettings

#: Every section of config.yml, in the order in which it is explained.
SECTIONS: Final[tuple[type[Section], ...]] = (
    LogSettings,
    StorageSettings,
    AuthSettings,
    HTTPSettings,
    HealthSettings,
    CatalogSettings,
    TagsSettings,
    ValidationSettings,
    AccessSettings,
    DatabaseSettings,
    ServerSettings,
    ManifestSettings,
)
