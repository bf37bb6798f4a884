"""Samba as a domain controller of Active Directory: its ports are fixed, its address is not."""

import os
import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL

import pytest

from tests.services.certificates import Authority
from tests.services.processes import Service, listening
from tests.services.programs import missing, program, root_only

REALM, DOMAIN, BASE = "AD.TEST", "AD", "DC=ad,DC=test"
USERS = f"CN=Users,{BASE}"
ADMINISTRATOR_PASSWORD = "Passw0rd!x9"
PASSWORD = "Wonder!77x"
SEARCH = f"search@{REALM.lower()}"
#: Wrong passwords after which an account is locked.
LOCKED_AFTER = 3
_LDAP, _LDAPS = 389, 636
#: Samba's own Python, where Debian puts it.
_PYTHON = "/usr/bin/python3"

_FILL = """
import sys
import ldb
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB

configuration, database, password, base, locked_after = sys.argv[1:]
parameters = LoadParm(configuration)
people = SamDB(url=database, session_info=system_session(), lp=parameters)
people.transaction_start()
for name in ("alice", "bob", "carol", "expired", "disabled", "locked", "mustchange", "search"):
    people.newuser(
        name, password, mailaddress=name + "@ad.test", givenname=name.title(), surname="Person",
        force_password_change_at_next_login_req=name == "mustchange",
    )
for name in ("developers", "engineers", "staff", "admins"):
    people.newgroup(name)
for group, member in (
    ("developers", "alice"), ("engineers", "developers"), ("staff", "engineers"), ("admins", "carol"),
):
    people.add_remove_group_members(group, [member], add_members_operation=True)
people.setexpiry("(sAMAccountName=expired)", -86400, no_expiry_req=False)
people.disable_account("(sAMAccountName=disabled)")
limits = ldb.Message(ldb.Dn(people, base))
for name, value in (
    ("lockoutThreshold", locked_after), ("lockoutDuration", "-18000000000"), ("lockOutObservationWindow", "-18000000000"),
):
    limits[name] = ldb.MessageElement(value, ldb.FLAG_MOD_REPLACE, name)
people.modify(limits)
people.transaction_commit()
"""


class Samba:
    """A running domain controller, filled, on an address of 127.0.0.0/8 of its own."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        self.address = _free_address()
        pair = authority.issue(self.address, "dc1.ad.test")
        self._run(
            "samba-tool", "domain", "provision",
            f"--realm={REALM}", f"--domain={DOMAIN}", "--server-role=dc", "--dns-backend=NONE",
            f"--adminpass={ADMINISTRATOR_PASSWORD}", f"--targetdir={directory}",
            "--host-name=dc1", f"--host-ip={self.address}", "--use-rfc2307",
            f"--option=interfaces={self.address}/8", "--option=bind interfaces only=yes",
        )  # fmt: skip
        (directory / "run").mkdir()
        (directory / "log").mkdir()
        for source, name in (
            (authority.certificate, "ca.crt"),
            (pair.certificate, "dc.crt"),
            (pair.key, "dc.key"),
        ):
            shutil.copy(source, directory / "private" / name)
            (directory / "private" / name).chmod(0o600)
        configuration = directory / "etc" / "smb.conf"
        _configure(configuration, directory)
        self._run(
            _PYTHON, "-c", _FILL, str(configuration), str(directory / "private" / "sam.ldb"),
            PASSWORD, BASE, str(LOCKED_AFTER),
        )  # fmt: skip
        self.service = Service(
            "samba",
            [
                program("samba"), "--foreground", "--no-process-group", "--debug-stdout",
                f"--configfile={configuration}",
            ],
            directory / "output",
        )  # fmt: skip
        self.service.wait_until(lambda: listening(_LDAPS, self.address))

    @property
    def url(self) -> str:
        """Without TLS, which StartTLS may begin."""
        return f"ldap://{self.address}:{_LDAP}"

    @property
    def tls_url(self) -> str:
        """With TLS from the first byte."""
        return f"ldaps://{self.address}:{_LDAPS}"

    def _run(self, name: str, *words: str) -> None:
        done = subprocess.run(
            [program(name), *words], capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, f"{name}: {done.stdout} {done.stderr}"

    def stop(self) -> None:
        """End it and the processes that it started; nothing of it is to be kept."""
        os.killpg(self.service.pid, SIGKILL)
        self.service.stop(SIGKILL)


def _configure(configuration: Path, directory: Path) -> None:
    """Only LDAP and Kerberos, and nothing outside of the directory."""
    private = directory / "private"
    lines = [
        "server services = ldap, kdc",
        "dcerpc endpoint servers =",
        f"tls cafile = {private}/ca.crt",
        f"tls certfile = {private}/dc.crt",
        f"tls keyfile = {private}/dc.key",
        f"pid directory = {directory}/run",
        f"ncalrpc dir = {directory}/run/ncalrpc",
        f"log file = {directory}/log/log.%m",
    ]
    kept = [
        line
        for line in configuration.read_text().splitlines()
        if not line.strip().startswith(("server services", "log file"))
    ]
    at = kept.index("[global]") + 1
    configuration.write_text("\n".join([*kept[:at], *lines, *kept[at:]]) + "\n")


def _free_address() -> str:
    """One of 127.0.0.0/8 whose port for LDAP nobody has."""
    for _ in range(50):
        found = (
            f"127.{random.randrange(16, 250)}.{random.randrange(250)}.{random.randrange(2, 250)}"
        )
        with socket.socket() as probe:
            try:
                probe.bind((found, _LDAP))
            except OSError:
                continue
        return found
    return missing("port 389 is taken on every address: stop the LDAP server of this machine")


@pytest.fixture(scope="session")
def samba(authority: Authority) -> Iterator[Samba]:
    """A domain controller, one per session (and per xdist worker)."""
    root_only("a domain controller listens on ports 389 and 636")
    program("samba")
    if not Path("/usr/share/samba/setup").is_dir():
        missing("samba-ad-provision is not installed: run scripts/install-debian-packages")
    with tempfile.TemporaryDirectory(prefix="longshore-samba-") as directory:
        running = Samba(Path(directory), authority)
        try:
            yield running
        finally:
            running.stop()
