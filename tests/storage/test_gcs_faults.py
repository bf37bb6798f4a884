"""The gcs driver when the way to the service breaks.

What a chunk of a large upload needs is not here but in test_gcs_protocol.py: the emulator takes bytes
that it has got already for new ones.
"""

import uuid

import pytest
import tenacity

from longshore.storage import gcs_requests
from longshore.storage.driver import StorageDriver
from longshore.storage.gcs import GCSStore
from longshore.storage.objects import ObjectDriver
from longshore.testing.faulty_proxy import Refusal
from longshore.testing.storage_faults import Address, FaultContract
from longshore.testing.storage_fixtures import MIB
from tests.services.gcs import GCS
from tests.storage.test_gcs import settings

pytestmark = [pytest.mark.anyio, pytest.mark.service]


def says(status: int, reason: str) -> Refusal:
    body = f'{{"error": {{"errors": [{{"reason": "{reason}"}}], "message": "Not now"}}}}'
    return Refusal(status, body.encode(), "application/json")


class TestGCSFaults(FaultContract):
    busy = (says(503, "backendError"), Refusal(429), says(403, "userRateLimitExceeded"))
    large = MIB + 4096

    @pytest.fixture
    def service(
        self, gcs: GCS, gcs_bucket: str, patience: float, monkeypatch: pytest.MonkeyPatch
    ) -> Address:
        monkeypatch.setattr(gcs_requests, "_READ", patience)
        monkeypatch.setattr(gcs_requests, "_PAUSE", tenacity.wait_fixed(0.01))
        # Before the event loop runs: pydantic looks for its plugins when the first is made.
        self.given = settings(gcs)
        return "127.0.0.1", gcs.port

    async def connect(self, address: str) -> StorageDriver:
        given = self.given.model_copy(update={"endpoint": f"http://{address}"})
        driver = ObjectDriver(GCSStore(given), f"/faults/{uuid.uuid4().hex}")
        await driver.open()
        return driver
