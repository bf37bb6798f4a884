"""Users, groups, projects, members, and what each role may do.

Roles, their numbers and their rights are those of Harbor 2 (its ``src/common/rbac/project``), so that
whoever moves from there keeps what they have. Administrators make more of them
(:class:`CustomRole`); what somebody may do in a project is what all of their roles give together.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from math import inf
from typing import Final

from longshore.access.model import Action
from longshore.identity import permissions
from longshore.identity.permissions import Permission, Permissions
from longshore.identity.rules import RepositoryRule, decide

#: Who is made at the first start.
ADMIN: Final = "admin"
#: Nobody may have this name: it stands for who did not log in.
ANONYMOUS_USER: Final = "anonymous"

#: What names of robots begin with, and no user's.
ROBOT: Final = "robot+"
#: Stands between a user's name and the number of an access token; no user's name holds it.
MARK: Final = "#"
_NOTHING: Final[Permissions] = frozenset()
_NO_ACTIONS: Final[frozenset[Action]] = frozenset()


class Role(IntEnum):
    """What a member is in a project; the numbers are Harbor's role ids."""

    PROJECT_ADMIN = 1
    DEVELOPER = 2
    GUEST = 3
    MAINTAINER = 4
    LIMITED_GUEST = 5

    @property
    def word(self) -> str:
        """As commands spell it: ``project-admin``."""
        return self.name.lower().replace("_", "-")

    @property
    def permissions(self) -> Permissions:
        """What may be done in the project."""
        return _PERMISSIONS[self]

    @property
    def actions(self) -> frozenset[Action]:
        """What may be done to the project's repositories."""
        return permissions.actions(self.permissions)


#: The strongest first.
_PERMISSIONS: Final[Mapping[Role, Permissions]] = {
    Role.PROJECT_ADMIN: permissions.PROJECT_ADMIN,
    Role.MAINTAINER: permissions.MAINTAINER,
    Role.DEVELOPER: permissions.DEVELOPER,
    Role.GUEST: permissions.GUEST,
    Role.LIMITED_GUEST: permissions.LIMITED_GUEST,
}


#: The smallest id of a custom role: far from the numbers that Harbor has, or may have one day.
FIRST_CUSTOM_ROLE: Final = 1001


@dataclass(frozen=True, slots=True)
class CustomRole:
    """A role that administrators have made: ``id`` is never one of :class:`Role`, ``permissions`` are never more
    than a project administrator's. Times are POSIX seconds."""

    id: int
    name: str
    permissions: Permissions
    description: str = field(default="", compare=False)
    created_at: float = field(default=0.0, compare=False)
    updated_at: float = field(default=0.0, compare=False)

    @property
    def value(self) -> int:
        """The role id, as of :class:`Role`."""
        return self.id

    @property
    def word(self) -> str:
        """As commands spell it."""
        return self.name


AnyRole = Role | CustomRole


