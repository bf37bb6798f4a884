"""Patterns of repository names, as rules of any kind write them."""

import re
from collections.abc import Callable
from typing import Final

_WILD: Final = {"*": "[^/]*", "**": ".*"}


class PatternInvalid(ValueError):
    """Not a pattern; the message says what one is."""


def compile_pattern(pattern: str) -> Callable[[str], object]:
    """What says (by its truth) whether a repository's name fits: ``*`` stands for any characters
    within one component and ``**`` for any number of components. Raises PatternInvalid."""
    return re.compile(expression(pattern)).fullmatch


def expression(pattern: str) -> str:
    """The same as a regular expression for a whole name. Raises PatternInvalid."""
    parts = re.split(r"(\*+)", pattern)
    if any(part.startswith("*") and part not in _WILD for part in parts):
        raise PatternInvalid(
            f"{pattern!r} is no repository pattern: * stands for characters within a component, "
            "** for any components, and more stars for nothing"
        )
    return "".join(_WILD.get(part, re.escape(part)) for part in parts)
