"""Fixtures for every test: the event loop, its guard, and the real programs."""

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import settings

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
    "tests.services.images",
    "tests.services.registries",
    "tests.services.nginx",
    "tests.services.docker_engine",
    "tests.services.in_process",
]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The server runs on asyncio only; so do its tests."""
    return "asyncio"


@pytest.fixture(autouse=True)
def no_blocking_calls(request: pytest.FixtureRequest) -> Iterator[BlockBuster | None]:
    """A blocking call made by the package inside the event loop fails the test that made it."""
    if request.node.get_closest_marker("anyio") is None:
        yield None
        return
    with blockbuster_ctx("longshore") as guard:
        for name in ("sqlite3.Connection.execute", "sqlite3.Cursor.fetchone"):
            if name in guard.functions:  # reads shared memory, microseconds: see its docstring
                guard.functions[name].can_block_in("longshore/db/database.py", {"generation"})
        for function in guard.functions.values():  # before the first request: see its docstring
            function.can_block_in("longshore/storage/s3.py", {"open"})
        yield guard
