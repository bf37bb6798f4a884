"""The backends that the configuration names."""

from collections.abc import Callable, Sequence

from longshore.config.load import Configuration
from longshore.storage import drivers
from longshore.storage.backends import DEFAULT, Backend, Backends, Placement, shown, stored
from longshore.storage.guarded import Observer, ignore
from longshore.storage.middleware_settings import MiddlewareSettings, StorageMiddlewareSettings
from longshore.storage.redirection import Redirection, uncounted, url_source
from longshore.storage.settings import BackendSettings, BackendsSettings, StorageSettings


class SamePlace(Exception):
    """Two backends would keep their bytes in one place: what is removed from one is lost to both."""


def create_backends(
    configuration: Configuration,
    observe: Observer = ignore,
    redirect_failed: Callable[[], None] = uncounted,
) -> Backends:
    """All of them, not opened yet. ``observe`` learns of each call of a driver, ``redirect_failed``
    of each pull that could not be redirected.

    Raises SamePlace, LibraryMissing, or KeyUnusable.
    """
    storage, more = configuration[StorageSettings], configuration[BackendsSettings]
    settings: dict[str, BackendSettings] = {DEFAULT: storage, **more.backends}
    _refuse_same_place(settings)

    def create(name: str, middleware: Sequence[StorageMiddlewareSettings] = ()) -> Backend:
        driver = drivers.create(settings[name], observe)
        source = None if storage.redirect.disable else url_source(driver, middleware)
        return Backend(driver, Redirection(source, redirect_failed) if source else None)

    return Backends(
        create(DEFAULT, configuration[MiddlewareSettings].storage),
        {name: create(name) for name in more.backends},
        [Placement(rule.repositories, stored(rule.backend)) for rule in more.rules],
    )


def _refuse_same_place(settings: dict[str, BackendSettings]) -> None:
    seen: dict[str, str] = {}
    for name, backend in settings.items():
        if backend.driver == "inmemory":
            continue
        other = seen.setdefault(backend.where, name)
        if other != name:
            raise SamePlace(
                f"longshore.storage.backends: {shown(other)} and {shown(name)} are the same place, "
                f"{backend.where}: give each a directory, bucket or rootdirectory of its own"
            )
