"""Settings of LDAP: the directories whose people may log in."""

from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from longshore.config.quantities import Seconds
from longshore.config.section import Section, Table, required, setting
from longshore.ldap.model import GroupSearch, LDAPServer, Scope, parse_url

#: The server that Harbor's configuration keys describe: nobody else's name.
HARBOR: Final = "harbor"


def _urls(text: str) -> str:
    for url in text.split():
        parse_url(url)
    if not text.strip():
        raise ValueError("a server needs a URL: write ldaps://HOST")
    return text


class LDAPGroupSettings(Table):
    basedn: str = setting("", "Where groups are; empty: people have no groups from here.")
    filter: str = setting("", "Which entries there are groups: (objectClass=groupOfNames).")
    scope: Scope = setting("subtree", "How deep below basedn they are.")
    name: str = setting("cn", "The attribute with a group's name.")
    membership: str = setting(
        "memberOf", "The attribute of people that names their groups, if the server has one."
    )
    nested: bool = setting(True, "Who is in a group is in the groups that this one is in.")
    admins: str = setting("", "The DN of the group whose members are administrators.")


class LDAPServerSettings(Table):
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")] = required(
        "Its own name, in lower case; accounts are linked under it, so it stays."
    )
    url: Annotated[str, AfterValidator(_urls)] = required(
        "ldaps://HOST or ldap://HOST, with :PORT; several, separated by spaces, for the hosts of one "
        "directory, of which the first that answers is asked."
    )
    starttls: bool = setting(True, "Encrypt ldap:// by StartTLS before anything is said.")
    cafile: Path | None = setting(
        None, "PEM file with the authorities that sign its certificate; the system's without."
    )
    verify: bool = setting(True, "Check the certificate; without, anybody may be the server.")
    searchdn: str = setting(
        "",
        "Who searches: a DN, with Active Directory also user@realm. Empty: nobody in particular.",
    )
    searchpassword: SecretStr = setting(SecretStr(""), "The password of searchdn.")
    basedn: Annotated[str, Field(min_length=1)] = required("Where people are.")
    filter: str = setting("", "Which entries there may log in: (objectClass=person).")
    uid: Annotated[str, Field(min_length=1)] = setting(
        "uid", "The attribute with the login name; sAMAccountName for Active Directory."
    )
    scope: Scope = setting("subtree", "How deep below basedn they are.")
    timeout: Annotated[Seconds, Field(gt=0, le=60)] = setting(
        5.0, "How long a login may take there, everything included."
    )
    groups: LDAPGroupSettings = setting(LDAPGroupSettings(), "Which groups people are in.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if bool(self.searchdn) != bool(self.searchpassword.get_secret_value()):
            raise ValueError(
                "searchdn and searchpassword belong together: a name without a password proves "
                "nothing; leave both out to search as nobody in particular"
            )
        return self

    @property
    def server(self) -> LDAPServer:
        """The same as a value."""
        groups = self.groups
        return LDAPServer(
            name=self.name,
            urls=tuple(self.url.split()),
            base=self.basedn,
            start_tls=self.starttls,
            ca_file=self.cafile,
            verify=self.verify,
            search_dn=self.searchdn,
            search_password=self.searchpassword.get_secret_value(),
            filter=self.filter,
            uid=self.uid,
            scope=self.scope,
            timeout=self.timeout,
            groups=GroupSearch(
                base=groups.basedn,
                filter=groups.filter,
                scope=groups.scope,
                name=groups.name,
                membership=groups.membership,
                nested=groups.nested,
                admins=groups.admins,
            ),
        )


class LDAPSettings(Section):
    key = "longshore.ldap"

    refusals: Annotated[Seconds, Field(ge=0, le=3600)] = setting(
        30.0,
        "How long a refused name and password is remembered, so that who repeats it locks no account.",
    )
    servers: tuple[LDAPServerSettings, ...] = setting(
        (), "Directories, asked in this order after the registry's own users."
    )

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [server.name for server in self.servers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"two servers are called {twice[0]!r}; accounts are linked under a server's name, so "
                "each needs its own"
            )
        if HARBOR in names:
            raise ValueError(
                f"no server here can be called {HARBOR!r}: that is the one of ldap_url and the other keys of "
                "/api/v2.0/configurations"
            )
        return self

    @property
    def values(self) -> tuple[LDAPServer, ...]:
        """The servers, in order."""
        return tuple(server.server for server in self.servers)
