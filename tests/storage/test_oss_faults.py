"""The oss driver when the way to the service breaks."""

import uuid

import pytest

from longshore.storage import oss as oss_module
from longshore.storage import oss_client
from longshore.storage.driver import StorageDriver
from longshore.testing.faulty_proxy import Refusal
from longshore.testing.storage_faults import Address, FaultContract
from longshore.testing.storage_fixtures import MIB
from tests.services.oss import OSS
from tests.storage.test_oss import opened, settings

pytestmark = [pytest.mark.anyio, pytest.mark.service]


def says(status: int, code: str) -> Refusal:
    return Refusal(status, f"<Error><Code>{code}</Code><Message>Not now</Message></Error>".encode())


class TestOSSFaults(FaultContract):
    large = MIB + 131_072
    busy = (
        says(503, "ServiceUnavailable"),
        says(429, "QpsLimitExceeded"),
        says(500, "InternalError"),
    )

    @pytest.fixture
    def service(self, oss: OSS, patience: float, monkeypatch: pytest.MonkeyPatch) -> Address:
        monkeypatch.setattr(oss_client, "FIRST_WAIT", 0.01)
        monkeypatch.setattr(oss_client, "SILENCE", patience)
        # So that small objects have parts.
        monkeypatch.setattr(oss_module, "_COPY", MIB)
        monkeypatch.setattr(oss_module, "MINIMUM_PART", MIB // 4)
        given = settings(oss, rootdirectory=f"/faults/{uuid.uuid4().hex}")
        self.given = given.model_copy(update={"chunksize": MIB})
        return "127.0.0.1", oss.port

    async def connect(self, address: str) -> StorageDriver:
        return await opened(self.given.model_copy(update={"endpoint": address}))
