"""Looking for people and groups in every configured directory, for administrators."""

from longshore.identity.elsewhere import Account
from longshore.ldap.accounts import Accounts
from longshore.ldap.logins import Directories
from longshore.ldap.model import Group, Person
from longshore.outbox.model import Origin


class Lookup:
    """Every method raises DirectoryUnavailable or DirectoryRefused when one of the directories that have to
    be asked does not say."""

    def __init__(self, directories: Directories) -> None:
        self._directories = directories

    async def people(self, text: str, limit: int) -> list[Person]:
        """People whose login name has ``text`` in it, of each directory in turn."""
        found: list[Person] = []
        for directory in await self._directories.all():
            if len(found) < limit:
                found += await directory.search_people(text, limit - len(found))
        return found

    async def groups(self, name: str, dn: str, limit: int) -> list[Group]:
        """The group of a DN, or those whose name has ``name`` in it."""
        found: list[Group] = []
        for directory in await self._directories.all():
            if len(found) < limit and (dn or directory.server.groups.base):
                found += await directory.search_groups(name, dn, limit - len(found))
        return found

    async def person(self, name: str) -> Person | None:
        """Who ``name`` is in the first directory that knows them, with groups."""
        for directory in await self._directories.all():
            found = await directory.look_up(name)
            if isinstance(found, Person):
                return found
        return None

    async def onboard(self, name: str, accounts: Accounts, origin: Origin) -> Account | None:
        """The account of somebody who has not logged in yet; None when no directory knows them. Raises
        NotLinked when another account has the name."""
        person = await self.person(name)
        return None if person is None else await accounts.of(person, origin)
