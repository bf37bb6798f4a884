"""What routes ask of LDAP directories."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from longshore.api.caller import Caller
from longshore.api.errors import BadRequest, Conflict, NotFound
from longshore.api.services import Services
from longshore.identity import store
from longshore.ldap import install
from longshore.ldap.model import DirectoryRefused, DirectoryUnavailable, Group, LDAPServer
from longshore.oci.errors import Unavailable

if TYPE_CHECKING:
    from longshore.ldap.lookup import Lookup

logger = logging.getLogger(__name__)


_NONE: Final = (
    "no LDAP server is configured: see longshore.ldap.servers in config.yml, or ldap_url of "
    "/api/v2.0/configurations"
)


async def servers(services: Services) -> Sequence[LDAPServer]:
    """The directories that are configured now, in order."""
    return await services.ldap_servers()


def none_known(services: Services) -> BadRequest:
    """What is said where there is no directory."""
    problem = services.ldap_servers.problem
    return BadRequest(
        f"the LDAP server of /api/v2.0/configurations cannot be asked: {problem}"
        if problem
        else _NONE
    )


async def lookup(services: Services) -> "Lookup":
    """For searching. Raises BadRequest where no directory is configured."""
    found = await servers(services)
    if not found:
        raise none_known(services)
    return install.lookup(found)


@contextmanager
def asking(caller: Caller) -> Iterator[None]:
    """That a directory does not answer is told to the client; administrators are told more."""
    try:
        yield
    except (DirectoryUnavailable, DirectoryRefused) as error:
        logger.warning("LDAP, for %r: %s", caller.name, error)
        told = str(error) if caller.is_admin else "an LDAP server does not answer now; ask again"
        raise Unavailable(told) from error


async def onboarded(services: Services, name: str, caller: Caller) -> int | None:
    """The id of the user ``name``, made if a directory knows them and they have not logged in yet; None when nobody
    does. Raises Conflict when the name in the directory is another user's here."""
    known = await services.database.read(lambda connection: store.find_user(connection, name=name))
    if known is not None:
        return known.id
    if not await servers(services):
        return None
    from longshore.ldap.accounts import Accounts, NotLinked

    try:
        with asking(caller):
            accounts = Accounts(services.changes)
            found = await (await lookup(services)).onboard(name, accounts, caller.origin)
    except NotLinked as error:
        raise Conflict(str(error)) from error
    return None if found is None else found.user.id


async def resolved(services: Services, dn: str, caller: Caller) -> Group:
    """The group of that DN, spelled as its directory does: which is how a login finds it again. Raises NotFound.
    Where no directory is configured the DN stands for itself."""
    if not await servers(services):
        return Group(dn, "")
    with asking(caller):
        found = await (await lookup(services)).groups("", dn, 1)
    if not found:
        raise NotFound(f"no LDAP server has a group {dn[:300]!r} that groups.filter fits")
    return found[0]
