"""A Docker Engine of the test session's own: its data, its socket, no bridge, no iptables.

Loopback counts as insecure for the engine: it takes plain HTTP there and any certificate. What
it does with a private authority can only be tested on another address (see `namespace`).
"""

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.services.images import busybox_files, tar
from tests.services.processes import Service
from tests.services.programs import missing, program, root_only, search_path

BASE_IMAGE = "base:1"
CLASSIC_CLIENT = "/usr/bin/docker"


class DockerEngine:
    """A running dockerd; `socket` is where it listens. `wrap` goes before its command line.

    An engine that `wrap` runs in another root directory gets that as `root`.
    """

    def __init__(
        self,
        directory: Path,
        wrap: Sequence[str] = (),
        *,
        root: Path = Path("/"),
        settings: Mapping[str, Any] | None = None,
        storage: str = "overlay2",
    ) -> None:
        self.directory = directory
        self.socket = directory / "docker.sock"
        (directory / "daemon.json").write_text(json.dumps(settings or {}))
        inside = Path("/") / directory.relative_to(root)
        options = {
            "--host": f"unix://{inside / 'docker.sock'}",
            "--config-file": inside / "daemon.json",
            "--data-root": inside / "data",
            "--exec-root": inside / "exec",
            "--pidfile": inside / "pid",
            "--bridge": "none",
            "--storage-driver": storage,
            **dict.fromkeys(("--iptables", "--ip6tables", "--ip-forward", "--ip-masq"), "false"),
        }
        argv = [*wrap, "dockerd", *(f"{key}={value}" for key, value in options.items())]
        environment = {**os.environ, "PATH": search_path()}
        self.service = Service("dockerd", argv, directory / "log", env=environment)
        self.service.wait_until(self._answers)

    @property
    def address(self) -> str:
        """What DOCKER_HOST is set to."""
        return f"unix://{self.socket}"

    @property
    def containerd_socket(self) -> Path:
        """Where the engine's own containerd listens, for `ctr`."""
        return self.directory / "exec" / "containerd" / "containerd.sock"

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            try:
                connection.connect(str(self.socket))
                connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
                return b" 200 OK" in connection.recv(4096)
            except OSError:
                return False

    def import_base_image(self) -> None:
        """Make `base:1`, a busybox root file system to build upon."""
        subprocess.run(
            [program("docker"), "import", "-c", 'CMD ["/bin/sh"]', "-", BASE_IMAGE],
            input=tar(busybox_files()),
            env={"DOCKER_HOST": self.address, "HOME": str(self.directory)},
            check=True,
            capture_output=True,
        )

    def stop(self) -> None:
        """End the engine and release what it mounted."""
        assert self.service.stop() == 0, self.service.tail()
        for line in Path("/proc/mounts").read_text().splitlines():
            mounted = line.split()[1]
            if mounted.startswith(str(self.directory)):
                subprocess.run(["umount", "--lazy", mounted], check=True)


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[DockerEngine]:
    """A Docker Engine with an image `base:1`; one per session."""
    root_only("it starts a Docker Engine")
    program("dockerd")
    # Not below pytest's own temporary directory: the path of a socket must be short.
    with tempfile.TemporaryDirectory(prefix="longshore-docker-") as directory:
        engine = DockerEngine(Path(directory))
        try:
            engine.import_base_image()
            yield engine
        finally:
            engine.stop()


@pytest.fixture(params=["classic", "newer"])
def docker_client(request: pytest.FixtureRequest) -> str:
    """Debian's docker client (20.10), and the newer one on PATH where there is one."""
    if request.param == "classic":
        if not Path(CLASSIC_CLIENT).exists():
            missing("docker.io is not installed: run scripts/install-debian-packages")
        return CLASSIC_CLIENT
    newer = shutil.which("docker")
    if newer is None or Path(newer).samefile(CLASSIC_CLIENT):
        missing("there is no newer docker client on PATH than Debian's")
    return newer
