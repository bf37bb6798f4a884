"""The swift driver when the way to the service breaks."""

import uuid

import pytest

from longshore.storage import swift as swift_module
from longshore.storage import swift_requests
from longshore.storage.driver import StorageDriver
from longshore.testing.faulty_proxy import Refusal
from longshore.testing.storage_faults import Address, FaultContract
from longshore.testing.storage_fixtures import MIB
from tests.services.swift import Swift
from tests.storage.test_swift import opened, settings

pytestmark = [pytest.mark.anyio, pytest.mark.service]


class TestSwiftFaults(FaultContract):
    large = MIB + 65_536
    busy = (Refusal(503), Refusal(498), Refusal(429))

    @pytest.fixture
    def service(self, swift: Swift, patience: float, monkeypatch: pytest.MonkeyPatch) -> Address:
        monkeypatch.setattr(swift_requests, "FIRST_WAIT", 0.01)
        monkeypatch.setattr(swift_requests, "SILENCE", patience)
        monkeypatch.setattr(swift_requests, "LONG_SILENCE", 2 * patience)
        # So that small objects have segments.
        monkeypatch.setattr(swift_module, "_COPY", MIB)
        monkeypatch.setattr(swift_module, "MINIMUM_PART", MIB // 4)
        self.given = settings(swift, prefix=f"/faults/{uuid.uuid4().hex}")
        return "127.0.0.1", swift.port

    async def connect(self, address: str) -> StorageDriver:
        # TempAuth tells the address of the account as the client named the server.
        return await opened(
            self.given.model_copy(update={"authurl": f"http://{address}/auth/v1.0"})
        )
