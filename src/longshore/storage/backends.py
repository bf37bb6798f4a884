"""Every place that holds bytes, by name."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

from longshore.oci.patterns import compile_pattern
from longshore.storage.driver import Redirects, StorageDriver, StorageUnavailable
from longshore.storage.redirection import DriverURLs, Redirection

#: The backend that the `storage` section configures: its name in the database, and for people.
DEFAULT: Final = ""
DEFAULT_NAME: Final = "default"


class BackendUnknown(StorageUnavailable):
    """The database says that bytes lie in a backend that the configuration does not name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            name,
            "",
            f"longshore.storage.backends has no backend {name!r}, where bytes lie: name it again",
        )


@dataclass(frozen=True, slots=True)
class Backend:
    """A driver, and where clients may fetch from it themselves (None: nowhere)."""

    driver: StorageDriver
    redirection: Redirection | None = None

    @classmethod
    def of(cls, driver: StorageDriver) -> Self:
        """With the URLs that the driver itself signs, if it does."""
        source = Redirection(DriverURLs(driver)) if isinstance(driver, Redirects) else None
        return cls(driver, source)


@dataclass(frozen=True, slots=True)
class Placement:
    """Bytes that are new go to ``backend`` in repositories that fit the pattern ``repositories``."""

    repositories: str
    backend: str


class Backends:
    """The default backend and those with a name, and which of them takes what is new: the first
    of the ``rules`` that fits a repository decides, otherwise it is the default.

    Open as a whole, or not at all.
    """

    def __init__(
        self,
        default: Backend,
        named: Mapping[str, Backend] | None = None,
        rules: Sequence[Placement] = (),
    ) -> None:
        """Raises PatternInvalid for a rule that has none, BackendUnknown for a backend that is not
        there."""
        self.default = default
        self._all = {DEFAULT: default, **(named or {})}
        self._rules: list[tuple[Callable[[str], object], str]] = [
            (compile_pattern(rule.repositories), rule.backend) for rule in rules
        ]
        for _, backend in self._rules:
            self[backend]
        self._find = lru_cache(maxsize=16384)(self._decide)

    @classmethod
    def of(cls, driver: StorageDriver) -> Self:
        """One driver for everything."""
        return cls(Backend.of(driver))

    def __getitem__(self, name: str) -> Backend:
        """Raises BackendUnknown."""
        found = self._all.get(name)
        if found is None:
            raise BackendUnknown(name)
        return found

    @property
    def are_several(self) -> bool:
        """Whether bytes may be anywhere else than in the default backend."""
        return len(self._all) > 1

    def place(self, repository: str) -> str:
        """The backend that takes what is new in the repository."""
        return self._find(repository) if self._rules else DEFAULT

    def _decide(self, repository: str) -> str:
        return next((backend for fits, backend in self._rules if fits(repository)), DEFAULT)

    @property
    def all(self) -> Mapping[str, Backend]:
        """By the name that the database has; the default first."""
        return self._all

    async def open(self) -> None:
        """Raises StorageError, and has closed what it opened then."""
        async with AsyncExitStack() as stack:
            for backend in self._all.values():
                await backend.driver.open()
                stack.push_async_callback(backend.driver.close)
            stack.pop_all()

    async def close(self) -> None:
        """Every driver, also when one cannot be closed."""
        async with AsyncExitStack() as stack:
            for backend in self._all.values():
                stack.push_async_callback(backend.driver.close)


def shown(name: str) -> str:
    """How a person reads and writes the name of a backend."""
    return name or DEFAULT_NAME


def stored(name: str) -> str:
    """The name that the database has, from the one that a person writes."""
    return DEFAULT if name == DEFAULT_NAME else name
