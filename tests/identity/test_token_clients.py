"""Real clients with the registry's own tokens: pushes that outlive them, logins without a password."""

import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.identity import tokens
from tests.identity.test_server import ADMIN, asks, longshore
from tests.services.docker_engine import DockerEngine
from tests.services.images import single_image, tar
from tests.services.programs import Shell
from tests.services.registries import Registry, RegistryFactory

pytestmark = pytest.mark.service

#: Bytes per second of a slow link, and of a layer: together they take longer than the shortest token, which is
#: believed for a fifth of its life after its end.
PACE, SIZE, LIFETIME = 25_000, 2_000_000, 60.0


@contextmanager
def slow_link(host: str) -> Iterator[str]:
    """An address that leads to ``host``, slowly on the way there."""
    name, _, port = host.partition(":")
    with ExitStack() as stack:
        listener = socket.create_server(("127.0.0.1", 0))
        ended, threads = threading.Event(), list[threading.Thread]()

        def end() -> None:
            ended.set()
            for thread in threads:
                thread.join(10)
            listener.close()

        stack.callback(end)
        listener.settimeout(0.1)

        def carry(source: socket.socket, target: socket.socket, pace: int) -> None:
            with suppress(OSError), source, target:
                while not ended.is_set():
                    try:
                        data = source.recv(65536)
                    except TimeoutError:
                        continue
                    if not data:
                        target.shutdown(socket.SHUT_WR)
                        time.sleep(0.2)  # the other direction may have a last word
                        return
                    target.sendall(data)
                    if pace:
                        time.sleep(len(data) / pace)

        def accept() -> None:
            while not ended.is_set():
                try:
                    client, _ = listener.accept()
                except TimeoutError:
                    continue
                server = socket.create_connection((name, int(port)), timeout=5)
                client.settimeout(0.1)
                server.settimeout(0.1)
                for source, target, pace in ((client, server, PACE), (server, client, 0)):
                    thread = threading.Thread(
                        target=carry, args=(source.dup(), target.dup(), pace), daemon=True
                    )
                    threads.append(thread)
                    thread.start()
                client.close()
                server.close()

        thread = threading.Thread(target=accept, daemon=True)
        threads.append(thread)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def start(registry_factory: RegistryFactory) -> Callable[..., Registry]:
    def started(**tokens: str) -> Registry:
        more = {"auth": {"longshore": {}}, "longshore": {"tokens": tokens}}
        env = {"LONGSHORE_ADMIN_PASSWORD": ADMIN.password}
        return registry_factory(more, env=env, ready=asks)

    return started


def no_upload_was_refused(registry: Registry) -> bool:
    lines = (registry.directory / "log").read_text().splitlines()
    uploads = [line for line in lines if "/blobs/uploads/" in line and "PUT" in line]
    assert uploads
    return not any(" 401" in line or "status=401" in line for line in uploads)


def crane_login(shell: Shell, host: str) -> None:
    words = ("auth", "login", "-u", ADMIN.user, "--password-stdin", host)
    shell("crane", *words, stdin=ADMIN.password)


Client = Callable[[Shell, Path, str], None]


def _crane(shell: Shell, directory: Path, host: str) -> None:
    crane_login(shell, host)
    shell("crane", "push", directory / "image", f"{host}/app:v1", timeout=200)


def _skopeo(shell: Shell, directory: Path, host: str) -> None:
    words = ("login", "--tls-verify=false", "-u", ADMIN.user, "--password-stdin", host)
    shell("skopeo", *words, stdin=ADMIN.password)
    copy = ("copy", "--dest-tls-verify=false", f"oci:{directory / 'image'}")
    shell("skopeo", *copy, f"docker://{host}/app:v1", timeout=200)


def _containerd(shell: Shell, directory: Path, host: str) -> None:
    name = f"{host}/app:v1"
    layout = directory / "image"
    found = json.loads((layout / "index.json").read_text())
    found["manifests"][0]["annotations"] = {"io.containerd.image.name": name}
    files: dict[str, bytes | str] = {
        str(path.relative_to(layout)): path.read_bytes()
        for path in layout.rglob("*")
        if path.is_file()
    }
    files["index.json"] = json.dumps(found).encode()
    (directory / "image.tar").write_bytes(tar(files))
    ctr = ("ctr", f"--address={shell.env['CONTAINERD']}", "images")
    shell(*ctr, "import", "--all-platforms", directory / "image.tar")
    login = f"--user={ADMIN.user}:{ADMIN.password}"
    shell(*ctr, "push", "--plain-http", login, name, timeout=200)
    shell(*ctr, "rm", "--sync", name)


