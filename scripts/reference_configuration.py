"""Writes docs/reference/configuration.md from the settings; --check only compares."""

import sys
from collections.abc import Iterator
from pathlib import Path

from longshore.config import shape
from longshore.config.compat import ROWS, Row, Status
from longshore.config.explain import default_of
from longshore.config.shape import Key, Kind, Leaf, ListOf, MapOf, Shape, Struct
from longshore.settings import SECTIONS

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "configuration.md"

HEAD = """\
# Configuration reference

Made from the source by `scripts/reference_configuration.py`; see [Configuration](../configuration.md) for how to use it.

The variable of a key is `REGISTRY_` and the key in upper case with `_` for every dot; below `longshore` it is `LONGSHORE_` and
the rest. Where distribution's variables use another name, it is in the last column. `[]` stands for the items of a list.

## Settings

`version` must be `0.1`.
"""

COMPATIBILITY = """
## Keys of distribution with another meaning

What is refused stops the start, with the reason. What is accepted without effect causes a warning, unless it says nothing (an
empty value, `disabled: true`).
"""


def page() -> str:
    """The whole page."""
    root = shape.build(SECTIONS, ROWS)
    parts = [HEAD]
    for section in SECTIONS:
        structure = shape.of_model(section)
        parts.append(f"\n### `{section.key}`\n\n| Key | Value | Default | Meaning | Also |\n")
        parts.append("|---|---|---|---|---|\n")
        parts.extend(_setting(key, entry) for key, entry in _settings(structure, section.key))
    parts.append(COMPATIBILITY)
    for status in Status:
        rows = [row for row in ROWS if row.status is status]
        if rows:
            parts.append(f"\n### {status.value.capitalize()}\n\n| Key | Reason | Keys below it |\n")
            parts.append("|---|---|---|\n")
            parts.extend(_row(row, root) for row in rows)
    return "".join(parts)


def _settings(structure: Struct, path: str) -> Iterator[tuple[str, Key]]:
    """Settings that take a value; of tables only those that choose something."""
    for key, entry in shape.walk(structure, path):
        is_choice = key.removeprefix(f"{path}.") in structure.one_of
        if is_choice or not isinstance(entry.shape, Struct):
            yield key, entry


def _setting(key: str, entry: Key) -> str:
    field = entry.field
    if field is None:
        raise TypeError(f"{key} is no setting")
    if field.is_required():
        default = "required"
    else:
        written = default_of(entry)
        default = f"`{written}`" if written not in ("", "''") else ""
    also = ", ".join(f"`{name}`" for name in entry.spellings[1:])
    cells = (f"`{key}`", _value(entry.shape), default, field.description or "", also)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _value(found: Shape) -> str:
    match found:
        case Leaf(Kind.TEXT, choices) if choices:
            return ", ".join(f"`{choice}`" for choice in choices)
        case Leaf(kind):
            return kind.value
        case ListOf(item):
            return f"list of {_plural(item)}"
        case MapOf(value):
            return f"table of {_plural(value)}"
        case Struct():
            return "a table"


def _plural(found: Shape) -> str:
    words = _value(found).removeprefix("a ")
    return {"text": "texts", "whole number": "whole numbers", "list of text": "lists"}.get(
        words, f"{words}s" if words in ("path", "table", "list of texts") else words
    )


def _row(row: Row, root: Struct) -> str:
    below = next(entry for key, entry in shape.walk(root) if key == row.key).shape
    inner = below.item if isinstance(below, ListOf) else below
    names = ""
    if isinstance(inner, Struct) and row.status is not Status.DEVELOPMENT:
        leaves = (key for key, entry in shape.walk(inner) if not _has_below(entry.shape))
        names = ", ".join(f"`{name}`" for name in leaves)
    return f"| `{row.key}` | {row.reason} | {names} |\n"


def _has_below(found: Shape) -> bool:
    inner = found.item if isinstance(found, ListOf) else found
    return isinstance(inner, Struct)


def main() -> int:
    """0 when the page is, or is now, as it should be."""
    text = page()
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text() != text:
            print(f"{PAGE.name} is not current; run scripts/reference_configuration.py")
            return 1
        return 0
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
