"""What ``longshore.app`` calls."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

import anyio.to_thread

from longshore.db.encryption import Undecipherable
from longshore.oci.errors import Unavailable
from longshore.system.complaint import Complaint, Warn, unshown

if TYPE_CHECKING:
    from longshore.access.header import Login
    from longshore.identity.authentication import Authenticator, Proof
    from longshore.identity.changes import Changes
    from longshore.ldap.directory import Observe
    from longshore.ldap.logins import DirectoryLogins
    from longshore.ldap.lookup import Lookup
    from longshore.ldap.model import LDAPServer
    from longshore.ldap.settings import LDAPSettings

Values = Mapping[str, bool | int | str]
#: Harbor's keys ``ldap_*``, and what decrypts the secrets among them.
Stored = Callable[[], Awaitable[tuple[Values, Callable[[str], str]]]]


class ConfiguredServers:
    """The servers of config.yml and, behind them, that of Harbor's keys."""

    def __init__(self, settings: "LDAPSettings", stored: Stored, warn: Warn = unshown) -> None:
        """``warn`` is told when the keys describe none that can be asked, which they did when they were set: the
        extra is not installed any more, or somebody has changed rows or keys by hand."""
        self._configured = settings.values
        self._stored = stored
        self._complaint = Complaint("ldap_", "nobody can log in with that LDAP server", warn)

    @property
    def problem(self) -> str:
        """What was wrong with the keys the last time; empty for nothing."""
        return self._complaint.reason

    async def __call__(self) -> "Sequence[LDAPServer]":
        values, secret = await self._stored()
        if not values["ldap_url"]:
            self._complaint.is_over()
            return self._configured
        try:
            require()
            from longshore.ldap import stored as keys

            found = keys.server(values, secret)
        except Unavailable as error:
            self._complaint.make(values, error.message)
            return self._configured
        except (ValueError, Undecipherable) as error:
            self._complaint.make(values, str(error))
            return self._configured
        self._complaint.is_over()
        return self._configured if found is None else (*self._configured, found)


def check_stored(values: Values, secret: Callable[[str], str]) -> None:
    """Raises ValueError when Harbor's keys describe a server that cannot be asked."""
    if not values["ldap_url"]:
        return
    try:
        require()
    except Unavailable as error:
        raise ValueError(error.message) from error
    from longshore.ldap import stored as keys

    keys.server(values, secret)


def authenticator(
    found: ConfiguredServers, settings: "LDAPSettings", changes: "Changes", observe: "Observe"
) -> "Authenticator":
    """Who asks the directories, as soon as there is one. Raises Unavailable for a filter that is none, or for
    servers in config.yml without the extra that they take."""
    check(settings)
    return _Logins(found, settings.refusals, changes, observe)


class _Logins:
    """An Authenticator that needs its libraries, which are slow to start, only where there is a server."""

    def __init__(
        self, found: ConfiguredServers, refusals: float, changes: "Changes", observe: "Observe"
    ) -> None:
        self._servers = found
        self._refusals = refusals
        self._changes = changes
        self._observe = observe
        self._logins: DirectoryLogins | None = None

    async def start(self) -> None:
        """Connections are made for each login."""
        if await self._servers():
            self._logins = await anyio.to_thread.run_sync(self._made)

    async def stop(self) -> None:
        """Nothing to end."""

    async def authenticate(self, login: "Login", client: str) -> "Proof | None":
        """See :class:`longshore.identity.authentication.Authenticator`."""
        if self._logins is None and await self._servers():
            self._logins = await anyio.to_thread.run_sync(self._made)
        proof = None
        if self._logins is not None:
            proof = await self._logins.authenticate(login, client)
        if proof is None and self._servers.problem:
            # Whoever logs in need not know what there is inside.
            raise Unavailable(
                "the LDAP server that may know this user cannot be asked as it is set up: an administrator "
                "finds out why in the log"
            )
        return proof

    def _made(self) -> "DirectoryLogins":
        require()
        from longshore.ldap.accounts import Accounts
        from longshore.ldap.logins import Directories, DirectoryLogins

        directories = Directories(self._servers, observe=self._observe)
        return DirectoryLogins(directories, Accounts(self._changes), refusals=self._refusals)


def lookup(known: "Sequence[LDAPServer]") -> "Lookup":
    """For searching these directories. Raises Unavailable without the extra that this takes, ValueError
    for a filter that is none."""
    require()
    from longshore.ldap.logins import Directories
    from longshore.ldap.lookup import Lookup

    async def always() -> "Sequence[LDAPServer]":
        return known

    return Lookup(Directories(always))


def check(settings: "LDAPSettings") -> None:
    """Raises Unavailable for servers that cannot be asked: a filter that is none, or the extra that
    this takes is not installed."""
    if not settings.servers:
        return
    require()
    from longshore.ldap.directory import Directory

    for server in settings.values:
        try:
            Directory(server)
        except ValueError as error:
            raise Unavailable(f"longshore.ldap.servers, {server.name!r}: {error}") from error


def require() -> None:
    """Raises Unavailable without the extra that asking directories takes."""
    try:
        import_module("longshore.ldap.connection")
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"LDAP needs the library {error.name!r}: install it with pip install 'longshore[ldap]'"
        ) from error
