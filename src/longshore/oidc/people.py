"""Who somebody is by the claims of a provider."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from longshore.oidc import group_filter
from longshore.oidc.settings import ProviderSettings

_LONGEST: Final = 255
_MOST_GROUPS: Final = 1000
#: What names of users cannot hold, see ``longshore.identity.validation``.
_UNFIT: Final = re.compile(r'[,"~#%$:\s]+')


@dataclass(frozen=True, slots=True)
class Person:
    """``subject`` is what never changes at the provider. ``name`` is a suggestion. ``is_admin`` is None
    where no group says so; ``groups`` None where the provider is not asked for them."""

    provider: str
    subject: str
    name: str
    email: str
    real_name: str
    groups: tuple[str, ...] | None
    is_admin: bool | None


def person(provider: ProviderSettings, claims: Mapping[str, Any]) -> Person:
    """The person that verified claims are about."""
    listed = _texts(claims.get(provider.groupsclaim)) if provider.groupsclaim else []
    kept = group_filter.matching(provider.groupfilter, listed)
    admin = provider.admingroup in listed if provider.admingroup else None
    groups = tuple(dict.fromkeys(f"{provider.groupprefix}{name}" for name in kept))
    return Person(
        provider.account_name,
        claims["sub"],
        _name(provider, claims),
        _text(claims, "email") if claims.get("email_verified") is not False else "",
        _text(claims, "name"),
        groups if provider.groupsclaim else None,
        admin,
    )


def _name(provider: ProviderSettings, claims: Mapping[str, Any]) -> str:
    found = (
        _text(claims, provider.userclaim)
        or _text(claims, "preferred_username")
        or _text(claims, "email").partition("@")[0]
        or str(claims["sub"])
    )
    printable = "".join(character for character in found if character.isprintable())
    return _UNFIT.sub("-", printable)[: _LONGEST - 10].strip() or "user"


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value[:_LONGEST] if isinstance(value, str) else ""


def _texts(value: Any) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    return [
        text for text in listed[:_MOST_GROUPS] if isinstance(text, str) and 0 < len(text) <= 200
    ]
