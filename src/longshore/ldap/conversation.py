"""What is said on one connection: who searches, what kind of server it is, people and their groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sansldap import LDAPFilter

from longshore.ldap import filters, names
from longshore.ldap.connection import Bound, Connection, Entry
from longshore.ldap.model import DirectoryRefused, Group, LDAPServer, Person, Scope, Trace
from longshore.ldap.people import ATTRIBUTES, person

#: What a server with this capability is: Active Directory (MS-ADTS section 3.1.1.3.4.3).
_ACTIVE_DIRECTORY: Final = "1.2.840.113556.1.4.800"
_MOST_GROUPS: Final = 1000
#: How many groups into each other are followed where the server does not do it itself.
_DEEPEST: Final = 16
#: How many names one query asks for.
_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Kind:
    """What a server says of itself."""

    active_directory: bool = False
    #: Active Directory: the DN of the domain, its DNS name, and where its short name is kept.
    domain: str = ""
    configuration: str = ""

    @property
    def realm(self) -> str:
        return names.domain(self.domain)


class Conversation:
    """Raises DirectoryUnavailable and DirectoryRefused, as a connection does."""

    def __init__(self, connection: Connection, server: LDAPServer, trace: Trace) -> None:
        self._connection, self._server, self._trace = connection, server, trace
        self._where = str(connection.address)
        self._wanted = filters.parse(server.filter)
        self._wanted_groups = filters.parse(server.groups.filter)

    async def begin(self) -> None:
        """Become the one who searches; nobody in particular when none is configured."""
        dn = self._server.search_dn
        if not dn:
            return
        with self._trace.step(f"bind as {dn}", self._where):
            bound = await self._connection.bind(dn, self._server.search_password)
            if not bound:
                raise DirectoryRefused(
                    f"{self._where} does not let searchdn {dn!r} in: {bound.sentence}"
                )

    async def bind(self, dn: str, password: str) -> Bound:
        """Try somebody's password."""
        with self._trace.step(f"bind as {dn}", self._where) as step:
            bound = await self._connection.bind(dn, password)
            step.result = bound.sentence or "the password is right"
        return bound

    async def kind(self) -> Kind:
        """Ask the server what it is."""
        attributes = (
            "supportedCapabilities",
            "defaultNamingContext",
            "configurationNamingContext",
        )
        with self._trace.step("read the root entry", self._where) as step:
            found = await self._connection.search("", "base", None, attributes, limit=1)
            entry = found[0] if found else Entry("", {})
            is_ad = _ACTIVE_DIRECTORY in entry.texts("supportedCapabilities")
            step.result = "Active Directory" if is_ad else "an LDAP server"
        if not is_ad:
            return Kind()
        return Kind(
            True, entry.text("defaultNamingContext"), entry.text("configurationNamingContext")
        )

    async def short_name(self, kind: Kind) -> str:
        """The NetBIOS name of an Active Directory domain: ``AD`` of ``AD\\alice``."""
        wanted = filters.every(
            filters.equal("objectClass", "crossRef"), filters.equal("nCName", kind.domain)
        )
        found = await self._search(
            f"CN=Partitions,{kind.configuration}", "onelevel", wanted, ("nETBIOSName",), limit=1
        )
        return found[0].text("nETBIOSName") if found else ""

    async def find(self, wanted: LDAPFilter, limit: int) -> list[Person]:
        """People, without their groups."""
        found = await self._search(
            self._server.base,
            self._server.scope,
            filters.every(self._wanted, wanted),
            (self._server.uid, self._server.groups.membership, *ATTRIBUTES),
            limit=limit,
        )
        return [person(entry, self._server) for entry in found]

    async def groups(self, who: Person, kind: Kind) -> tuple[tuple[Group, ...], bool | None]:
        """The groups that somebody is in, and whether they are an administrator; None when no group
        says so."""
        search = self._server.groups
        found: dict[str, Group] = {}
        if search.base and kind.active_directory:
            found = await self._named_groups(_member_of_ad(who, nested=search.nested))
        elif search.base:
            found = await self._groups_by_level(who)
        groups = tuple(found.values())
        if not search.admins:
            return groups, None
        if names.normalized(search.admins) in found:
            return groups, True
        # It need not be one of those that have a place in the registry.
        if kind.active_directory:
            member = _member_of_ad(who, nested=search.nested)
        else:
            inner = [group.dn for group in groups] if search.nested else []
            member = filters.some([*_members(who), *_members_of(inner[:_AT_ONCE])])
        admins = await self._search(search.admins, "base", member, ("1.1",), limit=1, may_lack=True)
        return groups, bool(admins)

    async def _groups_by_level(self, who: Person) -> dict[str, Group]:
        """First those that somebody is in, then those that these are in, and so on."""
        named = [filters.equal("entryDN", dn) for dn in who.member_of[:_MOST_GROUPS]]
        found: dict[str, Group] = {}
        wanted = [*_members(who), *named]
        for _ in range(_DEEPEST if self._server.groups.nested else 1):
            level: dict[str, Group] = {}
            for start in range(0, len(wanted), _AT_ONCE):
                part = filters.some(wanted[start : start + _AT_ONCE])
                level |= await self._named_groups(part)
            new = {key: group for key, group in level.items() if key not in found}
            found |= new
            if not new or len(found) >= _MOST_GROUPS:
                break
            wanted = _members_of([group.dn for group in new.values()])
        return found

    async def _named_groups(self, wanted: LDAPFilter) -> dict[str, Group]:
        found = await self.find_groups(wanted, _MOST_GROUPS)
        base = self._server.groups.base
        # A server that names what is elsewhere could put people into another directory's groups.
        inside = [group for group in found if names.under(group.dn, base)]
        return {names.normalized(group.dn): group for group in inside}

    async def find_groups(self, wanted: LDAPFilter | None, limit: int) -> list[Group]:
        """Groups of the configured place and filter."""
        search = self._server.groups
        both = [part for part in (self._wanted_groups, wanted) if part is not None]
        found = await self._search(
            search.base,
            search.scope,
            filters.every(*both) if both else filters.contains("objectClass", ""),
            (search.name,),
            limit=limit,
        )
        return [self._group(entry) for entry in found]

    async def group(self, dn: str) -> Group | None:
        """The group of that DN, if there is one that the filter wants."""
        found = await self._search(
            dn, "base", self._wanted_groups, (self._server.groups.name,), limit=1, may_lack=True
        )
        return self._group(found[0]) if found else None

    def _group(self, entry: Entry) -> Group:
        name = entry.text(self._server.groups.name) or names.relative(entry.dn)
        return Group(entry.dn, name)

    async def _search(
        self,
        base: str,
        scope: Scope,
        wanted: LDAPFilter | None,
        attributes: Sequence[str],
        *,
        limit: int,
        may_lack: bool = False,
    ) -> list[Entry]:
        """``may_lack``: that there is no such base is an answer, and none found."""
        what = f"search {wanted or '(objectClass=*)'} in {base!r} ({scope})"
        with self._trace.step(what[:2000], self._where) as step:
            try:
                found = await self._connection.search(
                    base, scope, wanted, attributes, limit=limit, seconds=self._server.timeout
                )
            except DirectoryRefused as error:
                if not (may_lack and error.code in _NO_SUCH_ENTRY):
                    raise
                found = []
            step.result = f"{len(found)} found"
            if 0 < len(found) <= 5:
                step.result += ": " + "; ".join(entry.dn for entry in found)
        return found


#: Result codes noSuchObject and invalidDNSyntax.
_NO_SUCH_ENTRY: Final = frozenset({32, 34})


def _member_of_ad(who: Person, *, nested: bool) -> LDAPFilter:
    return filters.in_chain("member", who.dn) if nested else filters.equal("member", who.dn)


def _members(who: Person) -> list[LDAPFilter]:
    """What the usual kinds of groups say of a member: RFC 4519, RFC 2307."""
    return [*_members_of([who.dn]), filters.equal("memberUid", who.uid)]


def _members_of(dns: Sequence[str]) -> list[LDAPFilter]:
    return [filters.equal(kind, dn) for dn in dns for kind in ("member", "uniqueMember")]
