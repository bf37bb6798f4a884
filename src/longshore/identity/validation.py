"""What names and passwords look like: Harbor's rules (its ``src/server/v2.0/handler``), and the
specification's for what a repository's name begins with."""

import re
from collections.abc import Collection
from typing import Final

from longshore.identity.errors import IdentityError
from longshore.identity.model import ANONYMOUS_USER, ROBOT, Role
from longshore.identity.permissions import PROJECT_ADMIN, Permission, Permissions
from longshore.identity.rules import RepositoryRule, SubjectKind
from longshore.oci.names import COMPONENT
from longshore.oci.patterns import PatternInvalid, compile_pattern

_MAX_NAME: Final = 255
#: Characters that Harbor forbids in user names, and the colon, which ends a name in a Basic login.
_NOT_IN_USERS: Final = ',"~#%$:'
#: Whatever a repository's name may begin with; Harbor takes single separators only.
_PROJECT: Final = re.compile(COMPONENT)
_SHORTEST, _LONGEST = 8, 128
_ROLE: Final = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_MAX_ROLE: Final = 64
_PATTERN: Final = re.compile(r"[a-z0-9*][a-z0-9._/*-]{0,254}")
#: Every member may know that the project is there: lists of projects show it to them.
_OF_MEMBERS: Final = frozenset({Permission("project", "read")})


def user_name(name: str) -> str:
    """``name``, if a user may have it. Raises IdentityError."""
    if name == ANONYMOUS_USER:
        raise IdentityError(f"{name!r} is no user name: it stands for who did not log in")
    if name.startswith(ROBOT):
        raise IdentityError(f"{name[:120]!r} is no user name: what begins with {ROBOT} is a robot")
    fits = 0 < len(name) <= _MAX_NAME and name.isprintable() and name == name.strip()
    if not fits or any(character in _NOT_IN_USERS for character in name):
        raise IdentityError(
            f"{name[:120]!r} is no user name: 1 to {_MAX_NAME} printable characters, none of them "
            f"{' '.join(_NOT_IN_USERS)}, and no space at the ends"
        )
    return name


def team_name(name: str) -> str:
    """``name`` without spaces at its ends, if a team may have it. Raises IdentityError."""
    found = name.strip()
    if not 0 < len(found) <= _MAX_NAME or not found.isprintable():
        raise IdentityError(
            f"{name[:120]!r} is no name of a team: 1 to {_MAX_NAME} printable characters"
        )
    return found


def project_name(name: str) -> str:
    """``name``, if a project may have it. Raises IdentityError."""
    if len(name) > _MAX_NAME or not _PROJECT.fullmatch(name):
        raise IdentityError(
            f"{name[:120]!r} is no project name: a-z and 0-9, joined by one '.', one or two "
            f"'_' or any number of '-', at most {_MAX_NAME} characters"
        )
    return name


def role_name(name: str) -> str:
    """``name``, if a custom role may have it. Raises IdentityError."""
    if len(name) > _MAX_ROLE or not _ROLE.fullmatch(name):
        raise IdentityError(
            f"{name[:120]!r} is no role name: a-z and 0-9, joined by single '.', '_' or '-', at most "
            f"{_MAX_ROLE} characters"
        )
    if name in {role.word for role in Role}:
        raise IdentityError(f"{name!r} is one of the roles that every project has: choose another")
    return name


def role_permissions(wanted: Collection[Permission]) -> Permissions:
    """What a custom role with ``wanted`` gives, if there may be one. Raises IdentityError."""
    beyond = sorted(str(one)[:120] for one in set(wanted) - PROJECT_ADMIN)
    if beyond:
        raise IdentityError(
            f"no role gives {', '.join(map(repr, beyond[:5]))}: it is made of resource/action pairs that "
            f"{Role.PROJECT_ADMIN.word} has; list them with: longshore role show {Role.PROJECT_ADMIN.word}"
        )
    return frozenset(wanted) | _OF_MEMBERS


def repository_rule(rule: RepositoryRule) -> RepositoryRule:
    """``rule``, if a project may have it. Raises IdentityError."""
    pattern = rule.pattern
    if not _PATTERN.fullmatch(pattern):
        raise IdentityError(
            f"{pattern[:120]!r} is no pattern of repositories: 1 to {_MAX_NAME} of a-z, 0-9, '.', '_', '-', '/' and "
            "'*', without the project's name"
        )
    try:
        compile_pattern(pattern)
    except PatternInvalid as error:
        raise IdentityError(str(error)) from error
    if rule.allows and rule.subject.kind is SubjectKind.NON_MEMBER:
        raise IdentityError(
            "a rule gives nothing to who is no member, it only takes: make them members, or the project public"
        )
    return rule


def password(text: str) -> bytes:
    """The bytes of a new password. Raises IdentityError for one that is too easy; the message does
    not show it."""
    missing = [
        what
        for what, found in (
            ("an upper case letter", any("A" <= character <= "Z" for character in text)),
            ("a lower case letter", any("a" <= character <= "z" for character in text)),
            ("a digit", any("0" <= character <= "9" for character in text)),
        )
        if not found
    ]
    if not _SHORTEST <= len(text) <= _LONGEST:
        missing.insert(0, f"{_SHORTEST} to {_LONGEST} characters instead of {len(text)}")
    if missing:
        raise IdentityError(f"the password is too easy: it needs {', '.join(missing)}")
    return text.encode()
