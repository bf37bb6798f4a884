"""Robots: logins of programs, with rights that are written down one by one.

Names and permissions are those of Harbor (its ``src/controller/robot``). A robot is spelled ``robot+ci`` or, in a
project, ``robot+project+ci``, which no shell touches; Harbor's ``robot$`` is understood as well, and whatever
``robot_name_prefix`` says.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from longshore.identity import permissions
from longshore.identity.credentials import Credential
from longshore.identity.errors import IdentityError
from longshore.identity.model import ROBOT, Places, View
from longshore.identity.permissions import Permission, Permissions

HARBORS: Final = "robot$"
#: Harbor's words for what a permission is about.
PROJECT: Final = "project"
SYSTEM: Final = "system"
EVERYWHERE: Final = "*"
BESIDE: Final = "/"
_NAME: Final = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_LONGEST: Final = 255
#: What the password of a robot is called in proofs.
KIND: Final = "robot"
PULL, _PUSH = Permission("repository", "pull"), Permission("repository", "push")
_LIST = Permission("repository", "list")


@dataclass(frozen=True, slots=True)
class Given:
    """Rights in ``namespace``: a project's name, EVERYWHERE, or BESIDE projects. ``denied`` ones are taken
    from what others give."""

    kind: str
    namespace: str
    allowed: Permissions
    denied: Permissions = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Robot(Credential):
    """``name`` is without a prefix; ``project`` is None for one of the registry. ``duration`` is what it was
    made for, in days; -1: it does not expire. ``creator_kind`` is ``local`` or ``robot``."""

    name: str
    project: str | None
    project_id: int | None
    description: str
    given: tuple[Given, ...]
    view: View
    duration: int
    disabled: bool
    creator_kind: str
    creator_id: int

    @property
    def login(self) -> str:
        """The name that it logs in with."""
        return ROBOT + self.name


def name_of(name: str, project: str | None) -> str:
    """The name under which a robot is kept. Raises IdentityError."""
    whole = name if project is None else f"{project}+{name}"
    if not _NAME.fullmatch(name) or len(whole) > _LONGEST:
        raise IdentityError(
            f"{name[:120]!r} is no name of a robot: small letters and digits, joined by one . _ or -, at "
            f"most {_LONGEST} characters with the project's name"
        )
    return whole


def spelled(login: str, prefix: str = HARBORS) -> str | None:
    """The name of the robot that ``login`` means, without a prefix; None when it is no robot's.
    ``prefix`` is the one that administrators chose."""
    for known in (ROBOT, HARBORS, prefix):
        if known and login.startswith(known):
            return login.removeprefix(known)
    return None


def rights(given: Iterable[Given], project: str) -> Permissions:
    """What they are in ``project``. Who may push may pull."""
    concerning = [
        one for one in given if one.kind == PROJECT and one.namespace in (project, EVERYWHERE)
    ]
    allowed = frozenset[Permission]().union(*(one.allowed for one in concerning))
    if _PUSH in allowed:
        allowed |= {PULL}
    return allowed.difference(*(one.denied for one in concerning))


def system_rights(given: Iterable[Given]) -> Permissions:
    """What they are beside projects."""
    beside = [one for one in given if one.kind == SYSTEM]
    allowed = frozenset[Permission]().union(*(one.allowed for one in beside))
    return allowed.difference(*(one.denied for one in beside))


def namespaces(given: Iterable[Given]) -> frozenset[str]:
    """The projects that they name, to allow or to deny; EVERYWHERE may be among them."""
    return frozenset(one.namespace for one in given if one.kind == PROJECT)


def places(given: Sequence[Given], *needed: Permission) -> Places:
    """Where they come to all that is ``needed``; if that is nothing, to anything."""

    def suffice(name: str) -> bool:
        found = rights(given, name)
        return found.issuperset(needed) if needed else bool(found)

    named = namespaces(given) - {EVERYWHERE}
    sufficient = frozenset(filter(suffice, named))
    if suffice(EVERYWHERE):
        return Places(everywhere=True, but=named - sufficient)
    return Places(sufficient)


def view(given: Sequence[Given]) -> View:
    """The projects and repositories in the lists of who has them."""
    return View(sees=places(given), reads=places(given, _LIST, PULL), pulls=places(given, PULL))


def checked(given: Sequence[Given], project: str | None) -> None:
    """Raises IdentityError for rights that no robot may have; of a robot of ``project`` they are one entry,
    about that project."""
    if not given:
        raise IdentityError("permissions: a robot without any is of no use; give at least one")
    for one in given:
        match one.kind:
            case "project":
                catalogue = permissions.ROBOT_PROJECT
            case "system" if one.namespace == BESIDE and project is None:
                catalogue = permissions.ROBOT_SYSTEM
            case "system" if project is None:
                raise IdentityError(
                    f"permissions: the namespace of kind system is {BESIDE!r}, not {one.namespace[:100]!r}"
                )
            case _:
                raise IdentityError(
                    f"permissions: kind is {one.kind[:40]!r}; it should be project"
                    + (" or system" if project is None else "")
                )
        for permission in sorted((one.allowed | one.denied) - catalogue):
            raise IdentityError(
                f"bad request permission: {permission.resource[:60]}:{permission.action[:60]} is nothing that "
                "robots are given; GET /api/v2.0/permissions lists what is"
            )
    if project is not None and (len(given) != 1 or given[0].namespace != project):
        raise IdentityError(
            f"permissions: a robot of project {project!r} has one entry, of kind project and with the "
            "project's name as namespace"
        )


def from_document(document: Iterable[Any]) -> tuple[Given, ...]:
    """From Harbor's form: ``[{kind, namespace, access: [{resource, action, effect}]}]``."""
    return tuple(
        Given(
            entry["kind"],
            entry["namespace"],
            _of_effect(entry["access"], denied=False),
            _of_effect(entry["access"], denied=True),
        )
        for entry in document
    )


def to_document(given: Iterable[Given]) -> list[dict[str, Any]]:
    """The same in Harbor's form, sorted."""
    return [
        {
            "kind": one.kind,
            "namespace": one.namespace,
            "access": [
                {"resource": permission.resource, "action": permission.action, "effect": effect}
                for effect, some in (("allow", one.allowed), ("deny", one.denied))
                for permission in sorted(some)
            ],
        }
        for one in given
    ]


def _of_effect(access: Iterable[Any], *, denied: bool) -> Permissions:
    return frozenset(
        Permission(one["resource"], one["action"])
        for one in access
        if (one.get("effect") == "deny") is denied
    )
