"""Docker Engine 20.10, with its own client and with a newer one; and its containerd by itself."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.docker_engine import BASE_IMAGE, DockerEngine
from tests.services.images import busybox_files, multi_platform_image, single_image
from tests.services.programs import Output, Shell
from tests.services.registries import ALICE, Registry

pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]

DOCKERFILE = f"FROM {BASE_IMAGE}\nRUN echo built > /made\nCOPY hello /hello\nCMD cat /made /hello\n"


class Docker:
    """One docker client with one configuration directory, talking to the engine."""

    def __init__(self, shell: Shell, engine: DockerEngine, client: str) -> None:
        self.shell = shell.with_env(DOCKER_HOST=engine.address)
        self.client = client

    def __call__(self, *args: str | Path, stdin: str = "", buildkit: bool = False) -> str:
        """Run a command that must succeed and return what it printed."""
        # The newer client builds with BuildKit only through a plugin that is not there.
        shell = self.shell.with_env(DOCKER_BUILDKIT="1" if buildkit else "0")
        return shell(self.client, *args, stdin=stdin).out

    def refused(self, *args: str | Path, stdin: str = "") -> str:
        """Run a command that must fail and return what it said."""
        return self.shell.refused(self.client, *args, stdin=stdin).err

    def log_in(self, registry: Registry) -> None:
        """Log in, if the registry wants that."""
        if login := registry.login:
            options = ["-u", login.user, "--password-stdin", registry.host]
            self("login", *options, stdin=login.password)


@pytest.fixture
def docker(shell: Shell, docker_engine: DockerEngine, docker_client: str) -> Iterator[Docker]:
    """Each of the two clients; images made with it are removed after the test."""
    docker = Docker(shell, docker_engine, docker_client)
    before = set(docker("images", "--quiet", "--no-trunc").split())
    yield docker
    if made := set(docker("images", "--quiet", "--no-trunc").split()) - before:
        docker("rmi", "--force", *made)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A directory to build an image from; each test's image differs."""
    directory = tmp_path / "context"
    directory.mkdir()
    (directory / "hello").write_text(f"hello from {tmp_path.name}\n")
    (directory / "Dockerfile").write_text(DOCKERFILE)
    return directory


def build(docker: Docker, name: str, context: Path, *, buildkit: bool = False) -> None:
    """Build an image and give it a name."""
    docker("build", "--quiet", "--network=host", "-t", name, context, buildkit=buildkit)


def test_an_image_is_built_pushed_pulled_and_run(
    docker: Docker, registry: Registry, repository: str, context: Path
) -> None:
    docker.log_in(registry)
    name = f"{registry.host}/{repository}:v1"
    build(docker, name, context)
    docker("push", name)
    pushed = json.loads(docker("image", "inspect", name))[0]
    docker("rmi", name)

    docker("pull", name)

    pulled = json.loads(docker("image", "inspect", name))[0]
    assert (pulled["Id"], pulled["RepoDigests"]) == (pushed["Id"], pushed["RepoDigests"])
    printed = docker("run", "--rm", "--network=host", name)
    assert printed == f"built\n{(context / 'hello').read_text()}"


def test_an_image_built_with_buildkit_is_pushed_and_run(
    shell: Shell,
    docker_engine: DockerEngine,
    open_registry: Registry,
    repository: str,
    context: Path,
) -> None:
    docker = Docker(shell, docker_engine, "/usr/bin/docker")
    name = f"{open_registry.host}/{repository}:v1"
    cache = "--build-arg=BUILDKIT_INLINE_CACHE=1"
    docker("build", "-q", "--network=host", cache, "-t", name, context, buildkit=True)
    docker("push", name)
    docker("rmi", name)

    docker("pull", name)

    assert docker("run", "--rm", "--network=host", name).startswith("built\n")
    docker("rmi", name)


