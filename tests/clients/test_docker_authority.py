"""Docker and a private authority, where it matters: not on loopback, which Docker trusts blindly.

The registry and an engine share a network namespace in which the registry has another address;
the engine also has an /etc/docker of its own.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.docker_engine import BASE_IMAGE, CLASSIC_CLIENT, DockerEngine
from tests.services.programs import Shell, missing, root_only
from tests.services.registries import ALICE, Registry, RegistryFactory

pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]

ADDRESS = "10.88.0.1"
NAMESPACE = f'ip link set lo up; ip address add {ADDRESS}/32 dev lo; exec "$@"'
OWN_SETTINGS = 'mkdir -p /etc/docker; mount --bind "$0" /etc/docker; exec "$@"'


def _in_namespace(registry: Registry) -> tuple[str, ...]:
    return ("nsenter", f"--target={registry.service.pid}", "--net")


def _answers(registry: Registry) -> bool:
    own, other = (os.readlink(f"/proc/{pid}/ns/net") for pid in ("self", registry.service.pid))
    if own == other:  # it has not moved yet; asking now would ask a stranger
        return False
    host, port = registry.host.split(":")
    probe = ("bash", "-c", f"</dev/tcp/{host}/{port}")
    return (
        subprocess.run([*_in_namespace(registry), *probe], stderr=subprocess.DEVNULL).returncode
        == 0
    )


@pytest.fixture
def remote_registry(registry_factory: RegistryFactory) -> Registry:
    """A registry over TLS with a password, on an address that is not loopback."""
    root_only("it makes a network namespace")
    if subprocess.run(["unshare", "--net", "--mount", "true"], check=False).returncode != 0:
        missing("network namespaces cannot be made here")
    wrap = ("unshare", "--net", "sh", "-c", NAMESPACE, "sh")
    return registry_factory(login=ALICE, tls=True, address=ADDRESS, wrap=wrap, ready=_answers)


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """What the engine sees as /etc/docker."""
    directory = tmp_path / "etc-docker"
    directory.mkdir()
    return directory


@pytest.fixture
def remote_engine(remote_registry: Registry, settings: Path) -> Iterator[DockerEngine]:
    """An engine beside that registry."""
    own = ("unshare", "--mount", "sh", "-c", OWN_SETTINGS, str(settings))
    with tempfile.TemporaryDirectory(prefix="longshore-docker-") as directory:
        engine = DockerEngine(Path(directory), (*_in_namespace(remote_registry), *own))
        try:
            engine.import_base_image()
            yield engine
        finally:
            engine.stop()


def test_docker_trusts_a_private_authority_once_it_is_told_to(
    shell: Shell, remote_registry: Registry, remote_engine: DockerEngine, settings: Path
) -> None:
    shell = shell.with_env(DOCKER_HOST=remote_engine.address)
    login = ["login", "-u", ALICE.user, "--password-stdin", remote_registry.host]
    name = f"{remote_registry.host}/base:1"
    shell(CLASSIC_CLIENT, "tag", BASE_IMAGE, name)

    unknown = shell.refused(CLASSIC_CLIENT, *login, stdin=ALICE.password)
    assert remote_registry.authority
    trusted = settings / "certs.d" / remote_registry.host
    trusted.mkdir(parents=True)
    trusted.joinpath("ca.crt").symlink_to(remote_registry.authority.certificate)
    shell(CLASSIC_CLIENT, *login, stdin=ALICE.password)
    shell(CLASSIC_CLIENT, "push", name)
    shell(CLASSIC_CLIENT, "rmi", name)
    shell(CLASSIC_CLIENT, "pull", name)

    assert "certificate signed by unknown authority" in unknown.err
