"""Azurite, which speaks the protocol of Azure Blob Storage and checks its signatures."""

import asyncio
import base64
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL

import pytest
import yaml
from azure.storage.blob.aio import ContainerClient

from tests.services.certificates import Authority
from tests.services.processes import Service, free_port, listening
from tests.services.programs import PROJECT, program, search_path

ACCOUNT, KEY = "tests", base64.b64encode(b"a key of the tests").decode()
_OWN = (ACCOUNT, KEY)


def _of_the_example() -> tuple[str, str]:
    example = yaml.safe_load((PROJECT / "examples" / "azure.yml").read_text())["storage"]["azure"]
    return example["accountname"], example["accountkey"]


class Azurite:
    """A running server with two accounts: that of the tests, and that of examples/azure.yml. Objects are in memory and gone at the end."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.port = free_port()
        accounts = ";".join(f"{name}:{key}" for name, key in (_OWN, _of_the_example()))
        self.service = Service(
            "azurite",
            [
                program("azurite-blob"), "--blobHost", "127.0.0.1", "--blobPort", str(self.port),
                "--inMemoryPersistence", "--extentMemoryLimit", "12288",
                "--silent", "--disableTelemetry", "--skipApiVersionCheck", *options,
            ],
            directory / "azurite.out",
            env={**os.environ, "PATH": search_path(), "AZURITE_ACCOUNTS": accounts},
        )  # fmt: skip
        self.scheme = "https" if options else "http"
        self.service.wait_until(lambda: listening(self.port), 60)

    @property
    def url(self) -> str:
        """Where the account of the tests is."""
        return self.account_url(ACCOUNT)

    def account_url(self, account: str) -> str:
        """Where an account is."""
        return f"{self.scheme}://127.0.0.1:{self.port}/{account}"


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """An Azurite on loopback, one per session (and per xdist worker)."""
    program("azurite-blob")
    with tempfile.TemporaryDirectory(prefix="longshore-azurite-") as directory:
        running = Azurite(Path(directory))
        try:
            yield running
        finally:
            running.service.stop(SIGKILL)


@pytest.fixture(scope="session")
def container(azurite: Azurite) -> str:
    """A container that exists."""
    asyncio.run(create_container(azurite, "longshore"))
    return "longshore"


@pytest.fixture(scope="session")
def container_of_the_example(azurite: Azurite) -> str:
    """The container that examples/azure.yml names."""
    asyncio.run(create_container(azurite, "images", *_of_the_example()))
    return "images"


@pytest.fixture
def azurite_with_tokens(authority: Authority, tmp_path: Path) -> Iterator[Azurite]:
    """An Azurite over TLS that takes tokens besides keys, with a container."""
    pair = authority.issue("127.0.0.1")
    running = Azurite(
        tmp_path, "--oauth", "basic", "--cert", str(pair.certificate), "--key", str(pair.key)
    )
    try:
        asyncio.run(create_container(running, "longshore"))
        yield running
    finally:
        running.service.stop(SIGKILL)


def bearer_token() -> str:
    """A token as Entra ID writes them; Azurite looks at everything but its signature."""
    now = int(time.time())
    claims = {
        "aud": "https://storage.azure.com", "iss": "https://sts.windows.net/tenant/",
        "iat": now - 60, "nbf": now - 60, "exp": now + 3600, "oid": "object", "tid": "tenant",
    }  # fmt: skip
    parts = [{"alg": "RS256", "typ": "JWT"}, claims]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    return b".".join([*encoded, b"c2lnbmVk"]).decode()


async def create_container(
    azurite: Azurite, name: str, account: str = ACCOUNT, key: str = KEY
) -> None:
    """Make a container."""
    keys = {"account_name": account, "account_key": key}
    url = azurite.account_url(account)
    async with ContainerClient(url, name, keys, connection_verify=False) as client:
        await client.create_container()
