"""Which names of groups count: a regular expression of RE2, matched in time linear in the name, whoever wrote
either of them (docs/decisions/048-group-filters-with-re2.md)."""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Characters of an expression.
LONGEST: Final = 1024
#: RE2's own limit for a repetition; it takes a larger one that no integer holds for the text itself.
_MOST: Final = 1000
_REPEATED: Final = re.compile(r"\{(\d+)(?:,(\d*))?\}")


class _Expression(Protocol):
    def search(self, text: str) -> object | None: ...


def check(expression: str) -> None:
    """Raises ValueError, with what is wrong as the rest of a sentence."""
    if expression:
        _compiled(expression)


def matching(expression: str, names: "Sequence[str]") -> list[str]:
    """Those of ``names`` in which the expression matches somewhere; all of them when it is empty. Raises ValueError
    as :func:`check` does."""
    if not expression:
        return list(names)
    compiled = _compiled(expression)
    return [name for name in names if compiled.search(name) is not None]


@lru_cache(16)
def _compiled(expression: str) -> _Expression:
    if len(expression) > LONGEST:
        raise ValueError(f"has {len(expression)} characters; at most {LONGEST} are taken")
    for found in _REPEATED.finditer(expression):
        if any(len(number) > 4 or int(number) > _MOST for number in found.groups() if number):
            raise ValueError(f"repeats {found[0]:.40}; at most {_MOST} times are taken")
    re2 = _library()
    options = re2.Options()
    options.log_errors = False
    try:
        compiled: _Expression = re2.compile(expression, options)
    except re2.error as error:
        why = error.args[0]
        said = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)
        raise ValueError(f"is no regular expression of RE2: {said:.200}") from error
    return compiled


def _library() -> Any:
    try:
        import re2
    except ModuleNotFoundError as error:
        raise ValueError(
            "needs the library google-re2: install it with pip install 'longshore[oidc]', or leave the "
            "filter empty"
        ) from error
    return re2
