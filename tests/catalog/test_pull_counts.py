"""Pulls are counted in memory and written now and then, however many come meanwhile."""

from functools import partial
from typing import Any

import pytest

from longshore.catalog.pulls import PullCounts
from longshore.oci.digest import Digest
from longshore.oci.names import RepositoryName, Tag
from tests.services.management import IMAGE

pytestmark = pytest.mark.anyio

DIGEST = Digest(IMAGE.manifest.digest)


class PulledMeanwhile:
    """A database that takes writes, during each of which there is another pull."""

    def __init__(self):
        self.pull: Any = None
        self.writes = 0

    async def write(self, work, *, durable=True):
        assert isinstance(work, partial)
        self.writes += 1
        assert self.writes < 10, "it writes without end"
        self.pull()


async def test_what_is_pulled_during_a_write_waits_for_the_next_one():
    database: Any = PulledMeanwhile()
    counts = PullCounts(database)
    database.pull = partial(counts.pulled, RepositoryName("team/app"), DIGEST, Tag("v1"))
    database.pull()

    await counts.flush()
    assert database.writes == 1
    await counts.flush()
    assert database.writes == 2
