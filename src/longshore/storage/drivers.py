"""The storage drivers there are, each imported only when it is used."""

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from longshore.storage.guarded import GuardedDriver, Observer, guard, ignore

if TYPE_CHECKING:
    from collections.abc import Callable

    from longshore.storage.driver import StorageDriver
    from longshore.storage.settings import BackendSettings

#: Key of the `storage` section -> "module:function", which makes the driver of that key's settings.
FACTORIES: Final = {
    "filesystem": "longshore.storage.filesystem:from_settings",
    "inmemory": "longshore.storage.inmemory:from_settings",
    "s3": "longshore.storage.s3:from_settings",
    "azure": "longshore.storage.azure:from_settings",
    "swift": "longshore.storage.swift:from_settings",
    "gcs": "longshore.storage.gcs:from_settings",
    "oss": "longshore.storage.oss:from_settings",
}
#: Drivers whose libraries a plain installation does not have: the extra of the same name has them.
EXTRAS: Final = frozenset({"s3", "azure", "swift", "gcs", "oss"})


class DriverUnknown(LookupError):
    """No driver has this name."""

    def __init__(self, name: str) -> None:
        near = get_close_matches(name, FACTORIES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(FACTORIES)}"
        super().__init__(f"there is no storage driver {name!r}: {hint}")


class LibraryMissing(ImportError):
    """The driver is there, but a library that it needs is not installed."""

    def __init__(self, name: str, library: str) -> None:
        super().__init__(
            f"storage.{name} needs the library {library!r}: install it with "
            f"pip install 'longshore[{name}]'"
        )


def factory(name: str) -> "Callable[[Any], StorageDriver]":
    """What makes the driver of this name from its settings. Raises DriverUnknown, LibraryMissing."""
    if name not in FACTORIES:
        raise DriverUnknown(name)
    module, _, function = FACTORIES[name].partition(":")
    try:
        found: Callable[[Any], StorageDriver] = getattr(import_module(module), function)
    except ModuleNotFoundError as error:
        if name not in EXTRAS or (error.name or "").startswith("longshore"):
            raise
        raise LibraryMissing(name, error.name or "") from error
    return found


def create(settings: "BackendSettings", observe: Observer = ignore) -> GuardedDriver:
    """The configured driver behind its guard, not opened yet; ``observe`` learns of each call."""
    return guard(factory(settings.driver)(settings.parameters), observe)