def _docker(shell: Shell, directory: Path, host: str) -> None:
    name = f"{host}/app:v1"
    login = ("login", "-u", ADMIN.user, "--password-stdin", host)
    shell("docker", *login, stdin=ADMIN.password)
    (directory / "layer.tar").write_bytes(tar({"data": random.randbytes(SIZE)}))
    shell("docker", "import", directory / "layer.tar", name)
    shell("docker", "push", name, timeout=200)
    shell("docker", "rmi", name)


@pytest.mark.large
@pytest.mark.timeout(400)
@pytest.mark.parametrize("client", [_crane, _skopeo, _containerd, _docker])
def test_a_push_takes_longer_than_its_token_lasts(
    start: Callable[..., Registry],
    shell: Shell,
    docker_engine: DockerEngine,
    tmp_path: Path,
    client: Client,
) -> None:
    algorithm = "ES256" if client in (_crane, _docker) else "RS256"
    registry = start(lifetime="1m", algorithm=algorithm)
    single_image(tmp_path / "image", {"data": random.randbytes(SIZE)})
    engine = {
        "DOCKER_HOST": docker_engine.address,
        "CONTAINERD": str(docker_engine.containerd_socket),
    }
    with slow_link(registry.host) as host:
        began = time.monotonic()
        client(shell.with_env(**engine), tmp_path, host)
        assert time.monotonic() - began > LIFETIME * 1.2
    crane_login(shell, registry.host)
    shell("crane", "digest", f"{registry.host}/library/app:v1")
    assert no_upload_was_refused(registry)


@pytest.mark.timeout(300)
def test_docker_keeps_a_refresh_token_with_which_crane_and_skopeo_go_on(
    start: Callable[..., Registry],
    shell: Shell,
    docker_engine: DockerEngine,
    docker_client: str,
    tmp_path: Path,
) -> None:
    registry = start()
    host = registry.host
    docker = shell.with_env(DOCKER_HOST=docker_engine.address)
    (tmp_path / "layer.tar").write_bytes(tar({"file": tmp_path.name.encode()}))
    single_image(tmp_path / "image")
    file = shell.home / ".docker" / "config.json"
    login = ("login", "-u", ADMIN.user, "--password-stdin", host)
    docker(docker_client, *login, stdin=ADMIN.password)
    kept = json.loads(file.read_text())["auths"][host]
    assert kept["identitytoken"].startswith("lsr_")
    assert ADMIN.password not in file.read_text()

    name = f"{host}/app:{tmp_path.name.lower()}"
    docker(docker_client, "import", tmp_path / "layer.tar", name)
    docker(docker_client, "push", name)
    docker(docker_client, "rmi", name)
    docker(docker_client, "pull", name)
    docker(docker_client, "rmi", name)
    shell("crane", "push", tmp_path / "image", f"{host}/library/crane:v1")
    inspect = ("inspect", "--tls-verify=false", "--authfile", str(file))
    shell("skopeo", *inspect, f"docker://{host}/library/crane:v1")

    longshore(registry, "user", "passwd", "admin", stdin="Another12\n")
    refused = shell.refused("crane", "push", tmp_path / "image", f"{host}/crane:v2").err
    assert "log in again with: docker login" in refused


def test_keys_are_listed_rotated_and_revoked_beside_a_running_server(
    start: Callable[..., Registry],
) -> None:
    registry = start()

    def listed() -> dict[str, str]:
        found = json.loads(longshore(registry, "token-keys", "list", "--json").out)
        return {key["kid"]: key["state"] for key in found}

    (first,) = listed()
    with registry.client() as client:
        login = (ADMIN.user, ADMIN.password)

        def kid() -> str:
            token = client.get("/v2/token", auth=login).json()["token"]
            found: str = tokens.header(token)["kid"]
            return found

        assert kid() == first
        said = longshore(registry, "token-keys", "rotate").err
        assert "signs from 20" in said
        assert sorted(listed().values()) == ["next", "signs"]
        assert kid() == first

        longshore(registry, "token-keys", "rotate", "--now")
        (now,) = [key for key, state in listed().items() if state == "signs"]
        assert listed() == {first: "verifies", now: "signs"}  # what waited is not needed any more
        said = longshore(registry, "token-keys", "rotate", "--revoke").err
        assert "signs now; 2 others were removed" in said
        (last,) = listed()
        assert listed() == {last: "signs"}

        # A secret that is kept can be given another key, and the server goes on with it.
        said = longshore(registry, "encryption", "rotate").err
        assert "0 secrets were encrypted anew, 1 had the newest key" in said
