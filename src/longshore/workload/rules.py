"""Rules over claims: what a token's claims let its bearer do."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from longshore.access.model import Action
from longshore.oci.patterns import compile_pattern
from longshore.workload.settings import PLACEHOLDER, IssuerSettings, RuleSettings

_NOTHING: Final[frozenset[Action]] = frozenset()
_WILD: Final = {"*": "[^/]*", "**": ".*"}
#: A claim's value becomes part of a pattern only if it cannot be one itself.
_PLAIN: Final = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+|/)[a-z0-9]+)*")

Claims = Mapping[str, Any]


class Rules:
    """Those of one issuer."""

    def __init__(self, issuer: IssuerSettings) -> None:
        self._rules = [_Rule(rule) for rule in issuer.rules]
        named = {name for rule in issuer.rules for name in rule.claims}
        named |= {
            name
            for rule in issuer.rules
            for pattern in rule.repositories
            for name in PLACEHOLDER.findall(pattern)
        }
        self._named = sorted(named)

    def looked_at(self, claims: Claims) -> dict[str, Any]:
        """The part of ``claims`` that rules look at."""
        return {name: claims[name] for name in self._named if name in claims}

    def fitting(self, claims: Claims) -> "Fitting | None":
        """What the rules that fit allow together; None when none fits."""
        found = [rule for rule in self._rules if rule.fits(claims)]
        return Fitting([rule.grants(claims) for rule in found], found) if found else None

    def why_not(self, claims: Claims) -> str:
        """Why none fits: what the claims are that rules ask for."""
        said = ", ".join(
            f"{name} is {_texts(claims.get(name))[0][:100]!r}"
            if _texts(claims.get(name))
            else f"{name} is missing"
            for name in self._named[:12]
        )
        return f"no rule of longshore.workload fits it: {said}"


class Fitting:
    """The rules that fit."""

    def __init__(
        self, grants: Sequence[Callable[[str], frozenset[Action]]], rules: "Sequence[_Rule]"
    ) -> None:
        self._grants = grants
        self.lifetime = max(rule.lifetime for rule in rules)

    def may(self, repository: str) -> frozenset[Action]:
        """What may be done to a repository."""
        return _NOTHING.union(*(grant(repository) for grant in self._grants))


class _Rule:
    def __init__(self, settings: RuleSettings) -> None:
        self._claims = {name: _compiled(pattern) for name, pattern in settings.claims.items()}
        self._repositories = settings.repositories
        actions = {Action(action) for action in settings.actions}
        if Action.PUSH in actions:
            actions.add(Action.PULL)
        self._actions = frozenset(actions)
        self.lifetime = settings.lifetime

    def fits(self, claims: Claims) -> bool:
        return all(
            any(matches(text) for text in _texts(claims.get(name)))
            for name, matches in self._claims.items()
        )

    def grants(self, claims: Claims) -> Callable[[str], frozenset[Action]]:
        filled = [_filled(pattern, claims) for pattern in self._repositories]
        patterns = [compile_pattern(pattern) for pattern in filled if pattern is not None]
        return lambda name: self._actions if any(fits(name) for fits in patterns) else _NOTHING


def _filled(pattern: str, claims: Claims) -> str | None:
    """``pattern`` with claims in the place of their names; None when one is missing or not fit for it."""
    fit = True

    def value(found: re.Match[str]) -> str:
        nonlocal fit
        texts = _texts(claims.get(found[1]))
        text = texts[0].lower() if len(texts) == 1 else ""
        fit = fit and _PLAIN.fullmatch(text) is not None
        return text

    filled = PLACEHOLDER.sub(value, pattern)
    return filled if fit else None


def _compiled(pattern: str) -> Callable[[str], object]:
    """``*`` is anything but a slash, ``**`` and more stars are anything."""
    parts = re.split(r"(\*+)", pattern)
    text = "".join(
        _WILD["*" if part == "*" else "**"] if part.startswith("*") else re.escape(part)
        for part in parts
    )
    return re.compile(text, re.DOTALL).fullmatch


def _texts(value: Any) -> list[str]:
    """A claim's value as texts to compare: of a list, each entry."""
    if isinstance(value, list):
        return [text for entry in value[:100] for text in _texts(entry)]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, str | int):
        return [str(value)]
    return []
