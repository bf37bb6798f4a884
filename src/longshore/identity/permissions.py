"""What may be done to what: Harbor's resources and actions, and which role is given which.

A :class:`Permission` is a resource and an action. Those of a project are asked before a project
(:attr:`longshore.identity.model.Standing.permissions`), those of the system before none; the same pair, say
``label/create``, may exist in both. Sources: Harbor 2.16, ``src/common/rbac`` and the permission
catalogue of its robots.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from longshore.access.model import Action


class Permission(NamedTuple):
    """``str()`` is ``resource/action``."""

    resource: str
    action: str

    def __str__(self) -> str:
        return f"{self.resource}/{self.action}"

    @classmethod
    def parse(cls, text: str) -> "Permission":
        """From ``resource/action``. Raises ValueError."""
        resource, slash, action = text.partition("/")
        if not (resource and slash and action):
            raise ValueError(f"{text!r} is no permission: resource/action")
        return cls(resource, action)


Permissions = frozenset[Permission]

_LETTERS: Final[Mapping[str, str]] = {
    "C": "create",
    "R": "read",
    "U": "update",
    "D": "delete",
    "L": "list",
}


def _all(table: Mapping[str, str]) -> Permissions:
    """From resource -> letters and words separated by spaces."""
    return frozenset(
        Permission(resource, _LETTERS.get(word, word))
        for resource, words in table.items()
        for word in words.split()
    )


#: Of everybody, logged in or not, in public projects.
PUBLIC: Final = _all(
    {
        "project": "R",
        "label": "R L",
        "repository": "L pull",
        "artifact": "R L",
        "artifact-addition": "R",
        "tag": "L",
        "accessory": "L",
        "scan": "R",
        "scanner": "R",
    }
)

LIMITED_GUEST: Final = _all(
    {
        "project": "R",
        "quota": "R",
        "repository": "R L pull",
        "artifact": "R L",
        "artifact-addition": "R",
        "tag": "L",
        "accessory": "L",
        "configuration": "R",
        "scan": "R",
        "sbom": "R",
        "scanner": "R",
    }
)

GUEST: Final = LIMITED_GUEST | _all({"member": "R L", "label": "R L", "robot": "R L"})

DEVELOPER: Final = GUEST | _all(
    {
        "repository": "C U push",
        "artifact": "C",
        "tag": "C",
        "artifact-label": "C D",
        "tag-retention": "C R U D L operate",
        "export-cve": "C R L",
    }
)

MAINTAINER: Final = DEVELOPER | _all(
    {
        "metadata": "R",
        "label": "C U D",
        "repository": "D",
        "artifact": "D",
        "tag": "D",
        "immutable-tag": "C U D L",
        "notification-policy": "R L",
        "scan": "C stop",
        "sbom": "C stop",
    }
)

PROJECT_ADMIN: Final = MAINTAINER | _all(
    {
        "project": "U D",
        "member": "C U D",
        "metadata": "C U D",
        "log": "L",
        "configuration": "U",
        "robot": "C U D",
        "notification-policy": "C U D",
        "scanner": "C",
        "preheat-policy": "C R U D L",
    }
)

#: Everything that there is in a project: what administrators may, and no role wholly does.
PROJECT: Final = PROJECT_ADMIN | _all({"metadata": "L"})

#: What a robot may be given in projects.
ROBOT_PROJECT: Final = _all(
    {
        "log": "L",
        "project": "R U D",
        "metadata": "C R U D L",
        "repository": "R U D L pull push",
        "artifact": "C R D L",
        "scan": "C R stop",
        "sbom": "C R stop",
        "tag": "C D L",
        "accessory": "L",
        "artifact-addition": "R",
        "artifact-label": "C D",
        "scanner": "C R",
        "preheat-policy": "C R U D L",
        "immutable-tag": "C U D L",
        "notification-policy": "C R U D L",
        "tag-retention": "C R U D L",
        "label": "C R U D L",
        "quota": "R",
        "robot": "C R L D",
        "export-cve": "C R",
        "member": "C R U L D",
    }
)

#: What a robot may be given beside projects.
ROBOT_SYSTEM: Final = _all(
    {
        "audit-log": "L",
        "preheat-instance": "C R U D L",
        "project": "C L",
        "replication-policy": "C R U D L",
        "replication": "C R L",
        "replication-adapter": "L",
        "registry": "C R U D L",
        "scan-all": "C R U stop",
        "system-volumes": "R",
        "garbage-collection": "C R U L stop",
        "purge-audit": "C R U L stop",
        "jobservice-monitor": "L stop",
        "scanner": "C R U D L",
        "label": "C R U D",
        "security-hub": "R L",
        "catalog": "R",
        "quota": "R L U",
        "robot": "C R L D",
        "user": "C R U L D",
        "ldap-user": "C L",
        "user-group": "C R U L D",
    }
)

#: Everything that there is beside projects: an administrator's.
SYSTEM: Final = ROBOT_SYSTEM | _all(
    {"configuration": "R U", "audit-log": "L", "robot": "U", "role": "C U D"}
)

#: What each action comes to where rules give or take it in one repository.
IN_REPOSITORY: Final[Mapping[Action, Permissions]] = {
    Action.PULL: _all(
        {
            "repository": "R L pull",
            "artifact": "R L",
            "artifact-addition": "R",
            "tag": "L",
            "accessory": "L",
            "scan": "R",
            "sbom": "R",
        }
    ),
    Action.PUSH: _all(
        {
            "repository": "C U push",
            "artifact": "C",
            "tag": "C",
            "artifact-label": "C D",
            "scan": "C stop",
            "sbom": "C stop",
        }
    ),
    Action.DELETE: _all({"repository": "D", "artifact": "D", "tag": "D"}),
}
#: Lists that show as much of a project as somebody may pull there.
LISTS: Final = _all({"repository": "L", "artifact": "L"})

_OF_ACTIONS: Final[Mapping[Action, Permission]] = {
    Action.PULL: Permission("repository", "pull"),
    Action.PUSH: Permission("repository", "push"),
    Action.DELETE: Permission("artifact", "delete"),
}


def actions(given: Permissions) -> frozenset[Action]:
    """What ``given`` lets clients of the registry do to repositories."""
    return frozenset(action for action, needed in _OF_ACTIONS.items() if needed in given)
