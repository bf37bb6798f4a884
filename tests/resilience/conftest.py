"""What the tests that try to break a server share."""

import os
import random
import secrets
from collections.abc import Iterator

import pytest

from tests.resilience.disk import SmallDisk, small_disk
from tests.services.certificates import Authority
from tests.services.registries import Registry, RegistryFactory

__all__ = ["SmallDisk", "small_disk"]


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> str:
    """LONGSHORE_TEST_SEED, or a new one; pytest shows what is printed when the test fails."""
    value = os.environ.get("LONGSHORE_TEST_SEED") or secrets.token_hex(4)
    print(f"LONGSHORE_TEST_SEED={value}")  # noqa: T201
    return f"{value} {request.node.name}"


@pytest.fixture
def dice(seed: str) -> random.Random:
    """Chance that can be repeated."""
    return random.Random(seed)


@pytest.fixture(scope="session")
def impatient_registry(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[Registry]:
    """A registry that waits two seconds for a client, and not longer; shared."""
    factory = RegistryFactory(tmp_path_factory.mktemp("impatient"), authority)
    yield factory({"longshore": {"http": {"bodytimeout": "2s", "headertimeout": "2s"}}})
    factory.close()
