"""Search filters: RFC 4515. What a person typed is a value in a tree, never part of a text that is
parsed, so there is nothing in a name that could be a filter."""

from collections.abc import Sequence
from typing import Final

import sansldap
from sansldap import LDAPFilter

#: Active Directory follows a chain of groups itself, in either direction ("in chain").
IN_CHAIN: Final = "1.2.840.113556.1.4.1941"
_LONGEST: Final = 4096


def parse(text: str) -> LDAPFilter | None:
    """A filter that an administrator wrote, with or without the outer parentheses; None when it is
    empty. Raises ValueError."""
    stripped = text.strip()
    if not stripped:
        return None
    if len(stripped) > _LONGEST:
        raise ValueError(f"a filter of {len(stripped)} characters; at most {_LONGEST} are read")
    whole = stripped if stripped.startswith("(") else f"({stripped})"
    try:
        return LDAPFilter.from_string(whole)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{stripped!r} is no LDAP filter: {error}") from error


def equal(attribute: str, value: str | bytes) -> LDAPFilter:
    """Whose attribute has exactly this value."""
    return sansldap.FilterEquality(attribute, value if isinstance(value, bytes) else value.encode())


def starts_with(attribute: str, value: str) -> LDAPFilter:
    """Whose attribute begins with this value."""
    return sansldap.FilterSubstrings(attribute, value.encode(), [], None)


def contains(attribute: str, value: str) -> LDAPFilter:
    """Whose attribute has this value somewhere; any value where it is empty."""
    if not value:
        return sansldap.FilterPresent(attribute)
    return sansldap.FilterSubstrings(attribute, None, [value.encode()], None)


def in_chain(attribute: str, dn: str) -> LDAPFilter:
    """Who is, over any number of groups, in ``dn`` (or has it in them): Active Directory only."""
    return sansldap.FilterExtensibleMatch(IN_CHAIN, attribute, dn.encode(), False)


def every(*parts: LDAPFilter | None) -> LDAPFilter:
    """All of those that are given; at least one is."""
    given = [part for part in parts if part is not None]
    return given[0] if len(given) == 1 else sansldap.FilterAnd(given)


def some(parts: Sequence[LDAPFilter]) -> LDAPFilter:
    """Any of them."""
    return parts[0] if len(parts) == 1 else sansldap.FilterOr(list(parts))
