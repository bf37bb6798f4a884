"""Every section of the configuration, in one place, without importing what the sections configure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from longshore.access.settings import AccessSettings, AuthSettings
from longshore.config.load import Configuration, load
from longshore.config.section import Section
from longshore.db.settings import DatabaseSettings
from longshore.http.settings import HTTPSettings, ServerSettings
from longshore.jobs.settings import JobsSettings
from longshore.registry.settings import (
    CatalogSettings,
    ManifestSettings,
    TagsSettings,
    ValidationSettings,
)
from longshore.storage.settings import RedirectRulesSettings, StorageSettings
from longshore.telemetry.settings import HealthSettings, LogSettings

#: In the order in which they are explained.
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
    JobsSettings,
    ManifestSettings,
    RedirectRulesSettings,
)


def load_configuration(
    path: Path | None, environ: Mapping[str, str], *, dev: bool = False
) -> Configuration:
    """Read config.yml and the environment. Raises ConfigurationInvalid with every problem."""
    return load(path, environ, SECTIONS, dev=dev)
