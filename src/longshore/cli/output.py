"""What commands print: text for people, or one JSON document for programs."""

import json
import sys
from collections.abc import Awaitable, Callable
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


def note(text: str) -> None:
    """Tell a person something that is not the result."""
    print(text, file=sys.stderr)


def size(count: int) -> str:
    """A number of bytes as people read it: 1536 is 1.5 KiB."""
    amount, unit = float(count), _UNITS[0]
    for larger in _UNITS[1:]:
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"
