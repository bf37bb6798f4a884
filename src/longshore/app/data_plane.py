"""Bytes: the backends that hold them, what looks after those, and what the configuration says about repositories."""

import re
from collections.abc import Sequence
from functools import partial

from longshore.access.settings import AuthSettings
from longshore.config.load import Configuration
from longshore.db.database import Database
from longshore.http.locations import Locations
from longshore.http.settings import HTTPSettings
from longshore.oci.descriptor import Platform
from longshore.outbox.deferred import DeferredOutbox
from longshore.outbox.recording import Outbox
from longshore.quotas import install as quotas
from longshore.quotas.settings import QuotasSettings
from longshore.registry.install import DataPlaneOptions
from longshore.registry.policy import StorageGate
from longshore.registry.redirects import RedirectRules
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
    RedirectRulesSettings,
    StorageSettings,
)
from longshore.storage.watching import BackendWatch, reach
from longshore.telemetry.install import Telemetry


def backends(configuration: Configuration, telemetry: Telemetry) -> Backends:
    """What holds the bytes."""
    metrics = telemetry.metrics
    found = create_backends(
        configuration,
        metrics.storage_action if metrics else ignore,
        metrics.redirect_failed if metrics else uncounted,
    )
    driver = found.default.driver
    telemetry.health.require("storage", partial(reach, driver))
    telemetry.watch_storage(driver.name, partial(reach, driver))
    return found


def watches(
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


def storage_gates(
    configuration: Configuration, database: Database, outbox: Outbox, deferred: DeferredOutbox
) -> Sequence[StorageGate]:
    """Asked in this order whenever a repository is to hold more."""
    if configuration[AuthSettings].longshore is None:
        return ()
    return [quotas.gate(database, configuration[QuotasSettings], outbox, deferred)]


def _redirect_rules(configuration: Configuration) -> RedirectRules:
    settings = configuration[RedirectRulesSettings]
    return RedirectRules(settings.lifetime, settings.networks, settings.exempt)


def options(configuration: Configuration) -> DataPlaneOptions:
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
