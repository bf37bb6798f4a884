"""OpenStack's object store on loopback, one replica of everything, with the identity service beside it.

Both are the real programs, installed by scripts/install-openstack.
"""

import getpass
import os
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from signal import SIGKILL

import httpx
import pytest
from cryptography.fernet import Fernet

from tests.services.processes import Service, free_port, listening
from tests.services.programs import PROJECT, missing, program

#: For the proxy with TempAuth. The account is named after what stands before the colon.
USER, PASSWORD = "tests:tester", "a-secret-of-the-tests"
#: For Keystone: a project of this name, in which this user may do everything.
PROJECT_NAME, KEYSTONE_USER, KEYSTONE_PASSWORD = "registry", "longshore", "another-secret"
#: Small, so that the tests reach the limit.
MANIFEST_LIMIT = 12

_PROGRAMS = PROJECT / ".tools" / "openstack" / "bin"

_SWIFT = """
[swift-hash]
swift_hash_path_suffix = tests
"""

#: Makes the rings of all backends in one process: which server has what, of which there is one.
_RINGS = """
import sys
from swift.common.ring import RingBuilder
directory = sys.argv[1]
for kind, port in zip(("account", "container", "object"), sys.argv[2:]):
    ring = RingBuilder(2, 1, 0)
    ring.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1, "device": "d1",
                  "ip": "127.0.0.1", "port": int(port)})
    ring.rebalance()
    ring.get_ring().save(f"{directory}/{kind}.ring.gz")
"""

_DEFAULT = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {directory}
devices = {directory}/disks
mount_check = false
fallocate_reserve = 0
disable_fallocate = true
"""

_BACKEND = """
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""

_PROXY = """
[pipeline:main]
pipeline = catch_errors gatekeeper cache listing_formats bulk tempurl {authentication} copy slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcached}
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:tempurl]
use = egg:swift#tempurl
[filter:tempauth]
use = egg:swift#tempauth
user_{account}_{user} = {password} .admin
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
www_authenticate_uri = {identity}/v3
auth_url = {identity}/v3
auth_type = password
username = admin
password = {keystone_admin}
project_name = admin
user_domain_id = default
project_domain_id = default
delay_auth_decision = true
cache = swift.cache
interface = public
[filter:keystoneauth]
use = egg:swift#keystoneauth
operator_roles = admin, member
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
max_manifest_segments = {manifest_limit}
[filter:dlo]
use = egg:swift#dlo
"""

_KEYSTONE = """
[database]
connection = sqlite:///{directory}/keystone.db
[token]
provider = fernet
[fernet_tokens]
key_repository = {directory}/fernet
[fernet_receipts]
key_repository = {directory}/fernet
[credential]
key_repository = {directory}/credential
[cache]
enabled = false
"""

_SERVE_KEYSTONE = """
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server
port = int(sys.argv.pop())
from keystone.wsgi.api import application
class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
make_server("127.0.0.1", port, application, Server).serve_forever()
"""

_ADMINISTRATOR = "secret-of-the-administrator"


