"""Two registries for every client test: Debian's distribution and Longshore itself."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from longshore.client.connection import Connection
from longshore.client.credentials import Anonymous, Credential, OneCredential
from longshore.client.registry import RegistryClient
from tests.services.certificates import Authority
from tests.services.programs import program
from tests.services.registries import ALICE, Registry, RegistryFactory, server_program

SERVERS = ("docker-registry", "longshore")

#: Starts, or finds, a shared registry of a kind: open, login (a password), secure (TLS as well).
Peers = Callable[[str], Registry]


@pytest.fixture(scope="session", params=SERVERS)
def peers(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    authority: Authority,
) -> Iterator[Peers]:
    """The registries of one program by kind, each started when it is first wanted."""
    factory = peer_factory(request.param, tmp_path_factory.mktemp(request.param), authority)
    started: dict[str, Registry] = {}

    def get(kind: str) -> Registry:
        if kind not in started:
            login = None if kind == "open" else ALICE
            started[kind] = factory(login=login, tls=kind == "secure")
        return started[kind]

    yield get
    factory.close()


def peer_factory(server: str, directory: Path, authority: Authority) -> RegistryFactory:
    """A factory for the registries of one program."""
    named = server_program() if server == "longshore" else program(server)
    return RegistryFactory(directory, authority, named)


@pytest.fixture
def open_peer(peers: Peers) -> Registry:
    """A registry over plain HTTP that lets anybody in."""
    return peers("open")


@pytest.fixture(params=["open", "login", "secure"])
def peer(request: pytest.FixtureRequest, peers: Peers) -> Registry:
    """Each kind of registry in turn."""
    return peers(request.param)


@pytest.fixture
async def clients() -> AsyncIterator["Clients"]:
    """Opens clients that are closed with the test."""
    async with AsyncExitStack() as stack:
        yield Clients(stack)


class Clients:
    """Opens clients of test registries."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def __call__(
        self, registry: Registry, *, host: str | None = None, login: bool = True, **more: object
    ) -> RegistryClient:
        """A client that trusts the registry's authority and knows its login."""
        ca = registry.authority.certificate if registry.authority else None
        who = registry.login if login else None
        credentials = OneCredential(Credential(who.user, who.password)) if who else Anonymous()
        connection = Connection(ca=ca, certificate_directories=(), **more)  # type: ignore[arg-type]
        client = RegistryClient(
            host or registry.host, credentials=credentials, connection=connection
        )
        return await self._stack.enter_async_context(client)
