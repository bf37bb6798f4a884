"""The s3 driver when the way to the service breaks."""

import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.retries.standard import ExponentialBackoff

from longshore.storage.driver import StorageDriver
from longshore.storage.objects import ObjectDriver
from longshore.storage.s3 import S3Store
from longshore.storage.s3_settings import S3Settings
from longshore.testing.faulty_proxy import Refusal
from longshore.testing.storage_faults import Address, FaultContract
from tests.services.ceph import Ceph
from tests.storage.test_s3 import settings

pytestmark = [pytest.mark.anyio, pytest.mark.service]


def says(status: int, code: str) -> Refusal:
    return Refusal(status, f"<Error><Code>{code}</Code><Message>Not now</Message></Error>".encode())


class Impatient(S3Settings):
    """Waits some seconds for an answer."""

    patience: float = 1

    @property
    def client_options(self) -> Mapping[str, Any]:
        return {**super().client_options, "read_timeout": self.patience}


class TestS3Faults(FaultContract):
    busy = (says(503, "SlowDown"), says(429, "TooManyRequests"), says(500, "InternalError"))

    @pytest.fixture
    def service(
        self, ceph: Ceph, bucket: str, patience: float, monkeypatch: pytest.MonkeyPatch
    ) -> Address:
        monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda _self, _context: 0.01)
        monkeypatch.setattr("longshore.storage.s3_client.FIRST_WAIT", 0.01)
        # Before the event loop runs: pydantic looks for its plugins when the first is made.
        given = settings(ceph)
        options = {name: getattr(given, name) for name in S3Settings.model_fields}
        self.given = Impatient(patience=patience, **options)
        return "127.0.0.1", ceph.port

    async def connect(self, address: str) -> StorageDriver:
        given = self.given.model_copy(update={"regionendpoint": f"http://{address}"})
        driver = ObjectDriver(S3Store(given), f"/faults/{uuid.uuid4().hex}")
        await driver.open()
        return driver
