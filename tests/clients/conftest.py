"""What the tests with stock clients share."""

from collections.abc import Callable

import pytest

from tests.services.registries import Registry


@pytest.fixture(params=["open", "login", "secure"])
def registry(
    request: pytest.FixtureRequest, shared_registries: Callable[[str], Registry]
) -> Registry:
    """Each of the three shared registries in turn."""
    return shared_registries(request.param)
