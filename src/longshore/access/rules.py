"""Which rights a known or an anonymous user has. Two policies: everything after login, or rules."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

from longshore.access.errors import AccessError
from longshore.access.model import Access, Action, Principal
from longshore.oci.patterns import PatternInvalid, compile_pattern

#: In a rule's users: anybody who logged in, and anybody who did not.
EVERY_USER: Final = "*"
ANONYMOUS_USER: Final = "anonymous"

_ALL: Final = frozenset({Action.PULL, Action.PUSH, Action.DELETE, Action.ANY})
_PULL: Final = frozenset({Action.PULL})
_NOTHING: Final[frozenset[Action]] = frozenset()


class Policy(Protocol):
    """Says what a principal may do. Pure: the same question has the same answer."""

    @property
    def reason(self) -> str:
        """Why something is not allowed; finishes the sentence "you may not do this; ..."."""

    @property
    def admits_anonymous(self) -> bool:
        """Whether there is anything that needs no login."""

    def allowed(self, principal: Principal, type: str, name: str) -> frozenset[Action]:
        """The actions open to ``principal`` on one resource."""


def missing(policy: Policy, principal: Principal, wanted: Sequence[Access]) -> list[Access]:
    """The part of ``wanted`` that ``principal`` does not have."""
    lacking = []
    for access in wanted:
        allowed = policy.allowed(principal, access.type, access.name)
        actions = tuple(action for action in access.actions if action not in allowed)
        if actions:
            lacking.append(Access(access.type, access.name, actions))
    return lacking


@dataclass(frozen=True, slots=True)
class LoginOpensAll:
    """Who logged in may do everything; who did not may pull if ``anonymous_pull``.

    Listing all repositories needs a login either way: names alone can be a secret.
    """

    anonymous_pull: bool
    reason: str = "only pulling is open to everybody (longshore.access.anonymouspull)"

    @property
    def admits_anonymous(self) -> bool:
        return self.anonymous_pull

    def allowed(self, principal: Principal, type: str, name: str) -> frozenset[Action]:
        if not principal.is_anonymous:
            return _ALL
        return _PULL if self.anonymous_pull and type == "repository" else _NOTHING


@dataclass(frozen=True, slots=True)
class Rule:
    """``users`` may do ``actions`` in every repository that fits the pattern ``repository``.

    A pattern is a name in which ``*`` stands for any characters within one component
    and ``**`` for any number of components. Users are names, ``*`` for everybody who logged in
    and ``anonymous`` for who did not. Pushing includes pulling, ``Action.ANY`` everything; no
    action at all forbids.
    """

    repository: str
    users: tuple[str, ...]
    actions: frozenset[Action]

    @property
    def effective(self) -> frozenset[Action]:
        if Action.ANY in self.actions:
            return _ALL
        return self.actions | _PULL if Action.PUSH in self.actions else self.actions

    def concerns(self, principal: Principal) -> bool:
        if principal.is_anonymous:
            return ANONYMOUS_USER in self.users
        return EVERY_USER in self.users or principal.name in self.users


class Rules:
    """The first rule that concerns both the user and the repository decides; none means no.

    ``_catalog`` shows every name, so it is for those who may pull everything: whose rules, read
    in order, allow pulling up to and including one for ``**``.
    """

    reason = "longshore.access.rules does not allow it"

    def __init__(self, rules: Sequence[Rule]) -> None:
        """Raises AccessError for a pattern that is none."""
        self._rules = tuple((rule, _compile(rule.repository)) for rule in rules)
        self._look_up = lru_cache(maxsize=16384)(self._decide)

    @property
    def admits_anonymous(self) -> bool:
        return any(
            ANONYMOUS_USER in rule.users and Action.PULL in rule.effective
            for rule, _ in self._rules
        )

    def allowed(self, principal: Principal, type: str, name: str) -> frozenset[Action]:
        return self._look_up(principal.name, type, name)

    def _decide(self, user: str, type: str, name: str) -> frozenset[Action]:
        principal = Principal(user, "")
        concerning = [(rule, matches) for rule, matches in self._rules if rule.concerns(principal)]
        if (type, name) == ("registry", "catalog"):
            return _ALL if _pulls_everything([rule for rule, _ in concerning]) else _NOTHING
        if type != "repository":
            return _NOTHING
        for rule, matches in concerning:
            if matches(name):
                return rule.effective
        return _NOTHING


def _pulls_everything(rules: Sequence[Rule]) -> bool:
    for rule in rules:
        if Action.PULL not in rule.effective:
            return False
        if rule.repository == "**":
            return True
    return False


def _compile(pattern: str) -> Callable[[str], object]:
    try:
        return compile_pattern(pattern)
    except PatternInvalid as error:
        raise AccessError(f"longshore.access.rules: {error}") from error
