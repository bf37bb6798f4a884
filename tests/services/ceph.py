"""A Ceph cluster of one monitor, one OSD in memory, and its gateway, which speaks S3."""

import asyncio
import os
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL

import aiobotocore.session
import pytest

from tests.services.processes import Service, free_port, listening
from tests.services.programs import program, root_only

ACCESS_KEY, SECRET_KEY = "AKIATEST", "a-secret-of-the-tests"

_CONFIGURATION = """
[global]
fsid = {fsid}
mon initial members = a
mon host = [v2:127.0.0.1:{mon2},v1:127.0.0.1:{mon1}]
public network = 127.0.0.0/8
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
ms bind ipv6 = false
ms mon client mode = crc secure
mon allow pool size one = true
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
mon max pg per osd = 1000
osd crush chooseleaf type = 0
run dir = {directory}/run
admin socket =
log file = {directory}/$name.log
mon cluster log file = {directory}/cluster.log
[mon]
mon data = {directory}/mon.a
mon data avail crit = 1
mon data avail warn = 2
[osd]
osd objectstore = memstore
osd data = {directory}/osd.0
memstore device bytes = {memory}
osd class dir = /usr/lib/x86_64-linux-gnu/rados-classes
osd class load list = *
osd class default list = *
[client.rgw.a]
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw data = {directory}/rgw
rgw dns name = 127.0.0.1
rgw crypt require ssl = false
rgw gc obj min wait = 1
"""


class Ceph:
    """A running gateway. Objects are in memory and gone at the end."""

    def __init__(self, directory: Path, memory: int = 12 << 30) -> None:
        """``memory``: bytes that it may hold."""
        self.port = free_port()
        self._directory = directory
        self._services: list[Service] = []
        fsid = str(uuid.uuid4())
        for name in ("run", "mon.a", "osd.0", "rgw"):
            (directory / name).mkdir()
        mon1, mon2 = free_port(), free_port()
        (directory / "ceph.conf").write_text(
            _CONFIGURATION.format(
                fsid=fsid,
                mon1=mon1,
                mon2=mon2,
                directory=directory,
                port=self.port,
                memory=memory,
            )
        )
        self._monitor(fsid, mon1, mon2)
        self._osd()
        self._gateway()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _run(self, *argv: str | Path) -> None:
        done = subprocess.run(
            [program(str(argv[0])), *map(str, argv[1:])],
            cwd=self._directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{argv}: {done.stderr}"

    def _start(self, name: str, *options: str) -> Service:
        service = Service(
            name,
            [program(name), "-c", self._directory / "ceph.conf", "-f", *options],
            self._directory / f"{name}.out",
            env={**os.environ, "HOME": str(self._directory)},
        )
        self._services.append(service)
        return service

    def _ceph(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program("ceph"), "-c", str(self._directory / "ceph.conf"), *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def _monitor(self, fsid: str, mon1: int, mon2: int) -> None:
        address = f"[v2:127.0.0.1:{mon2},v1:127.0.0.1:{mon1}]"
        map_file = self._directory / "monmap"
        self._run("monmaptool", "--create", "--addv", "a", address, "--fsid", fsid, map_file)
        configuration = self._directory / "ceph.conf"
        self._run("ceph-mon", "-c", configuration, "--mkfs", "-i", "a", "--monmap", map_file)
        self._start("ceph-mon", "-i", "a").wait_until(lambda: self._ceph("-s").returncode == 0)

    def _osd(self) -> None:
        identity = str(uuid.uuid4())
        assert self._ceph("osd", "new", identity).returncode == 0
        self._run(
            "ceph-osd", "-c", self._directory / "ceph.conf", "-i", "0", "--mkfs",
            "--osd-uuid", identity,
        )  # fmt: skip
        self._start("ceph-osd", "-i", "0").wait_until(
            lambda: "1 up" in self._ceph("osd", "stat").stdout, 60
        )

    def _gateway(self) -> None:
        self._start("radosgw", "-n", "client.rgw.a").wait_until(lambda: listening(self.port), 60)
        self._run(
            "radosgw-admin", "-c", self._directory / "ceph.conf", "-n", "client.rgw.a",
            "user", "create", "--uid=tests", "--display-name=Tests",
            f"--access-key={ACCESS_KEY}", f"--secret-key={SECRET_KEY}",
        )  # fmt: skip

    def collect(self) -> None:
        """Free the memory of objects that were removed; the gateway would do it in an hour."""
        self._run(
            "radosgw-admin", "-c", self._directory / "ceph.conf", "-n", "client.rgw.a",
            "gc", "process", "--include-all",
        )  # fmt: skip

    def create_swift_key(self, user: str, key: str) -> None:
        """Let the user ``user:swift`` use the gateway's other protocol, that of Swift."""
        admin = ("radosgw-admin", "-c", self._directory / "ceph.conf", "-n", "client.rgw.a")
        name = f"--subuser={user}:swift"
        self._run(*admin, "subuser", "create", f"--uid={user}", name, "--access=full")
        self._run(*admin, "key", "create", name, "--key-type=swift", f"--secret-key={key}")

    def stop(self) -> None:
        """End it. Nothing of it is to be kept, and the OSD would take seconds to end by itself."""
        for service in reversed(self._services):
            service.stop(SIGKILL)


@pytest.fixture(scope="session")
def ceph() -> Iterator[Ceph]:
    """A Ceph gateway on loopback, one per session (and per xdist worker)."""
    root_only("Ceph's daemons look after their own files")
    for name in ("monmaptool", "ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph"):
        program(name)
    with tempfile.TemporaryDirectory(prefix="longshore-ceph-") as directory:
        running = Ceph(Path(directory))
        try:
            yield running
        finally:
            running.stop()


@pytest.fixture(scope="session")
def bucket(ceph: Ceph) -> str:
    """A bucket that exists."""
    asyncio.run(create_bucket(ceph, "longshore"))
    return "longshore"


async def create_bucket(ceph: Ceph, name: str) -> None:
    """Make a bucket; nothing happens when it is there."""
    session = aiobotocore.session.AioSession()
    client = session.create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=ceph.url,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    async with client as connected:
        await connected.create_bucket(Bucket=name)
