"""Values of LDAP: a server as it is configured, people and groups as a directory has them."""

import enum
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Final, Literal
from urllib.parse import urlsplit

#: The port of each scheme, where a URL has none (RFC 4516, and IANA for ldaps).
PORTS: Final[Mapping[str, int]] = {"ldap": 389, "ldaps": 636}

Scope = Literal["base", "onelevel", "subtree"]


@dataclass(frozen=True, slots=True)
class GroupSearch:
    """Where a server's groups are. Without ``base`` nobody has a group from there."""

    base: str = ""
    filter: str = ""
    scope: Scope = "subtree"
    #: The attribute with a group's name.
    name: str = "cn"
    #: The attribute of people that names their groups, where the server has one.
    membership: str = "memberOf"
    #: Whether who is in a group is in the groups that this one is in.
    nested: bool = True
    #: The DN of the group whose members are administrators; empty: none.
    admins: str = ""


@dataclass(frozen=True, slots=True)
class LDAPServer:
    """One directory: accounts are linked under ``name``; ``urls`` are asked in order until one answers."""

    name: str
    urls: tuple[str, ...]
    base: str
    start_tls: bool = True
    ca_file: Path | None = None
    verify: bool = True
    search_dn: str = ""
    search_password: str = field(default="", repr=False)
    filter: str = ""
    uid: str = "uid"
    scope: Scope = "subtree"
    #: Seconds for one conversation, from the look-up of the host's name to the last answer.
    timeout: float = 5.0
    groups: GroupSearch = GroupSearch()


@dataclass(frozen=True, slots=True)
class Address:
    """One URL of a server, taken apart."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'ldaps' if self.tls else 'ldap'}://{host}:{self.port}"


def parse_url(url: str) -> Address:
    """``ldap://host``, ``ldaps://host:port``; a bare host stands for ldap. Raises ValueError."""
    parts = urlsplit(url if "://" in url else f"ldap://{url}")
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in PORTS or not parts.hostname or port == -1:
        raise ValueError(
            f"{url!r} is no LDAP server: write ldaps://HOST or ldap://HOST, with :PORT"
        )
    if parts.path not in ("", "/") or parts.query or parts.username is not None:
        raise ValueError(
            f"{url!r} says more than where the server is; base DN, filter and who searches have keys "
            "of their own"
        )
    return Address(parts.hostname, port or PORTS[parts.scheme], parts.scheme == "ldaps")


class DirectoryUnavailable(Exception):
    """A server does not answer, or not as one should: nothing is known about anybody. The message
    names the server and says what went wrong and what to do; it is for administrators."""


class DirectoryRefused(Exception):
    """A server answers, but does not do what is asked: the configuration does not fit it. The
    message is for administrators. ``code`` is the server's, 0 without one."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Group:
    """A group as the directory has it."""

    dn: str
    name: str


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody as the directory has them. ``subject`` stays when they are renamed or moved."""

    server: str
    dn: str
    uid: str
    subject: str
    mail: str = ""
    real_name: str = ""
    #: The DNs of groups that the entry itself names.
    member_of: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()
    #: None: the directory does not say, because no group of administrators is configured.
    is_admin: bool | None = None


class Reason(enum.Enum):
    """Why a login is refused."""

    EMPTY = "a password is needed; an empty one never proves anything"
    UNREADABLE = "no directory has such a name or password"
    UNKNOWN = "nobody of that name is found"
    AMBIGUOUS = "the name fits more than one entry"
    REFUSED = "the password is refused"


@dataclass(frozen=True, slots=True)
class Refusal:
    """``sentence`` says more than whoever logs in may know: it is for logs and for tests."""

    reason: Reason
    sentence: str


@dataclass(frozen=True, slots=True)
class Query:
    """One thing that a server was asked: what, of whom, for how long, and what came of it."""

    what: str
    server: str
    milliseconds: float
    result: str


class Trace:
    """What was asked so far, in order; bounded."""

    def __init__(self) -> None:
        self.queries: list[Query] = []

    @contextmanager
    def step(self, what: str, server: str) -> Iterator["Step"]:
        """Time what happens inside; what is raised there is its result."""
        step = Step()
        began = perf_counter()
        try:
            yield step
        except BaseException as error:
            step.result = str(error) or "not finished"
            raise
        finally:
            self.note(what, server, step.result, (perf_counter() - began) * 1000)

    def note(self, what: str, server: str, result: str, milliseconds: float = 0.0) -> None:
        """Add something that was not, or need not be, timed."""
        if len(self.queries) < _MOST_QUERIES:
            self.queries.append(Query(what, server, round(milliseconds, 2), result))


class Step:
    """What one step comes to say of itself."""

    def __init__(self) -> None:
        self.result = "done"


_MOST_QUERIES: Final = 200
