"""Podman and Buildah: build, push, pull and run, with a private authority."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.images import (
    DOCKER_MANIFEST,
    MANIFEST,
    busybox_files,
    multi_platform_image,
    tar,
)
from tests.services.programs import Shell, root_only
from tests.services.registries import ALICE, Registry

pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]

# Raising the limits of a container's processes is not always allowed, so ask for little.
LIMITS = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096")
# crun does not run on machines that have both versions of control groups.
ENGINE = ("--cgroup-manager=cgroupfs", "--runtime=runc")
CONTAINERFILE = "FROM scratch\nADD root.tar /\nRUN echo built > /made\nCMD cat /made\n"


class Podman:
    """podman and buildah with a storage of their own."""

    def __init__(self, shell: Shell, storage: Path) -> None:
        self.shell = shell
        self.storage = [
            *(f"--root={storage / 'root'}", f"--runroot={storage / 'run'}"),
            "--storage-driver=overlay",
        ]

    def __call__(self, *args: str | Path) -> str:
        """Run podman; it must succeed."""
        return self.shell("podman", *self._globals(), *args).out

    def refused(self, *args: str | Path) -> str:
        """Run podman; it must fail."""
        return self.shell.refused("podman", *self._globals(), *args).err

    def buildah(self, *args: str | Path) -> str:
        """Run buildah; it must succeed."""
        return self.shell("buildah", *self.storage, *args).out

    def _globals(self) -> list[str]:
        return [*self.storage, "--events-backend=file", *ENGINE]


def access(registry: Registry) -> list[str]:
    """The options with which podman and buildah reach the registry."""
    options = [f"--creds={registry.login.user}:{registry.login.password}"] if registry.login else []
    if registry.authority:
        return [*options, f"--cert-dir={registry.authority.certificate.parent}"]
    return [*options, "--tls-verify=false"]


@pytest.fixture(scope="module")
def storage() -> Iterator[Path]:
    """Where images are kept; a short path, because sockets are made in it."""
    root_only("podman and buildah run as root here")
    with tempfile.TemporaryDirectory(prefix="longshore-podman-") as directory:
        yield Path(directory)


@pytest.fixture
def podman(shell: Shell, storage: Path) -> Iterator[Podman]:
    """podman with a storage of its own, empty again after the test."""
    podman = Podman(shell, storage)
    yield podman
    podman("rmi", "--all", "--force")


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A directory to build an image from."""
    directory = tmp_path / "context"
    directory.mkdir()
    (directory / "root.tar").write_bytes(tar(busybox_files()))
    (directory / "Containerfile").write_text(CONTAINERFILE)
    return directory


def test_an_image_is_built_pushed_pulled_and_run(
    podman: Podman, registry: Registry, repository: str, context: Path
) -> None:
    name = f"{registry.host}/{repository}:v1"
    podman.buildah("bud", "--quiet", "--isolation=chroot", "--network=host", "-t", name, context)
    podman.buildah("push", "--quiet", *access(registry), name)
    podman("rmi", name)

    podman("pull", "--quiet", *access(registry), name)

    run = podman("run", "--rm", "--network=host", *LIMITS, name)
    assert run == "built\n"


def test_an_image_is_pushed_in_dockers_format_and_as_oci(
    podman: Podman, open_registry: Registry, repository: str, context: Path
) -> None:
    name = f"{open_registry.host}/{repository}"
    podman.buildah("bud", "-q", "--isolation=chroot", "--network=host", "-t", name, context)
    for kind in ("v2s2", "oci"):
        podman(
            "push", "--quiet", *access(open_registry), f"--format={kind}", name, f"{name}:{kind}"
        )

    with open_registry.client() as client:
        stored = [client.get(f"/v2/{repository}/manifests/{kind}") for kind in ("v2s2", "oci")]

    assert [answer.headers["Content-Type"] for answer in stored] == [DOCKER_MANIFEST, MANIFEST]


def test_a_manifest_list_is_made_and_pushed_with_its_images(
    podman: Podman, registry: Registry, repository: str, tmp_path: Path
) -> None:
    _, images = multi_platform_image(tmp_path / "image")
    name = f"{registry.host}/{repository}:list"
    podman("manifest", "create", name)
    podman("manifest", "add", "--all", name, f"oci:{tmp_path / 'image'}:latest")

    podman("manifest", "push", "--all", "--quiet", *access(registry), name, f"docker://{name}")
    podman("manifest", "rm", name)

    with registry.client() as client:
        pushed = client.get(f"/v2/{repository}/manifests/list").json()
    assert {each["digest"] for each in pushed["manifests"]} == set(images.values())
    podman("pull", "--quiet", "--arch=arm64", *access(registry), name)


def test_a_login_is_kept_and_forgotten(
    podman: Podman, secure_registry: Registry, repository: str, tmp_path: Path
) -> None:
    assert secure_registry.authority
    trust = f"--cert-dir={secure_registry.authority.certificate.parent}"
    pull = ["pull", trust, f"{secure_registry.host}/{repository}:v1"]
    login = ["login", trust, "-u", ALICE.user, "-p", ALICE.password, secure_registry.host]

    podman(*login)
    logged_in = podman.refused(*pull)
    podman("logout", secure_registry.host)
    logged_out = podman.refused(*pull)

    assert "manifest unknown" in logged_in or "name unknown" in logged_in
    assert "authentication required" in logged_out


def test_a_wrong_password_is_refused(podman: Podman, secure_registry: Registry) -> None:
    assert secure_registry.authority
    trust = f"--cert-dir={secure_registry.authority.certificate.parent}"

    answer = podman.refused("login", trust, "-u", ALICE.user, "-p", "guess", secure_registry.host)

    assert "invalid username/password" in answer


def test_a_certificate_of_an_unknown_authority_is_refused(
    podman: Podman, secure_registry: Registry, repository: str
) -> None:
    login = f"--creds={ALICE.user}:{ALICE.password}"

    answer = podman.refused("pull", login, f"{secure_registry.host}/{repository}:v1")

    assert "certificate signed by unknown authority" in answer
