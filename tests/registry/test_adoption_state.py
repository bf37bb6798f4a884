"""What the installation remembers of the adoption of another registry's data."""

from functools import partial

import pytest

from longshore.registry import store
from longshore.registry.model import AdoptionState

pytestmark = pytest.mark.anyio


async def test_an_adoption_that_nobody_began_is_not_started(registry):
    assert await registry.database.read(store.adoption_state) is AdoptionState.NOT_STARTED


async def test_the_newest_state_of_an_adoption_is_remembered(registry):
    for state in (AdoptionState.RUNNING, AdoptionState.FINISHED, AdoptionState.RUNNING):
        await registry.database.write(partial(store.set_adoption_state, state=state))

        assert await registry.database.read(store.adoption_state) is state
