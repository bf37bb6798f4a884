"""The directory that administrators describe while the registry runs: Harbor's keys ``ldap_*`` are one more
server, :data:`longshore.ldap.settings.HARBOR`."""

from collections.abc import Callable, Mapping
from typing import Final

from longshore.ldap import filters
from longshore.ldap.model import GroupSearch, LDAPServer, Scope, parse_url
from longshore.ldap.settings import HARBOR

PREFIX: Final = "ldap_"
_SCOPES: Final[Mapping[int, Scope]] = {0: "base", 1: "onelevel", 2: "subtree"}


def server(
    values: Mapping[str, bool | int | str], secret: Callable[[str], str]
) -> LDAPServer | None:
    """The server that values and secrets by their keys describe; None when ``ldap_url`` is empty. Raises
    ValueError when they describe none: the message names keys, and shows no secret."""
    url, base = str(values["ldap_url"]).strip(), str(values["ldap_base_dn"]).strip()
    if not url:
        return None
    parse_url(url)
    if not base:
        raise ValueError("ldap_base_dn is empty: it says where in the directory people are")
    search_dn, password = str(values["ldap_search_dn"]), secret("ldap_search_password")
    if bool(search_dn) != bool(password):
        raise ValueError(
            "ldap_search_dn and ldap_search_password belong together: a name without a password proves "
            "nothing; empty both to search as nobody in particular"
        )
    if not str(values["ldap_uid"]):
        raise ValueError("ldap_uid is empty: it names the attribute with the login name")
    for key in ("ldap_filter", "ldap_group_search_filter"):
        try:
            filters.parse(str(values[key]))
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from error
    return LDAPServer(
        name=HARBOR,
        urls=(url,),
        base=base,
        verify=bool(values["ldap_verify_cert"]),
        search_dn=search_dn,
        search_password=password,
        filter=str(values["ldap_filter"]),
        uid=str(values["ldap_uid"]),
        scope=_SCOPES[int(values["ldap_scope"])],
        timeout=float(values["ldap_timeout"]),
        groups=_groups(values, base),
    )


def _groups(values: Mapping[str, bool | int | str], base: str) -> GroupSearch:
    filter, admins = str(values["ldap_group_search_filter"]), str(values["ldap_group_admin_dn"])
    where = str(values["ldap_group_base_dn"]).strip()
    if not where and (filter or admins):
        where = base  # as Harbor does
    return GroupSearch(
        base=where,
        filter=filter,
        scope=_SCOPES[int(values["ldap_group_search_scope"])],
        name=str(values["ldap_group_attribute_name"]) or "cn",
        membership=str(values["ldap_group_membership_attribute"]) or "memberOf",
        admins=admins,
    )
