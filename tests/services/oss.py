"""A stand-in for Alibaba's OSS on loopback: see :mod:`tests.services.oss_server`."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services import oss_server
from tests.services.processes import Service, free_port, listening

BUCKET, REGION = "longshore", "cn-hangzhou"
KEY_ID, SECRET = "LTAItests", "a-secret-of-the-tests"


class OSS:
    """A running server. Objects are in its memory."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._service = Service(
            "oss",
            [sys.executable, oss_server.__file__, str(self.port), BUCKET, REGION, KEY_ID, SECRET],
            directory / "oss.log",
        )
        self._service.wait_until(lambda: listening(self.port))

    @property
    def endpoint(self) -> str:
        """Host and port; the bucket is in the path."""
        return f"127.0.0.1:{self.port}"

    @property
    def domain(self) -> str:
        """Host and port of a domain that is the bucket's own."""
        return f"localhost:{self.port}"

    def stop(self) -> None:
        self._service.stop()


@pytest.fixture(scope="session")
def oss(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OSS]:
    """One per session (and per xdist worker)."""
    running = OSS(tmp_path_factory.mktemp("oss"))
    try:
        yield running
    finally:
        running.stop()