class GroupKind(IntEnum):
    """Where a group comes from; the numbers are Harbor's group types."""

    LDAP = 1
    #: Made here, with members that are named here; what Harbor calls HTTP, for which it has no source either.
    TEAM = 2
    OIDC = 3

    @property
    def word(self) -> str:
        """As commands spell it: ``team``."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with a login. Times are POSIX seconds. ``local``: with a password that is kept here.
    ``second_factor``: with a code beside the password."""

    id: int
    name: str
    email: str
    real_name: str
    is_admin: bool
    disabled: bool
    created_at: float
    updated_at: float = 0.0
    comment: str = ""
    local: bool = True
    second_factor: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Users who are members of projects together. ``external_id`` is what the directory calls it, the
    name if there is none."""

    id: int
    kind: GroupKind
    name: str
    external_id: str
    created_at: float


@dataclass(frozen=True, slots=True)
class TeamMember:
    """Somebody in a team; ``maintainer``: may say who else is in it."""

    user_id: int
    user: str
    maintainer: bool


@dataclass(frozen=True, slots=True)
class Project:
    """What repositories ``name/...`` belong to. ``owner`` is who made it, while they exist;
    ``metadata`` is what Harbor's API keeps there, beside ``public``."""

    id: int
    name: str
    public: bool
    owner: str | None
    created_at: float
    updated_at: float = 0.0
    owner_id: int | None = None
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A user's or a group's role in a project: one of ``user`` and ``group`` is empty."""

    project: str
    user: str
    role: AnyRole
    group: str = ""
    id: int = 0
    entity_id: int = 0


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """What stands for ``user``'s password until it is not used for long. ``service`` and ``client_id`` are those
    that it was asked for with, ``address`` where from; times are POSIX seconds."""

    id: int
    user: str
    seal: str
    service: str
    client_id: str
    address: str
    created_at: float
    last_used_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class Misses:
    """Failed logins, none of which is admitted again before ``until``; POSIX seconds."""

    count: int
    until: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class Session:
    """A browser in which ``user`` is logged in. ``seal`` is that of the standing which it was opened for;
    ``address`` and ``user_agent`` are those of the login; ``provider`` is where that was, empty for a password;
    times are POSIX seconds."""

    id: int
    user: str
    user_id: int
    seal: str
    address: str
    user_agent: str
    created_at: float
    last_seen_at: float
    expires_at: float
    provider: str = ""


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """What codes of ``user_id`` are made of. ``secret`` is encrypted. No code counts of the step ``last_step``
    or an earlier one. ``confirmed_at`` is None until a code has shown that the user has the secret, too;
    times are POSIX seconds."""

    user_id: int
    secret: str = field(repr=False)
    last_step: int
    created_at: float
    confirmed_at: float | None


@dataclass(frozen=True, slots=True)
class LinkedIdentity:
    """Somebody whom ``provider`` knows as ``subject``, which never changes there, is a user here."""

    provider: str
    subject: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Places:
    """Projects by name: those ``named`` or, ``everywhere``, all ``but`` some."""

    named: frozenset[str] = frozenset()
    everywhere: bool = False
    but: frozenset[str] = frozenset()


NOWHERE: Final = Places()
ANYWHERE: Final = Places(everywhere=True)


@dataclass(frozen=True, slots=True)
class View:
    """Which projects are in somebody's lists: the public ones, those that ``user`` (an id; None: nobody) is a
    member of (of these none but ``only``, if that is given), and those that they have rights of their own in (``sees``).
    ``reads``: where the repositories are in the lists, too; ``pulls``: where they pull whatever rules say."""

    user: int | None = None
    only: frozenset[str] | None = None
    sees: Places = NOWHERE
    reads: Places = NOWHERE
    pulls: Places = NOWHERE

    @classmethod
    def of(
        cls, places: Places, user: int | None = None, only: frozenset[str] | None = None
    ) -> "View":
        """With all rights in ``places``."""
        return cls(user, only, places, places, places)


@dataclass(frozen=True, slots=True)
class Standing:
    """Somebody (a user, a robot, a user's access token; nobody: the empty name) before one project, as the
    database has it.

    ``seal`` changes with the password, second factor or secret, and is empty when there is nobody of that name; ``former_seal``
    is that of the secret before, while both count. ``second_factor``: a password alone is not enough. ``exists`` is whether there is the project. ``roles`` are the
    user's own and those of their groups. ``given`` are rights beside those of roles, ``system`` those beside
    projects: robots and access tokens have them. ``limited``: less than the user's own rights, by the access
    token ``token``. ``networks``: where else from nobody is let in; none: anywhere. ``view``: None, as users
    have it. ``rules`` are those of the project that concern them, which give no more than ``most`` (None: everything).
    Nothing of this is true any more at ``changes_at`` (POSIX seconds), whatever is committed.
    """

    user: str
    project: str
    seal: str = ""
    user_id: int = 0
    is_admin: bool = False
    disabled: bool = False
    exists: bool = False
    public: bool = False
    roles: frozenset[AnyRole] = frozenset()
    second_factor: bool = False
    former_seal: str = ""
    given: Permissions = _NOTHING
    system: Permissions = _NOTHING
    token: int = 0
    limited: bool = False
    expired: bool = False
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    view: View | None = None
    rules: tuple[RepositoryRule, ...] = ()
    most: Permissions | None = None
    changes_at: float = inf

    def has_sealed(self, seal: str) -> bool:
        """Whether what was proved under ``seal`` counts still."""
        return seal == self.seal or (bool(seal) and seal == self.former_seal)

    @property
    def person(self) -> str:
        """The user whose name that is, or whose token."""
        return self.user.partition(MARK)[0]

    @property
    def sight(self) -> View:
        """Which projects are in their lists."""
        return self.view or View.of(ANYWHERE if self.is_admin else NOWHERE, self.user_id or None)

    @property
    def is_program(self) -> bool:
        """Whether rights were written down for it: a robot, or an access token that may do less than its user."""
        return self.view is not None

    @property
    def ranked(self) -> tuple[AnyRole, ...]:
        """The roles, as they are shown: Harbor's from the strongest down, then custom ones by name."""
        return ranked(self.roles)

    @property
    def permissions(self) -> Permissions:
        """What the user may do in the project."""
        granted = _granted(self.is_admin, self.exists, self.public, self.roles)
        return granted | self.given if self.given else granted

    @property
    def grantable(self) -> Permissions:
        """What the user may let others do in the project: nobody gives more than they have. Whoever administers the
        project may change its rules, so they do not bind what they give."""
        if not self.rules or Role.PROJECT_ADMIN in self.roles:
            return self.permissions
        taken = _NO_ACTIONS.union(*(rule.effective for rule in self.rules if not rule.allows))
        return self.permissions.difference(*(permissions.IN_REPOSITORY[one] for one in taken))

    @property
    def listable(self) -> Permissions:
        """The same as ``permissions``, with the lists that rules let the user see a part of."""
        granted = self.permissions
        if any(rule.allows for rule in self.rules):
            return self._within(granted | permissions.LISTS, granted)
        return granted

    @property
    def actions(self) -> frozenset[Action]:
        """What clients may do for the user to the project's repositories, where no rule says otherwise."""
        return _open(self.permissions)

    def permissions_in(self, repository: str) -> Permissions:
        """What the user may do in one repository of the project."""
        granted = self.permissions
        if not self.rules:
            return granted
        return self._within(decide(self.rules, repository).apply(granted), granted)

    def actions_in(self, repository: str) -> frozenset[Action]:
        """What clients may do for the user to one repository of the project."""
        return _open(self.permissions_in(repository))

    def _within(self, found: Permissions, granted: Permissions) -> Permissions:
        return found if self.most is None else found & (granted | self.most)

    @property
    def sees(self) -> bool:
        """Whether the user may know that the project exists."""
        return bool(self.given) or Permission("project", "read") in self.permissions


def ranked(roles: Collection[AnyRole]) -> tuple[AnyRole, ...]:
    """Harbor's roles from the strongest down, then custom ones by name."""
    custom = [role for role in roles if isinstance(role, CustomRole)]
    return (
        *(role for role in _PERMISSIONS if role in roles),
        *sorted(custom, key=lambda role: role.name),
    )


_ADDING: Final = frozenset(
    Permission(resource, action)
    for resource in ("repository", "artifact", "tag")
    for action in ("create", "push")
)


@lru_cache(4096)
def _granted(is_admin: bool, exists: bool, public: bool, roles: frozenset[AnyRole]) -> Permissions:
    if is_admin:
        # What is left of a project that went can be seen and removed, but not added to.
        return permissions.PROJECT if exists else permissions.PROJECT - _ADDING
    granted = _NOTHING.union(*(role.permissions for role in roles))
    return granted | permissions.PUBLIC if public else granted


_open: Final = lru_cache(4096)(permissions.actions)
