"""What is known of platforms: how their claims are read, and what to call who has them."""

from collections.abc import Mapping
from typing import Any, Final

from longshore.workload.settings import Preset

#: What says in a name which pipeline it is; the subject for other issuers.
_NAMED_BY: Final[Mapping[str, str]] = {"github": "repository", "gitlab": "project_path"}
_LONGEST: Final = 200


def read(preset: Preset | None, claims: Mapping[str, Any]) -> dict[str, Any]:
    """Claims as rules see them. Kubernetes nests its own; here they are ``namespace``,
    ``serviceaccount`` and ``pod``."""
    found = dict(claims)
    if preset != "kubernetes":
        return found
    nested = claims.get("kubernetes.io")
    nested = nested if isinstance(nested, dict) else {}
    for name, value in (
        ("namespace", nested.get("namespace")),
        ("serviceaccount", _name(nested.get("serviceaccount"))),
        ("pod", _name(nested.get("pod"))),
    ):
        # Only what is nested counts: nobody else writes there.
        found.pop(name, None)
        if isinstance(value, str):
            found[name] = value
    return found


def named(preset: Preset | None, claims: Mapping[str, Any]) -> str:
    """Whose token it is, for people: the repository of a pipeline, otherwise the subject."""
    value = claims.get(_NAMED_BY.get(preset or "", "sub"))
    text = value if isinstance(value, str) and value else str(claims.get("sub", ""))
    return "".join(character if character.isprintable() else "?" for character in text[:_LONGEST])


def _name(value: Any) -> Any:
    return value.get("name") if isinstance(value, dict) else None
