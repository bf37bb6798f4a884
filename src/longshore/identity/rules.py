"""Rules about some repositories of a project: what a member, a group or a role is given there, or loses.

Roles say what somebody may do in all of a project; a rule adds to that or takes from it in the repositories that its
pattern fits. Whatever one rule takes is gone, whatever others give. Pushing and deleting include pulling: a rule that
gives them gives pulling, and one that takes pulling takes everything.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from longshore.access.model import Action
from longshore.identity.permissions import IN_REPOSITORY, Permissions
from longshore.oci.patterns import compile_pattern

#: What rules are about.
ACTIONS: Final = (Action.PULL, Action.PUSH, Action.DELETE)
#: Rules in one project.
MOST_RULES: Final = 200
_EVERYTHING: Final = frozenset(ACTIONS)
_PULL: Final = frozenset({Action.PULL})
_NOTHING: Final[frozenset[Action]] = frozenset()
_compiled: Final = lru_cache(4096)(compile_pattern)


class SubjectKind(StrEnum):
    """What a rule names: the first three concern members only."""

    USER = "user"
    GROUP = "group"
    ROLE = "role"
    #: Whoever is no member of a public project, logged in or not. Rules take from them only.
    NON_MEMBER = "non-member"


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a rule concerns: ``id`` is that of a user, a group or a role (Harbor's number or a custom role's), 0 for
    who is no member."""

    kind: SubjectKind
    id: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class RepositoryRule:
    """``pattern`` is about names without their project: ``app``, ``tools/*``, ``**``."""

    id: int
    pattern: str
    allows: bool
    actions: frozenset[Action]
    subject: Subject

    @property
    def effective(self) -> frozenset[Action]:
        """What it gives or takes, with what that includes."""
        if self.allows:
            return self.actions | _PULL
        return _EVERYTHING if Action.PULL in self.actions else self.actions

    def fits(self, repository: str) -> bool:
        """Whether it is about ``repository``, a whole name."""
        return bool(_compiled(self.pattern)(inner_name(repository)))


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules that fit a repository come to: ``taken`` wins over ``given``."""

    given: frozenset[Action]
    taken: frozenset[Action]

    def apply(self, permissions: Permissions) -> Permissions:
        """What is left of, and added to, what somebody may do in the project."""
        added = permissions.union(*(IN_REPOSITORY[action] for action in self.given))
        return added.difference(*(IN_REPOSITORY[action] for action in self.taken))


def decide(rules: Iterable[RepositoryRule], repository: str) -> Decision:
    """``rules`` concern one person in the project of ``repository``."""
    fitting = [rule for rule in rules if rule.fits(repository)]
    return Decision(
        _NOTHING.union(*(rule.effective for rule in fitting if rule.allows)),
        _NOTHING.union(*(rule.effective for rule in fitting if not rule.allows)),
    )


def deciding(
    rules: Iterable[RepositoryRule], repository: str, action: Action
) -> RepositoryRule | None:
    """The rule that says what becomes of ``action``: one that takes it, or else one that gives it."""
    fitting = [rule for rule in rules if action in rule.effective and rule.fits(repository)]
    return min(fitting, key=lambda rule: (rule.allows, rule.id), default=None)


def inner_name(repository: str) -> str:
    """A repository's name without its project."""
    return repository.partition("/")[2] or repository
