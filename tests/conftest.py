"""Fixtures for every test: the event loop, its guard, and the real programs."""

import logging
from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import settings

from longshore.telemetry.logs import Handler

# How long an example may take says more about the machine than about the code.
settings.register_profile("longshore", deadline=None)
settings.load_profile("longshore")

# A module before those that import it, or pytest cannot rewrite its assertions.
pytest_plugins = [
    "tests.services.programs",
    "tests.services.processes",
    "tests.services.certificates",
    "tests.services.postgres",
    "tests.services.ceph",
    "tests.services.swift",
    "tests.services.oss",
    "tests.services.azurite",
    "tests.services.faulty_proxy",
    "tests.services.gcs",
    "tests.services.images",
    "tests.services.registries",
    "tests.services.nginx",
    "tests.services.oidc_provider",
    "tests.services.issuer",
    "tests.services.docker_engine",
    "tests.services.openldap",
    "tests.services.samba",
    "tests.services.rsyslog",
    "tests.services.in_process",
    "tests.services.management",
]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes gigabytes and minutes runs only when it is asked for."""
    if "large" not in config.option.markexpr:
        large = [item for item in items if item.get_closest_marker("large")]
        config.hook.pytest_deselected(items=large)
        items[:] = [item for item in items if item not in large]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The server runs on asyncio only; so do its tests."""
    return "asyncio"


@pytest.fixture(autouse=True)
def no_log_of_another_test() -> None:
    """A registry in process sends the log of its process to standard error: not of what follows."""
    root = logging.getLogger()
    for handler in [found for found in root.handlers if isinstance(found, Handler)]:
        root.removeHandler(handler)
        root.setLevel(logging.WARNING)
        logging.captureWarnings(False)


@pytest.fixture(autouse=True)
def no_blocking_calls(request: pytest.FixtureRequest) -> Iterator[BlockBuster | None]:
    """A blocking call made by the package inside the event loop fails the test that made it."""
    if request.node.get_closest_marker("anyio") is None:
        yield None
        return
    with blockbuster_ctx("longshore") as guard:
        # Reads shared memory, microseconds: see its docstring.
        guard.functions["sqlite3.Cursor.execute"].can_block_in(
            "longshore/db/database.py", {"generation"}
        )
        for function in guard.functions.values():  # before the first request: see its docstring
            function.can_block_in("longshore/storage/s3.py", {"open"})
        yield guard