class Swift:
    """Account, container and object server over a folder, and proxies in front of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self._services: list[Service] = []
        self._memcached = free_port()
        (directory / "disks" / "d1").mkdir(parents=True)
        (directory / "swift.conf").write_text(_SWIFT)
        ports = {kind: free_port() for kind in ("account", "container", "object")}
        run("python", "-c", _RINGS, directory, *map(str, ports.values()))
        self._start("memcached", [
            program("memcached"), "-l", "127.0.0.1", "-p", str(self._memcached), "-U", "0",
            "-u", getpass.getuser(),
        ])  # fmt: skip
        for kind, port in ports.items():
            self._server(f"{kind}-server", port, _BACKEND.format(kind=kind))
        self.start_proxy(self.port, "tempauth")
        for service, port in zip(self._services, (self._memcached, *ports.values()), strict=False):
            service.wait_until(partial(listening, port))

    @property
    def authurl(self) -> str:
        """Where TempAuth gives out tokens."""
        return f"http://127.0.0.1:{self.port}/auth/v1.0"

    def _start(self, name: str, argv: list[str | Path]) -> Service:
        service = Service(name, argv, self.directory / f"{name}.log", env=_environment())
        self._services.append(service)
        return service

    def start_proxy(self, port: int, authentication: str, identity: str = "") -> None:
        """One more proxy on ``port``, with these filters of the pipeline for logins."""
        account, user = USER.split(":")
        text = _PROXY.format(
            authentication=authentication,
            account=account,
            user=user,
            password=PASSWORD,
            memcached=self._memcached,
            identity=identity,
            keystone_admin=_ADMINISTRATOR,
            manifest_limit=MANIFEST_LIMIT,
        )
        proxy = self._server("proxy-server", port, text, f"-{authentication.split()[-1]}")
        proxy.wait_until(lambda: listening(port))

    def _server(self, name: str, port: int, text: str, more: str = "") -> Service:
        configuration = self.directory / f"{name}{more}.conf"
        start = _DEFAULT.format(port=port, user=getpass.getuser(), directory=self.directory)
        configuration.write_text(start + text)
        return self._start(
            f"swift-{name}{more}", [_installed(f"swift-{name}"), configuration, "--verbose"]
        )

    def stop(self) -> None:
        """End it; nothing of it is to be kept."""
        for service in reversed(self._services):
            service.stop(SIGKILL)


class Keystone:
    """The identity service, with a catalog that has a Swift proxy of its own in two regions."""

    def __init__(self, directory: Path, swift: Swift) -> None:
        self.port, self.proxy = free_port(), free_port()
        configuration = directory / "keystone.conf"
        configuration.write_text(_KEYSTONE.format(directory=directory))
        for name in ("fernet", "credential"):
            (directory / name).mkdir()
            for key in ("0", "1"):
                (directory / name / key).write_bytes(Fernet.generate_key())
        manage = ("keystone-manage", "--config-file", configuration)
        run(*manage, "db_sync")
        run(
            *manage, "bootstrap", "--bootstrap-password", _ADMINISTRATOR,
            "--bootstrap-region-id", "here", "--bootstrap-public-url", f"{self.url}/v3",
        )  # fmt: skip
        self._service = Service(
            "keystone",
            [_installed("python"), "-W", "ignore", "-c", _SERVE_KEYSTONE, str(self.port)],
            directory / "keystone.log",
            env={**_environment(), "OS_KEYSTONE_CONFIG_FILES": str(configuration)},
        )
        self._service.wait_until(lambda: listening(self.port))
        self._fill()
        swift.start_proxy(self.proxy, "authtoken keystoneauth", self.url)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _fill(self) -> None:
        """A project, its user, and where Swift is."""
        token = self.token("admin", _ADMINISTRATOR, "admin")
        with httpx.Client(base_url=f"{self.url}/v3", headers={"X-Auth-Token": token}) as client:

            def create(kind: str, **values: str) -> str:
                reply = client.post(f"/{kind}s", json={kind: values})
                assert reply.is_success, reply.text
                identity: str = reply.json()[kind]["id"]
                return identity

            project = create("project", name=PROJECT_NAME, domain_id="default")
            user = create(
                "user", name=KEYSTONE_USER, password=KEYSTONE_PASSWORD, domain_id="default"
            )
            (role,) = client.get("/roles", params={"name": "member"}).json()["roles"]
            put = client.put(f"/projects/{project}/users/{user}/roles/{role['id']}")
            assert put.is_success, put.text
            create("region", id="elsewhere")
            service = create("service", type="object-store", name="swift")
            for region, interface, port in (
                ("elsewhere", "public", 9),
                ("here", "internal", self.proxy),
                ("here", "public", self.proxy),
            ):
                url = f"http://127.0.0.1:{port}/v1/AUTH_%(tenant_id)s"
                create(
                    "endpoint", service_id=service, region_id=region, interface=interface, url=url
                )
        self.project, self.user = project, user

    def token(self, user: str, password: str, project: str) -> str:
        """A token for a user in a project, both of the default domain."""
        domain = {"id": "default"}
        reply = httpx.post(
            f"{self.url}/v3/auth/tokens",
            json={
                "auth": {
                    "identity": {
                        "methods": ["password"],
                        "password": {
                            "user": {"name": user, "domain": domain, "password": password}
                        },
                    },
                    "scope": {"project": {"name": project, "domain": domain}},
                }
            },
        )
        assert reply.is_success, reply.text
        return reply.headers["X-Subject-Token"]

    def application_credential(self, name: str) -> tuple[str, str]:
        """A new one of the project's user: its id and its secret."""
        token = self.token(KEYSTONE_USER, KEYSTONE_PASSWORD, PROJECT_NAME)
        reply = httpx.post(
            f"{self.url}/v3/users/{self.user}/application_credentials",
            headers={"X-Auth-Token": token},
            json={"application_credential": {"name": name}},
        )
        assert reply.is_success, reply.text
        made = reply.json()["application_credential"]
        return made["id"], made["secret"]

    def stop(self) -> None:
        """End it."""
        self._service.stop(SIGKILL)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONWARNINGS": "ignore"}


def _installed(name: str) -> Path:
    path = _PROGRAMS / name
    if not path.exists():
        missing(f"{name} is not installed: run scripts/install-openstack")
    return path


def run(name: str, *words: str | Path) -> None:
    """Run one of OpenStack's programs that must succeed."""
    done = subprocess.run(
        [_installed(name), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=_environment(),
    )
    assert done.returncode == 0, f"{name} {words}: {done.stdout} {done.stderr}"


def _takes_attributes(directory: str) -> bool:
    """Whether files there may carry as many extended attributes as Swift writes."""
    with tempfile.NamedTemporaryFile(dir=directory) as probe:
        try:
            os.setxattr(probe.name, "user.swift.metadata", b"x" * 3_000)
        except OSError:
            return False
    return True


@pytest.fixture(scope="session")
def swift() -> Iterator[Swift]:
    """Swift with TempAuth, one per session (and per xdist worker)."""
    _installed("swift-proxy-server")
    for parent in ("/dev/shm", tempfile.gettempdir()):
        if os.path.isdir(parent) and _takes_attributes(parent):
            break
    else:
        missing("no temporary directory has extended attributes, in which Swift keeps metadata")
    with tempfile.TemporaryDirectory(prefix="longshore-swift-", dir=parent) as directory:
        running = Swift(Path(directory))
        try:
            yield running
        finally:
            running.stop()


@pytest.fixture(scope="session")
def keystone(swift: Swift) -> Iterator[Keystone]:
    """The identity service of the same Swift."""
    with tempfile.TemporaryDirectory(prefix="longshore-keystone-") as directory:
        running = Keystone(Path(directory), swift)
        try:
            yield running
        finally:
            running.stop()