def test_an_image_is_pulled_by_its_digest(
    docker: Docker, registry: Registry, repository: str, context: Path
) -> None:
    docker.log_in(registry)
    name = f"{registry.host}/{repository}"
    build(docker, f"{name}:v1", context)
    docker("push", f"{name}:v1")
    (reference,) = json.loads(docker("image", "inspect", f"{name}:v1"))[0]["RepoDigests"]
    docker("rmi", f"{name}:v1")

    docker("pull", reference)

    assert json.loads(docker("image", "inspect", reference))[0]["RepoDigests"] == [reference]


def test_layers_are_mounted_from_another_repository(
    docker: Docker, login_registry: Registry, repository: str, context: Path
) -> None:
    docker.log_in(login_registry)
    first, second = (f"{login_registry.host}/{repository}/{part}:v1" for part in ("one", "two"))
    build(docker, first, context)
    docker("push", first)
    docker("tag", first, second)

    log = docker("push", second)

    assert f"Mounted from {repository}/one" in log
    assert ": Pushed" not in log


def test_all_tags_are_pushed_and_pulled(
    docker: Docker, open_registry: Registry, repository: str, context: Path
) -> None:
    name = f"{open_registry.host}/{repository}"
    build(docker, f"{name}:v1", context)
    docker("tag", f"{name}:v1", f"{name}:v2")
    docker("push", "--all-tags", name)
    docker("rmi", f"{name}:v1", f"{name}:v2")

    docker("pull", "--all-tags", name)

    listed = docker("images", "--format={{.Tag}}", name).split()
    assert sorted(listed) == ["v1", "v2"]


def test_a_manifest_list_is_created_and_pulled(
    docker: Docker, open_registry: Registry, repository: str, context: Path
) -> None:
    name = f"{open_registry.host}/{repository}"
    build(docker, f"{name}:amd64", context)
    docker("push", f"{name}:amd64")
    docker("manifest", "create", "--insecure", f"{name}:all", f"{name}:amd64")
    docker("manifest", "push", "--insecure", f"{name}:all")

    docker("pull", f"{name}:all")

    images = docker("images", "--quiet", "--no-trunc", name).split()
    assert len(set(images)) == 1
    inspected = json.loads(docker("manifest", "inspect", "--insecure", f"{name}:all"))
    assert inspected["manifests"][0]["platform"]["architecture"] == "amd64"


def test_an_oci_index_is_pulled_for_this_platform(
    docker: Docker, registry: Registry, repository: str, tmp_path: Path
) -> None:
    docker.log_in(registry)
    _, images = multi_platform_image(tmp_path / "image")
    name = f"{registry.host}/{repository}:v1"
    _crane_push(docker.shell, registry, tmp_path / "image", name)

    docker("pull", name)
    docker("pull", "--platform=linux/arm64", f"{name}@{images['arm64']}")

    assert json.loads(docker("image", "inspect", name))[0]["Architecture"] == "amd64"


def test_a_missing_image_is_reported_by_its_name(
    docker: Docker, open_registry: Registry, repository: str, context: Path
) -> None:
    name = f"{open_registry.host}/{repository}"

    unknown_repository = docker.refused("pull", f"{name}:v1")
    build(docker, f"{name}:v1", context)
    docker("push", f"{name}:v1")
    unknown_tag = docker.refused("pull", f"{name}:v2")

    assert "manifest unknown" in unknown_repository or "name unknown" in unknown_repository
    assert "manifest unknown" in unknown_tag or "not found" in unknown_tag


def test_a_wrong_password_is_refused(docker: Docker, secure_registry: Registry) -> None:
    login = ["login", "-u", ALICE.user, "--password-stdin", secure_registry.host]

    assert "unauthorized" in docker.refused(*login, stdin="guess").lower()


def test_a_push_without_a_login_is_refused(
    docker: Docker, secure_registry: Registry, repository: str, context: Path
) -> None:
    name = f"{secure_registry.host}/{repository}:v1"
    build(docker, name, context)

    assert "no basic auth credentials" in docker.refused("push", name)


