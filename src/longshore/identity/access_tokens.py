"""Personal access tokens: what a user gives to programs instead of a password, to do less with."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from longshore.identity import credentials, permissions
from longshore.identity.credentials import LENGTH, PERSONAL_PREFIX, Credential
from longshore.identity.errors import IdentityError
from longshore.identity.model import ANYWHERE, MARK, NOWHERE, Places, Standing, View
from longshore.identity.permissions import Permission, Permissions

#: Access tokens that one user may have.
MOST: Final = 100
#: The one whose secret somebody chose, of a user who has no password here.
CHOSEN: Final = "CLI secret"
#: What it is called in proofs.
KIND: Final = "access-token"
#: A token with it does whatever its user may, also beside the registry of images.
MANAGE: Final = "manage"
#: What tokens of a scope may do of what their user may.
SCOPES: Final[Mapping[str, Permissions]] = {
    "pull": permissions.LIMITED_GUEST,
    "push": permissions.DEVELOPER,
    "delete": permissions.MAINTAINER,
    MANAGE: permissions.PROJECT,
}
_SEES: Final = Permission("project", "read")
_TEXT: Final = re.compile(rf"{PERSONAL_PREFIX}[A-Za-z0-9_-]{{{LENGTH - len(PERSONAL_PREFIX)}}}")
_LONGEST_NAME: Final = 100
_MOST_PROJECTS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken(Credential):
    """One of ``user``'s; ``projects`` are the only ones that it is good for, none: all."""

    user: str
    user_id: int
    name: str
    scopes: tuple[str, ...]
    projects: tuple[str, ...]

    @property
    def login(self) -> str:
        """The name under which standings know it."""
        return f"{self.user}{MARK}{self.id}"

    @property
    def is_limited(self) -> bool:
        """Whether it may do less than its user."""
        return MANAGE not in self.scopes or bool(self.projects)

    def covers(self, project: str) -> bool:
        """Whether it is good for that project; elsewhere it may do what everybody may."""
        return not self.projects or project in self.projects


def is_one(password: bytes) -> bool:
    """Whether that is an access token, good or not: it is no password then, and no directory is asked."""
    return len(password) == LENGTH and bool(_TEXT.fullmatch(password.decode("latin-1")))


def name_of(text: str) -> str:
    """``text``, if a token may have that name. Raises IdentityError."""
    if not (0 < len(text) <= _LONGEST_NAME and text.isprintable() and text == text.strip()):
        raise IdentityError(
            f"{text[:120]!r} is no name of an access token: 1 to {_LONGEST_NAME} printable characters, no "
            "space at the ends"
        )
    return text


def scopes_of(given: Iterable[str]) -> list[str]:
    """Scopes as they are kept. Raises IdentityError."""
    found = list(dict.fromkeys(given))
    unknown = [scope for scope in found if scope not in SCOPES]
    if unknown or not found:
        what = f"{unknown[0][:60]!r} is no scope" if unknown else "a token needs a scope"
        raise IdentityError(f"scopes: {what}; there are {', '.join(SCOPES)}")
    return [scope for scope in SCOPES if scope in found]


def projects_of(given: Iterable[str]) -> list[str]:
    """Names of projects as they are kept. Raises IdentityError."""
    found = list(dict.fromkeys(given))
    if len(found) > _MOST_PROJECTS:
        raise IdentityError(
            f"projects: {len(found)} are given; a token is for {_MOST_PROJECTS} or all"
        )
    return found


def limited(standing: Standing, token: AccessToken, now: float) -> Standing:
    """What is left of a user's ``standing`` for who has ``token``."""
    former = token.former(now)
    known = replace(
        standing,
        user=token.login,
        seal=credentials.seal(KIND, token.id, token.secret_hash),
        former_seal=credentials.seal(KIND, token.id, former) if former else "",
        token=token.id,
        expired=token.expired(now),
        networks=credentials.parsed(token.networks),
        changes_at=changes_at(token, now),
    )
    if not token.is_limited:
        return known
    only = frozenset(token.projects) or None
    most = frozenset[Permission]().union(*(SCOPES[scope] for scope in token.scopes))
    if not token.covers(standing.project):
        most = frozenset()
    given = standing.permissions & most if standing.exists else frozenset()
    # A public project is one to everybody, and stays so for them.
    own = NOWHERE
    if standing.is_admin:
        own = ANYWHERE if only is None else Places(only)
    view = View.of(own, standing.user_id or None, only)
    return replace(
        known, is_admin=False, roles=frozenset(), given=given, most=most, limited=True, view=view
    )


def changes_at(credential: Credential, now: float) -> float:
    """When something about it changes by itself, at the earliest."""
    times = (credential.expires_at, credential.former_until)
    return min((time for time in times if time is not None and time > now), default=float("inf"))
