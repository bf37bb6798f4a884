"""What pydantic found, as a sentence for the person who wrote the value."""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic_core import ErrorDetails

_SENTENCES: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "missing": lambda _: "missing",
    "int_parsing": lambda _: "is not a whole number",
    "int_type": lambda _: "is not a whole number",
    "int_from_float": lambda _: "is not a whole number",
    "float_parsing": lambda _: "is not a number",
    "float_type": lambda _: "is not a number",
    "bool_parsing": lambda _: "is neither true nor false",
    "bool_type": lambda _: "is neither true nor false",
    "string_type": lambda _: "is not text",
    "path_type": lambda _: "is not a path",
    "tuple_type": lambda _: "is not a list; write [one, two], or one a line after a dash",
    "dict_type": lambda _: "is not a table; write key: value lines below it",
    "mapping_type": lambda _: "is not a table; write key: value lines below it",
    "greater_than": lambda context: f"must be more than {context['gt']:g}",
    "greater_than_equal": lambda context: f"must be at least {context['ge']:g}",
    "less_than": lambda context: f"must be less than {context['lt']:g}",
    "less_than_equal": lambda context: f"must be at most {context['le']:g}",
    "multiple_of": lambda context: f"must be a multiple of {context['multiple_of']}",
    "too_short": lambda context: f"needs at least {context['min_length']}",
    "string_pattern_mismatch": lambda context: f"does not match {context['pattern']}",
}
_BARE: Final = frozenset({"missing"})


def sentence(error: ErrorDetails, *, show: bool) -> str:
    """The problem, with the value if ``show`` and it is a single one."""
    kind, context, value = error["type"], error.get("ctx", {}), error.get("input")
    if kind == "value_error":
        return str(context["error"])
    if kind in ("enum", "literal_error"):
        return _choice(value, str(context["expected"]))
    words = _SENTENCES.get(kind)
    said = words(context) if words else error["msg"][:1].lower() + error["msg"][1:]
    if kind in _BARE or not show or isinstance(value, dict | list):
        return said
    return f"{value!r} {said}"


def _choice(value: Any, expected: str) -> str:
    choices = [choice.strip("'") for choice in expected.replace(" or ", ", ").split(", ")]
    return f"{value!r} is not one of {', '.join(choices)}{did_you_mean(str(value), choices)}"


def did_you_mean(written: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` when something known is close, otherwise nothing."""
    lowered: dict[str, str] = {}
    for name in known:
        lowered.setdefault(name.lower(), name)
    close: Sequence[str] = difflib.get_close_matches(written.lower(), lowered, 1)
    return f"; did you mean {lowered[close[0]]}?" if close else ""