def test_a_logout_is_a_logout(
    docker: Docker, login_registry: Registry, repository: str, context: Path
) -> None:
    docker.log_in(login_registry)
    name = f"{login_registry.host}/{repository}:v1"
    build(docker, name, context)
    docker("push", name)
    docker("logout", login_registry.host)

    assert "no basic auth credentials" in docker.refused("push", name)


def test_containerd_pushes_pulls_and_runs_by_itself(
    shell: Shell,
    docker_engine: DockerEngine,
    registry: Registry,
    repository: str,
    tmp_path: Path,
) -> None:
    name = f"{registry.host}/{repository}"
    options = _containerd_access(registry, tmp_path)
    single_image(tmp_path / "image", busybox_files(), {"made": tmp_path.name.encode()})
    _crane_push(shell, registry, tmp_path / "image", f"{name}:v1")

    def ctr(*args: str | Path) -> Output:
        return shell("ctr", f"--address={docker_engine.containerd_socket}", *args)

    ctr("images", "pull", *options, f"{name}:v1")
    ctr("images", "tag", f"{name}:v1", f"{name}/copy:v1")
    ctr("images", "push", *options, f"{name}/copy:v1")
    ctr("images", "rm", "--sync", f"{name}:v1", f"{name}/copy:v1")
    ctr("images", "pull", *options, f"{name}/copy:v1")
    run = ctr("run", "--rm", "--net-host", f"{name}/copy:v1", tmp_path.name, "/bin/cat", "/made")
    ctr("images", "rm", "--sync", f"{name}/copy:v1")

    assert run.out == tmp_path.name


def test_containerd_pulls_an_image_of_another_registry_from_this_mirror(
    shell: Shell,
    docker_engine: DockerEngine,
    open_registry: Registry,
    repository: str,
    tmp_path: Path,
) -> None:
    """containerd then adds `?ns=elsewhere.test` to every request."""
    single_image(tmp_path / "image")
    _crane_push(shell, open_registry, tmp_path / "image", f"{open_registry.host}/{repository}:v1")
    hosts = tmp_path / "hosts" / "elsewhere.test"
    hosts.mkdir(parents=True)
    mirror = f'[host."{open_registry.url}"]\n  capabilities = ["pull", "resolve"]\n'
    (hosts / "hosts.toml").write_text(f'server = "{open_registry.url}"\n{mirror}')
    ctr = ("ctr", f"--address={docker_engine.containerd_socket}", "images")

    name = f"elsewhere.test/{repository}:v1"
    shell(*ctr, "pull", f"--hosts-dir={hosts.parent}", name)

    shell(*ctr, "rm", "--sync", name)


def _containerd_access(registry: Registry, directory: Path) -> list[str]:
    """The options of `ctr`; a host on loopback is taken for plain HTTP unless a file says more."""
    hosts = directory / "hosts" / registry.host
    hosts.mkdir(parents=True)
    authority = f'ca = "{registry.authority.certificate}"\n' if registry.authority else ""
    host = f'server = "{registry.url}"\n[host."{registry.url}"]\n{authority}'
    (hosts / "hosts.toml").write_text(host)
    login = registry.login
    user = [f"--user={login.user}:{login.password}"] if login else []
    return [*user, f"--hosts-dir={hosts.parent}"]


def _crane_push(shell: Shell, registry: Registry, layout: Path, name: str) -> None:
    """Push with crane, which reads layouts; docker's configuration has the login."""
    if registry.authority:
        shell = shell.with_env(SSL_CERT_FILE=str(registry.authority.certificate))
    if login := registry.login:
        options = ["-u", login.user, "--password-stdin", registry.host]
        shell("crane", "auth", "login", *options, stdin=login.password)
    shell("crane", "push", layout, name)
