"""Logins that directories decide: an Authenticator of :mod:`longshore.identity.authentication`."""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from cachetools import TTLCache

from longshore.access.header import Login, basic
from longshore.access.proofs import Proofs
from longshore.identity.authentication import Proof
from longshore.ldap.accounts import Accounts, NotLinked
from longshore.ldap.directory import Directory, Observe, unobserved
from longshore.ldap.model import (
    DirectoryRefused,
    DirectoryUnavailable,
    LDAPServer,
    Person,
    Reason,
)
from longshore.oci.errors import Unavailable
from longshore.outbox.model import Origin

logger = logging.getLogger(__name__)

_REFUSALS: Final = 4096

#: The servers as they are configured now, in order.
Servers = Callable[[], Awaitable[Sequence[LDAPServer]]]


class Directories:
    """A directory for each configured server, with what it learnt, for as long as it is configured so."""

    def __init__(
        self,
        servers: Servers,
        monotonic: Callable[[], float] = time.monotonic,
        observe: Observe = unobserved,
    ) -> None:
        self._servers = servers
        self._monotonic = monotonic
        self._observe = observe
        self._known: dict[LDAPServer, Directory] = {}
        #: Grows when the servers are others.
        self.generation = 0

    async def all(self) -> list[Directory]:
        """In order. Raises ValueError for a configuration that makes no sense."""
        wanted = tuple(await self._servers())
        if wanted != tuple(self._known):
            self.generation += 1
            self._known = {
                server: self._known.get(server) or Directory(server, self._monotonic, self._observe)
                for server in wanted
            }
        return list(self._known.values())


class DirectoryLogins:
    """Asks the directories in order whose password that is. One per process."""

    def __init__(
        self,
        directories: Directories,
        accounts: Accounts,
        *,
        refusals: float = 30.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """A refusal of the same name and password is remembered for ``refusals`` seconds, so that who
        repeats a wrong one does not lock an account."""
        self._directories = directories
        self._accounts = accounts
        self._refused: Proofs[bool] = Proofs(TTLCache(_REFUSALS, refusals, timer=monotonic))

    async def start(self) -> None:
        """Nothing to begin: connections are made for each login."""

    async def stop(self) -> None:
        """Nothing to end."""

    async def authenticate(self, login: Login, client: str) -> Proof | None:
        """See :class:`longshore.identity.authentication.Authenticator`."""
        try:
            password = login.password.decode()
        except UnicodeDecodeError:
            return None  # LDAP knows passwords of UTF-8 only
        directories = await self._directories.all()
        if not (directories and password):
            return None
        key, generation = self._refused.key(basic(login)), self._directories.generation
        if self._refused.find(key, generation):
            return None
        away: Exception | None = None
        right = False
        for directory in directories:
            try:
                person = await self._ask(directory, login.user, password)
            except (DirectoryUnavailable, DirectoryRefused) as error:
                away = away or error
                continue
            if person is None:
                continue
            right = True
            proof = await self._proof(person, client)
            if proof is not None:
                return proof
        if away is not None:
            # The log says which and why; whoever logs in need not know what there is inside.
            raise Unavailable(
                "a directory that may know this user does not answer now; try again in a minute"
            ) from away
        if not right:
            self._refused.remember(key, generation, True)
        return None

    async def _ask(self, directory: Directory, name: str, password: str) -> Person | None:
        server = directory.server.name
        try:
            found = await directory.log_in(name, password)
        except DirectoryRefused as error:
            logger.error("LDAP server %s: %s", server, error)  # noqa: TRY400 - no defect of ours
            raise
        if isinstance(found, Person):
            return found
        level = logging.DEBUG if found.reason is Reason.UNKNOWN else logging.INFO
        logger.log(level, "LDAP server %s refuses %r: %s", server, name, found.sentence)
        return None

    async def _proof(self, person: Person, client: str) -> Proof | None:
        try:
            account = await self._accounts.of(person, Origin(actor=person.uid, address=client))
        except NotLinked as error:
            logger.warning("%s", error)
            return None
        return Proof(account.user.name, account.seal, by_password=True)
