"""An emulator of Google Cloud Storage (fake-gcs-server), and a service account that it does not check."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.services.processes import Service, free_port, listening
from tests.services.programs import program

ACCOUNT = "registry@project.iam.gserviceaccount.com"


class GCS:
    """A running emulator. Objects are in memory and gone at the end."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        host = f"127.0.0.1:{self.port}"
        self.url = f"http://{host}"
        self._service = Service(
            "fake-gcs-server",
            [
                program("fake-gcs-server"),
                "-scheme=http", "-backend=memory", "-log-level=warn",
                "-host=127.0.0.1", f"-port={self.port}",
                f"-public-host={host}", f"-external-url={self.url}",
            ],
            directory / "fake-gcs-server.log",
        )  # fmt: skip
        self._service.wait_until(lambda: listening(self.port))

    def create_bucket(self, name: str) -> str:
        """Make a bucket; its name."""
        reply = httpx.post(f"{self.url}/storage/v1/b?project=tests", json={"name": name})
        assert reply.status_code == httpx.codes.OK, reply.text
        return name

    def stop(self) -> None:
        """End it."""
        self._service.stop()


@pytest.fixture(scope="session")
def gcs() -> Iterator[GCS]:
    """An emulator on loopback, one per session (and per xdist worker)."""
    with tempfile.TemporaryDirectory(prefix="longshore-gcs-") as directory:
        running = GCS(Path(directory))
        try:
            yield running
        finally:
            running.stop()


@pytest.fixture(scope="session")
def gcs_bucket(gcs: GCS) -> str:
    """A bucket that exists."""
    return gcs.create_bucket("longshore")


@pytest.fixture(scope="session")
def service_account() -> dict[str, str]:
    """The content of a key file, with a new key."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {
        "type": "service_account",
        "project_id": "project",
        "private_key_id": "one",
        "private_key": pem,
        "client_email": ACCOUNT,
        "client_id": "1",
        "token_uri": "http://127.0.0.1:9/token",
    }


@pytest.fixture(scope="session")
def gcs_keyfile(service_account: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key file of a service account."""
    path = tmp_path_factory.mktemp("gcs") / "key.json"
    path.write_text(json.dumps(service_account))
    return path
