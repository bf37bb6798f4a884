"""What commands print: text for people, or one JSON document for programs."""

import json
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import anyio

T = TypeVar("T")

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def run(action: Callable[[], Awaitable[T]]) -> T:
    """Run a command's asynchronous part to its end."""
    return anyio.run(action)


def show(document: Any, text: str, *, as_json: bool) -> None:
    """Print the result of a command, in one form or the other."""
    print(json.dumps(document, indent=2) if as_json else text)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows under their heads, each column as wide as its longest cell."""
    lines = [columns, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def note(text: str) -> None:
    """Tell a person something that is not the result."""
    print(text, file=sys.stderr)


def moment(posix: float | None) -> str:
    """A time as people read it, in UTC; None: never."""
    return "never" if posix is None else f"{datetime.fromtimestamp(posix, UTC):%Y-%m-%d %H:%M:%SZ}"


def size(count: int) -> str:
    """A number of bytes as people read it: 1536 is 1.5 KiB."""
    amount, unit = float(count), _UNITS[0]
    for larger in _UNITS[1:]:
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"
