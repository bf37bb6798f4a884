"""OpenLDAP: a directory with people, and with groups in groups."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from signal import SIGINT

import pytest

from tests.services.certificates import Authority
from tests.services.processes import Service, free_port, listening
from tests.services.programs import program

BASE = "dc=test,dc=lan"
PEOPLE, GROUPS = f"ou=people,{BASE}", f"ou=groups,{BASE}"
SEARCH_DN, SEARCH_PASSWORD = f"cn=search,{BASE}", "search-password"
ROOT, ROOT_PASSWORD = f"cn=root,{BASE}", "root-password"
#: Every person's password is their name and this.
PASSWORD_END = "-wonder"
#: uid, and what it is a member of directly.
PERSONS = {
    "alice": ("developers",),
    "bob": ("guests",),
    "carol": ("operators",),
    "dave": (),
    "star*": ("guests",),
    "paren)(uid=alice": ("guests",),
    "smith, j": ("guests",),
    "back\\slash": ("guests",),
    "jürgen": ("guests",),
}
#: Groups in groups: developers are engineers, who are staff. Circles do no harm.
NESTED = {"engineers": ("developers",), "staff": ("engineers",), "circle": ("staff", "circle")}

_CONFIGURATION = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile {directory}/pid
TLSCACertificateFile {authority}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
database mdb
maxsize 67108864
suffix "{base}"
rootdn "{root}"
rootpw {password}
directory {directory}/data
dbnosync
index objectClass,uid,member,memberUid eq
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree="ou=people,{base}" by anonymous auth by users read
access to * by * read
overlay memberof
"""


_TREE = f"""\
dn: {BASE}
objectClass: dcObject
objectClass: organization
dc: test
o: Test

dn: {PEOPLE}
objectClass: organizationalUnit
ou: people

dn: {GROUPS}
objectClass: organizationalUnit
ou: groups

dn: cn=search,{BASE}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: search
userPassword: search-password

"""


class OpenLDAP:
    """A running server, filled."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        self.port, self.tls_port = free_port(), free_port()
        self.directory = directory
        pair = authority.issue("127.0.0.1")
        (directory / "data").mkdir()
        configuration = directory / "slapd.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                directory=directory,
                authority=authority.certificate,
                certificate=pair.certificate,
                key=pair.key,
                base=BASE,
                root=ROOT,
                password=ROOT_PASSWORD,
            )
        )
        self.service = Service(
            "slapd",
            [
                program("slapd"),
                "-d",
                "256",
                "-f",
                configuration,
                "-h",
                f"{self.url} {self.tls_url}",
            ],
            directory / "log",
        )
        try:
            self.service.wait_until(lambda: listening(self.port) and listening(self.tls_port))
            self.add(_people())
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        """Without TLS, which StartTLS may begin."""
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        """With TLS from the first byte."""
        return f"ldaps://127.0.0.1:{self.tls_port}"

    def add(self, ldif: str) -> None:
        """Put entries in."""
        self._run("ldapadd", ldif)

    def modify(self, ldif: str) -> None:
        """Change entries."""
        self._run("ldapmodify", ldif)

    def _run(self, name: str, ldif: str) -> None:
        done = subprocess.run(
            [program(name), "-x", "-H", self.url, "-D", ROOT, "-w", ROOT_PASSWORD],
            input=ldif,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def stop(self) -> None:
        """End it; nothing of it is to be kept."""
        self.service.stop(SIGINT)


def person(uid: str) -> str:
    """LDIF of somebody."""
    return f"""\
dn: uid={_escaped(uid)},{PEOPLE}
objectClass: inetOrgPerson
uid: {uid}
cn: {uid.title()} Person
sn: Person
mail: somebody@test.lan
userPassword: {uid}{PASSWORD_END}

"""


def _people() -> str:
    members: dict[str, list[str]] = {name: [] for name in NESTED}
    for uid, groups in PERSONS.items():
        for group in groups:
            members.setdefault(group, []).append(f"uid={_escaped(uid)},{PEOPLE}")
    for outer, inner in NESTED.items():
        members[outer] += [f"cn={name},{GROUPS}" for name in inner]
    parts = [_TREE]
    parts += [person(uid) for uid in PERSONS]
    parts += [
        f"dn: cn={name},{GROUPS}\nobjectClass: groupOfNames\ncn: {name}\n"
        + "".join(f"member: {dn}\n" for dn in found)
        + "\n"
        for name, found in members.items()
    ]
    parts.append(
        f"dn: cn=unix,{GROUPS}\nobjectClass: posixGroup\ncn: unix\ngidNumber: 100\nmemberUid: dave\n\n"
    )
    return "".join(parts)


def _escaped(value: str) -> str:
    """A value in a DN (RFC 4514)."""
    return "".join(f"\\{letter}" if letter in '",+<>;\\=' else letter for letter in value)


@pytest.fixture(scope="session")
def openldap(authority: Authority) -> Iterator[OpenLDAP]:
    """OpenLDAP with people, one per session (and per xdist worker)."""
    program("slapd")
    with tempfile.TemporaryDirectory(prefix="longshore-openldap-") as directory:
        running = OpenLDAP(Path(directory), authority)
        try:
            yield running
        finally:
            running.stop()
