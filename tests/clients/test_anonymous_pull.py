"""One switch opens pulling to everybody: stock clients pull without a login and push with one.

Docker's classic image store is why the challenge is Bearer there: after a Basic challenge it
refuses to pull without credentials, and without a challenge it never logs in.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.certificates import Authority
from tests.services.docker_engine import BASE_IMAGE, DockerEngine
from tests.services.images import single_image
from tests.services.programs import Shell
from tests.services.registries import ALICE, Registry, RegistryFactory

pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]

PUBLIC = {"longshore": {"access": {"anonymouspull": True}}}
LOGIN = f"{ALICE.user}:{ALICE.password}"


@pytest.fixture(scope="module")
def public_registry(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[Registry]:
    factory = RegistryFactory(tmp_path_factory.mktemp("public"), authority)
    yield factory(PUBLIC, login=ALICE)
    factory.close()


@pytest.fixture
def reference(public_registry: Registry, repository: str) -> str:
    return f"{public_registry.host}/{repository}:v1"


def test_docker(
    shell: Shell,
    docker_engine: DockerEngine,
    docker_client: str,
    public_registry: Registry,
    reference: str,
) -> None:
    docker = shell.with_env(DOCKER_HOST=docker_engine.address)
    options = ["-u", ALICE.user, "--password-stdin", public_registry.host]
    docker(docker_client, "tag", BASE_IMAGE, reference)

    docker.refused(docker_client, "push", reference)
    docker.refused(docker_client, "login", *options, stdin="wrong")
    docker(docker_client, "login", *options, stdin=ALICE.password)
    docker(docker_client, "push", reference)
    docker(docker_client, "logout", public_registry.host)
    docker(docker_client, "rmi", reference)
    docker(docker_client, "pull", reference)
    docker.refused(docker_client, "push", reference)
    docker(docker_client, "rmi", reference)


def test_crane(shell: Shell, public_registry: Registry, reference: str, tmp_path: Path) -> None:
    digest = single_image(tmp_path / "image")
    login = ["auth", "login", "-u", ALICE.user, "--password-stdin", public_registry.host]

    shell.refused("crane", "push", tmp_path / "image", reference)
    shell("crane", *login, stdin=ALICE.password)
    shell("crane", "push", tmp_path / "image", reference)
    shell("crane", "auth", "logout", public_registry.host)
    assert shell("crane", "digest", reference).out.strip() == digest
    shell("crane", "validate", "--remote", reference)


def test_skopeo(shell: Shell, reference: str, tmp_path: Path) -> None:
    single_image(tmp_path / "image")
    image, plain = f"oci:{tmp_path / 'image'}:latest", "tls-verify=false"
    push = ["copy", f"--dest-{plain}", image, f"docker://{reference}"]

    shell.refused("skopeo", *push)
    shell.refused("skopeo", *push, f"--dest-creds={ALICE.user}:wrong")
    shell("skopeo", *push, f"--dest-creds={LOGIN}")
    shell("skopeo", "copy", f"--src-{plain}", f"docker://{reference}", f"oci:{tmp_path / 'back'}:x")
    shell("skopeo", "inspect", f"--{plain}", f"--creds={LOGIN}", f"docker://{reference}")


def test_regctl(shell: Shell, public_registry: Registry, reference: str, tmp_path: Path) -> None:
    digest = single_image(tmp_path / "image")
    host = public_registry.host
    push = ["image", "copy", f"ocidir://{tmp_path / 'image'}:latest", reference]
    login = ["registry", "login", host, "-u", ALICE.user, "--pass-stdin"]
    shell("regctl", "registry", "set", host, "--skip-check", "--tls=disabled")

    shell.refused("regctl", *push)
    shell.refused("regctl", *login, stdin="wrong")
    shell("regctl", *login, stdin=ALICE.password)
    shell("regctl", *push)
    shell("regctl", "registry", "logout", host)
    assert shell("regctl", "image", "digest", reference).out.strip() == digest


def test_oras(shell: Shell, public_registry: Registry, reference: str) -> None:
    (shell.home / "hello.txt").write_text("hello")
    login = ["login", public_registry.host, "--plain-http", "-u", ALICE.user, "--password-stdin"]

    shell.refused("oras", "push", "--plain-http", reference, "hello.txt")
    shell.refused("oras", *login, stdin="wrong")
    shell("oras", *login, stdin=ALICE.password)
    shell("oras", "push", "--plain-http", reference, "hello.txt")
    shell("oras", "logout", public_registry.host)
    shell("oras", "pull", "--plain-http", reference, "-o", "back")
    assert (shell.home / "back" / "hello.txt").read_text() == "hello"
    shell.refused("oras", "manifest", "delete", "--plain-http", "--force", reference)
