"""The azure driver when the way to the service breaks."""

import asyncio
import uuid
from typing import Any

import pytest
from azure.storage.blob.aio import _download_async

from longshore.storage import azure
from longshore.storage.azure import AzureStore
from longshore.storage.driver import StorageDriver
from longshore.storage.objects import ObjectDriver
from longshore.testing.faulty_proxy import Refusal
from longshore.testing.storage_faults import Address, FaultContract
from longshore.testing.storage_fixtures import MIB
from tests.services.azurite import ACCOUNT, Azurite
from tests.storage.test_azure import settings

pytestmark = [pytest.mark.anyio, pytest.mark.service]


def says(status: int, code: str) -> Refusal:
    return Refusal(status, f"<Error><Code>{code}</Code><Message>Not now</Message></Error>".encode())


class Impatient:
    """Stands for asyncio where the SDK waits a second before it reads a piece again."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 100)


class TestAzureFaults(FaultContract):
    busy = (says(503, "ServerBusy"), Refusal(429), says(500, "OperationTimedOut"))
    large = MIB + 4096

    @pytest.fixture
    def service(
        self, azurite: Azurite, container: str, patience: float, monkeypatch: pytest.MonkeyPatch
    ) -> Address:
        monkeypatch.setattr(azure, "READ_TIMEOUT", patience)
        monkeypatch.setattr(azure, "COPY_TIMEOUT", patience)
        monkeypatch.setattr(azure, "_BLOCK", MIB)
        monkeypatch.setattr(azure, "_PIECE", MIB)
        monkeypatch.setattr(_download_async, "asyncio", Impatient())
        # Before the event loop runs: pydantic looks for its plugins when the first is made.
        self.given = settings("", max_retries=3)
        return "127.0.0.1", azurite.port

    async def connect(self, address: str) -> StorageDriver:
        given = self.given.model_copy(update={"serviceurl": f"http://{address}/{ACCOUNT}"})
        driver = ObjectDriver(AzureStore(given), f"/faults/{uuid.uuid4().hex}")
        await driver.open()
        return driver
