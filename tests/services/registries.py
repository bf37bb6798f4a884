"""A registry process with the configuration a test wants.

The program is `longshore serve CONFIG`; any other that takes distribution's config.yml can stand
in its place: LONGSHORE_TEST_SERVER=docker-registry runs the same tests against distribution.
"""

import base64
import os
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import pytest
import yaml

from tests.services.certificates import Authority
from tests.services.images import DOCKER_LIST, DOCKER_MANIFEST, INDEX, MANIFEST
from tests.services.processes import Service, free_port
from tests.services.programs import program

Config = dict[str, Any]


@dataclass(frozen=True)
class Login:
    """Who a client says it is."""

    user: str
    password: str


ALICE = Login("alice", "wonder land")


@dataclass(frozen=True)
class Registry:
    """A running registry: `host` is its host and port, as written before an image's name."""

    host: str
    service: Service
    directory: Path
    login: Login | None = None
    authority: Authority | None = None

    @property
    def url(self) -> str:
        """Where the registry answers, without a slash at the end."""
        return f"{'https' if self.authority else 'http'}://{self.host}"

    def client(self, *, login: bool = True) -> httpx.Client:
        """A plain HTTP client, logged in unless told otherwise; to be closed by the caller."""
        auth = (self.login.user, self.login.password) if login and self.login else None
        verify = self.authority.client_context() if self.authority else False
        headers = {"Accept": ", ".join([MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_LIST, "*/*"])}
        return httpx.Client(
            base_url=self.url, auth=auth, verify=verify, headers=headers, timeout=60
        )

    def authorization(self) -> dict[str, str]:
        """The header that says who is asking, for requests made by hand."""
        if self.login is None:
            return {}
        secret = base64.b64encode(f"{self.login.user}:{self.login.password}".encode()).decode()
        return {"Authorization": f"Basic {secret}"}

    def answers(self) -> bool:
        """Whether the API is served yet."""
        try:
            with self.client() as client:
                return client.get("/v2/").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


def server_program() -> str:
    """The program under test: beside this Python, or the one named by LONGSHORE_TEST_SERVER."""
    named = os.environ.get("LONGSHORE_TEST_SERVER")
    return program(named) if named else str(Path(sys.executable).with_name("longshore"))


def htpasswd_line(login: Login) -> str:
    """A line of a password file; the cost is low because these are tests."""
    digest = bcrypt.hashpw(login.password.encode(), bcrypt.gensalt(4))
    return f"{login.user}:{digest.decode()}\n"


def merge(config: Config, more: Mapping[str, Any]) -> Config:
    """`config` with `more` laid over it, section by section; None takes a key away."""
    result = dict(config)
    for key, value in more.items():
        below = result.get(key)
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(below, value) if isinstance(below, dict) else value
    return result


def base_config(directory: Path, host: str) -> Config:
    """What every registry of the tests has; it is a config.yml of distribution."""
    return {
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": False}},
        "storage": {
            "filesystem": {"rootdirectory": str(directory / "data")},
            "delete": {"enabled": True},
        },
        "http": {"addr": host, "draintimeout": "10s"},
    }


class RegistryFactory:
    """Starts registries and ends those it started; `server` is another program to start."""

    def __init__(self, directory: Path, authority: Authority, server: str | None = None) -> None:
        self.directory = directory
        self.server = server
        self.authority = authority
        self._started: list[Registry] = []

    def __call__(
        self,
        more: Mapping[str, Any] | None = None,
        *,
        login: Login | None = None,
        tls: bool = False,
        directory: Path | None = None,
        env: Mapping[str, str] | None = None,
        address: str = "127.0.0.1",
        wrap: Sequence[str] = (),
        ready: Callable[[Registry], bool] = Registry.answers,
    ) -> Registry:
        """Start one: `more` is laid over the configuration, `login` and `tls` switch those on.

        `directory` lets a registry go on with the data of another one that was stopped. `wrap`
        goes before the command line: it may move the process to a namespace where it has
        `address`, and then `ready` must find out in another way whether it answers.
        """
        directory = directory or self.directory / uuid.uuid4().hex[:8]
        directory.mkdir(parents=True, exist_ok=True)
        host = f"{address}:{free_port()}"
        config = base_config(directory, host)
        if login:
            passwords = directory / "htpasswd"
            passwords.write_text(htpasswd_line(login))
            config["auth"] = {"htpasswd": {"realm": "tests", "path": str(passwords)}}
        if tls:
            pair = self.authority.issue(address, "localhost")
            config["http"]["tls"] = {"certificate": str(pair.certificate), "key": str(pair.key)}
        path = directory / "config.yml"
        path.write_text(yaml.safe_dump(merge(config, more or {}), sort_keys=False))
        argv = (*wrap, self.server or server_program(), "serve", str(path))
        # A killed server leaves its temporary files: let them lie where pytest clears up.
        environment = {**os.environ, "TMPDIR": str(directory), **(env or {})}
        service = Service(f"registry on {host}", argv, directory / "log", env=environment)
        authority = self.authority if tls else None
        registry = Registry(host, service, directory, login, authority)
        self._started.append(registry)
        service.wait_until(lambda: ready(registry))
        return registry

    def stop(self, registry: Registry) -> None:
        """End a registry as an init system would: it must end by itself, with code 0."""
        self._started.remove(registry)
        registry.service.stop_cleanly()

    def close(self) -> None:
        """End whatever still runs; all are ended before a complaint about one is raised."""
        codes = {
            registry.service.name: (registry.service.stop(), registry.service.tail(15))
            for registry in self._started
            if registry.service.process.poll() is None
        }
        self._started.clear()
        for name, (code, tail) in codes.items():
            assert code == 0, f"{name} ended with code {code} after SIGTERM:\n{tail}"


@pytest.fixture(scope="session")
def shared_registries(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[Callable[[str], Registry]]:
    """Long-lived registries by kind: open, login (a password), secure (TLS and a password)."""
    factory = RegistryFactory(tmp_path_factory.mktemp("registries"), authority)
    started: dict[str, Registry] = {}

    def get(kind: str) -> Registry:
        if kind not in started:
            login = None if kind == "open" else ALICE
            started[kind] = factory(login=login, tls=kind == "secure")
        return started[kind]

    yield get
    factory.close()


@pytest.fixture
def open_registry(shared_registries: Callable[[str], Registry]) -> Registry:
    """A registry over plain HTTP that lets anybody in; shared, so use a repository of your own."""
    return shared_registries("open")


@pytest.fixture
def login_registry(shared_registries: Callable[[str], Registry]) -> Registry:
    """A registry over plain HTTP that wants a password; shared."""
    return shared_registries("login")


@pytest.fixture
def secure_registry(shared_registries: Callable[[str], Registry]) -> Registry:
    """A registry over TLS, of a private authority, that wants a password; shared."""
    return shared_registries("secure")


@pytest.fixture
def registry_factory(tmp_path: Path, authority: Authority) -> Iterator[RegistryFactory]:
    """Starts registries of the test's own; they end with the test, and must end cleanly."""
    factory = RegistryFactory(tmp_path / "registries", authority)
    yield factory
    factory.close()


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> str:
    """The name of a repository that nobody else uses."""
    words = request.node.originalname.removeprefix("test_").split("_")
    return f"{'-'.join(words[:4])}/{uuid.uuid4().hex[:8]}"
