"""Environment variables over config.yml, by distribution's rule and a little beyond it.

``REGISTRY_HTTP_TLS_KEY`` is ``http.tls.key``. Names are upper case, split at ``_``, and applied
parents first. A key is spelled as in the file or as in distribution's source
(``REGISTRY_HEALTH_FILECHECKERS_0_FILE``); a name with ``_`` in it is found by the longest match. In
a table whose keys the user invents, an existing one is taken without regard to case, otherwise one
is made in lower case. Lists take an index; the one behind the last appends. Values are YAML.
``LONGSHORE_DATABASE_URL`` is ``longshore.database.url``.

What is not known is warned about, not refused: Kubernetes puts variables of its own beside these.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from longshore.config.document import Entries, Items, Node, Scalar, YAMLInvalid, parse
from longshore.config.problems import Origin, Report
from longshore.config.shape import ANYTHING, Key, Leaf, ListOf, MapOf, Shape, Struct
from longshore.config.tree import as_table

CONFIGURATION_PATH: Final = "REGISTRY_CONFIGURATION_PATH"
#: The prefix of a name, and what stands for it at the top of the file.
_PREFIXES: Final = {"REGISTRY_": "", "LONGSHORE_": "LONGSHORE_"}
#: What Kubernetes sets for a Service whose name begins with "registry" or "longshore".
_KUBERNETES: Final = re.compile(
    r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})


def overlay(
    root: Entries, shape: Struct, environ: Mapping[str, str], report: Report
) -> dict[str, str]:
    """Write every variable into ``root``; problems name the variable they come from.

    Returns what each variable that was used set, as a dotted key.
    """
    used = {}
    for name in sorted(environ, key=_order):
        prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), None)
        if prefix is None or name == CONFIGURATION_PATH:
            continue
        variable = _Variable(name, environ[name], report)
        rest = _PREFIXES[prefix] + name.removeprefix(prefix)
        try:
            variable.write(root, shape, rest, "")
            used[name] = variable.key
        except _Unrecognised as unknown:
            if not _KUBERNETES.fullmatch(name):
                report.warn(name, str(unknown))
        except _Impossible as impossible:
            report.problem(impossible.key, str(impossible), variable.origin)
    return used


def _order(name: str) -> list[tuple[int, int, str]]:
    """Parents before children, and index 2 before index 10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in name.split("_")]


class _Unrecognised(Exception):
    """No key has this name. The message finishes a sentence that begins with it."""


class _Impossible(Exception):
    """The key is there and cannot take this."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(slots=True)
class _Variable:
    name: str
    text: str
    report: Report
    key: str = ""

    @property
    def origin(self) -> Origin:
        return Origin(self.name)

    def write(self, node: Node | None, shape: Shape, rest: str, path: str) -> Node:
        """What is at ``path`` once this variable was written to ``rest`` below it."""
        if not rest:
            self.key = path
            return self._value(shape, path)
        match shape:
            case Struct():
                return self._into_struct(self._table(node, shape, path), shape, rest, path)
            case MapOf(value):
                return self._into_map(self._table(node, None, path), value, rest, path)
            case ListOf(item):
                return self._into_list(node, item, rest, path)
            case _ if shape == ANYTHING:
                return self._into_anything(node, rest, path)
            case _:
                raise _Unrecognised(f"ignored: {path} is one value and has nothing below it")

    def _table(self, node: Node | None, shape: Struct | None, path: str) -> Entries:
        table = as_table(node, shape, self.origin)
        if table is None:
            raise _Impossible(path, "is set to something else than a table, so this has no place")
        return table

    def _into_struct(self, at: Entries, shape: Struct, rest: str, path: str) -> Node:
        name, below = _longest(
            rest, ((key, spelling) for key in shape.keys for spelling in shape.keys[key].spellings)
        )
        if name is None:
            raise _Unrecognised(_unknown(self.name, rest, shape.keys))
        here = f"{path}.{name}" if path else name
        at.entries[name] = self.write(at.entries.get(name), shape.keys[name].shape, below, here)
        return at

    def _into_map(self, at: Entries, value: Shape, rest: str, path: str) -> Node:
        if isinstance(value, Struct):
            # Tables below free keys: a name that is there already, otherwise one without underscore.
            known, below = _longest(rest, ((key, key.upper()) for key in at.entries))
            name, below = (known, below) if known else (rest.partition("_")[::2])
        else:
            # What is below a free key is at most an index: the rest is its name, underscores and all.
            indexed = re.fullmatch(r"(.+)_(\d+)", rest) if isinstance(value, ListOf) else None
            name, below = (indexed[1], indexed[2]) if indexed else (rest, "")
        existing = {key.upper(): key for key in at.entries}
        name = existing.get(name.upper(), name.lower())
        here = f"{path}.{name}"
        at.entries[name] = self.write(at.entries.get(name), value, below, here)
        return at

    def _into_list(self, node: Node | None, item: Shape, rest: str, path: str) -> Node:
        at = node if isinstance(node, Items) else Items(origin=self.origin)
        first, _, below = rest.partition("_")
        if not first.isdecimal():
            raise _Impossible(path, f"is a list, and {first!r} is no index; the first is 0")
        index = int(first)
        if index > len(at.items):
            raise _Impossible(
                f"{path}[{first}]",
                f"the list has {len(at.items)} so far; the next index is {len(at.items)}",
            )
        old = at.items[index] if index < len(at.items) else None
        at.items[index : index + 1] = [self.write(old, item, below, f"{path}[{index}]")]
        return at

    def _into_anything(self, node: Node | None, rest: str, path: str) -> Node:
        if isinstance(node, Items) or (node is None and rest.partition("_")[0].isdecimal()):
            return self._into_list(node, ANYTHING, rest, path)
        at = self._table(node, None, path)
        name, below = _longest(rest, ((key, key.upper()) for key in at.entries))
        if name is None:
            first, _, below = rest.partition("_")
            name = first.lower()
        at.entries[name] = self.write(at.entries.get(name), ANYTHING, below, f"{path}.{name}")
        return at

    def _value(self, shape: Shape, path: str) -> Node:
        is_literal = isinstance(shape, Leaf) and shape.kind.is_literal
        try:
            node = parse(self.text, self.name, self.report, numbered=False)
        except YAMLInvalid as error:
            if is_literal:
                return Scalar(self.text, self.text, self.origin)
            raise _Impossible(path, str(error)) from error
        if node is None:
            node = Scalar(None, "", self.origin)
        # A password may look like a YAML list or comment; there is only one thing it can mean.
        lost = not isinstance(node, Scalar) or (
            node.value is None and self.text.strip() not in _NULLS
        )
        if is_literal and lost:
            return Scalar(self.text, self.text, self.origin)
        return node


def _longest(rest: str, names: Iterable[tuple[str, str]]) -> tuple[str | None, str]:
    """The key with the longest spelling that ``rest`` is or begins with, and what is left."""
    found: tuple[str | None, str] = (None, "")
    length = -1
    for key, spelling in names:
        upper = rest.upper()
        if len(spelling) > length and (upper == spelling or upper.startswith(f"{spelling}_")):
            found, length = (key, rest[len(spelling) + 1 :]), len(spelling)
    return found


def _unknown(name: str, rest: str, keys: Mapping[str, Key]) -> str:
    spellings = [spelling for key in keys.values() for spelling in key.spellings]
    first = rest.partition("_")[0]
    close = difflib.get_close_matches(first, spellings, 1)
    if not close:
        return "ignored: no key has this name"
    head = name.removesuffix(rest)
    return f"ignored: no key has this name; did you mean {head}{close[0]}{rest[len(first) :]}?"
