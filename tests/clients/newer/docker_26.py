"""Docker 26 with the containerd image store and buildx: what today's machines push.

Run by `make docker-new`; the name keeps it out of the tests that are found by themselves.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.docker_engine import BASE_IMAGE, DockerEngine
from tests.services.images import INDEX
from tests.services.programs import PROJECT, Shell, missing, root_only
from tests.services.registries import Registry

TREE = PROJECT / ".tools" / "debian-13"

# The mounts live in a mount namespace of the engine's own and vanish with it. Unpacking a layer
# remounts `/`, so the tree has to be a mount; with both versions of control groups runc fails.
ENTER = """
set -e
mount --bind "$0" "$0"; mount -t proc proc "$0/proc"
mount --rbind /dev "$0/dev"; mount --rbind /sys "$0/sys"
if mountpoint -q "$0/sys/fs/cgroup/unified"; then umount "$0/sys/fs/cgroup/unified"; fi
exec chroot "$0" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
"""


class Docker:
    """The client of the same version, with the buildx plugin."""

    def __init__(self, shell: Shell, engine: DockerEngine) -> None:
        self.shell = shell.with_env(DOCKER_HOST=engine.address)
        plugins = shell.home / ".docker" / "cli-plugins"
        plugins.mkdir(parents=True)
        shutil.copy(TREE / "usr/libexec/docker/cli-plugins/docker-buildx", plugins)

    def __call__(self, *args: str | Path, stdin: str = "") -> str:
        """Run a command that must succeed; what it printed, on either channel."""
        done = self.shell(str(TREE / "usr/bin/docker"), *args, stdin=stdin, timeout=180)
        return done.out + done.err


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerEngine]:
    """The engine of the Debian 13 tree."""
    root_only("it starts a Docker Engine")
    if not (TREE / ".complete").exists():
        missing("there is no Debian 13 tree: run scripts/install-debian-13-tree")
    enter = ("unshare", "--mount", "--propagation=private", "bash", "-c", ENTER, str(TREE))
    settings = {"features": {"containerd-snapshotter": True}}
    with tempfile.TemporaryDirectory(prefix="docker-", dir=TREE / "srv") as directory:
        engine = DockerEngine(
            Path(directory), enter, root=TREE, settings=settings, storage="overlayfs"
        )
        try:
            engine.import_base_image()
            yield engine
        finally:
            engine.stop()


@pytest.fixture
def docker(shell: Shell, engine: DockerEngine, registry: Registry) -> Docker:
    """The client, logged in to each of the registries in turn."""
    docker = Docker(shell, engine)
    if login := registry.login:
        options = ["-u", login.user, "--password-stdin", registry.host]
        docker("login", *options, stdin=login.password)
    return docker


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A directory to build an image from."""
    directory = tmp_path / "context"
    directory.mkdir()
    (directory / "hello").write_text(f"hello from {tmp_path.name}\n")
    (directory / "Dockerfile").write_text(f"FROM {BASE_IMAGE}\nCOPY hello /\nCMD cat /hello\n")
    (directory / "Dockerfile.any").write_text("FROM scratch\nCOPY hello /\n")
    return directory


def test_an_image_with_provenance_is_built_and_pushed(
    docker: Docker, registry: Registry, repository: str, context: Path
) -> None:
    name = f"{registry.host}/{repository}:v1"

    docker("buildx", "build", "--provenance=mode=max", "--push", "-t", name, context)

    with registry.client() as client:
        stored = client.get(f"/v2/{repository}/manifests/v1")
    platforms = [child["platform"]["os"] for child in stored.json()["manifests"]]
    assert stored.headers["Content-Type"] == INDEX
    assert platforms == ["linux", "unknown"]


def test_an_image_for_two_platforms_is_built_and_pushed(
    docker: Docker, registry: Registry, repository: str, context: Path
) -> None:
    name = f"{registry.host}/{repository}:v1"
    build = ["buildx", "build", "--provenance=false", "--platform=linux/amd64,linux/arm64"]

    docker(*build, "--push", "-t", name, "-f", context / "Dockerfile.any", context)

    with registry.client() as client:
        stored = client.get(f"/v2/{repository}/manifests/v1").json()
    architectures = [child["platform"]["architecture"] for child in stored["manifests"]]
    assert architectures == ["amd64", "arm64"]


def test_an_image_is_pushed_pulled_and_run(
    docker: Docker, registry: Registry, repository: str, context: Path
) -> None:
    name = f"{registry.host}/{repository}:v1"
    docker("build", "--quiet", "-t", name, context)
    docker("push", name)
    docker("rmi", "--force", name)

    docker("pull", name)

    printed = docker("run", "--rm", "--network=host", name)
    assert printed == (context / "hello").read_text()


def test_a_build_cache_is_kept_in_the_registry(
    docker: Docker, registry: Registry, repository: str, context: Path
) -> None:
    name = f"{registry.host}/{repository}"
    (context / "Dockerfile").write_text(f"FROM {BASE_IMAGE}\nRUN echo slow > /slow\n")
    build = ("buildx", "build", "--network=host", "--progress=plain", str(context))
    docker(*build, f"--cache-to=type=registry,ref={name}:cache,mode=max")
    docker("builder", "prune", "--all", "--force")

    log = docker(*build, f"--cache-from=type=registry,ref={name}:cache")

    assert "CACHED" in log
