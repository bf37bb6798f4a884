"""YAML as a tree that remembers where each value stands and how it was written.

The text of a scalar is kept beside its value because distribution reads a number into a text field
as it stands: ``password: 0123`` is ``0123``. Sexagesimal numbers and dates of YAML 1.1 are text, as
they are for Go: ``12:30`` is not 750.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from longshore.config.problems import DEFAULT, Origin, Report

#: Values that one file may have once its aliases are followed.
LIMIT: Final = 10_000


@dataclass(slots=True)
class Scalar:
    """One value: None, bool, int, float or str, and its text."""

    value: Any
    text: str
    origin: Origin = DEFAULT


@dataclass(slots=True)
class Items:
    """A YAML sequence."""

    items: "list[Node]" = field(default_factory=list)
    origin: Origin = DEFAULT


@dataclass(slots=True)
class Entries:
    """A YAML mapping. The origin of a value is the line of its key."""

    entries: "dict[str, Node]" = field(default_factory=dict)
    origin: Origin = DEFAULT


Node = Scalar | Items | Entries


class YAMLInvalid(Exception):
    """The text is not YAML. ``line`` counts from 1; 0 when it is not known."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


class _Loader(yaml.SafeLoader):
    """Resolves plain scalars as the YAML library of distribution does."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _tag, _pattern, _first in (
    ("bool", r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", "yYnNtTfFoO"),
    ("float", r"[-+]?(\d[\d_]*)?\.\d*([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+0123456789."),
    ("int", r"[-+]?(0b[01_]+|0[0-7_]*|[1-9][\d_]*|0x[\da-fA-F_]+)", "-+0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):  # fmt: skip
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first)
    )


def parse(text: str, source: str, report: Report, *, numbered: bool = True) -> Node | None:
    """The document in ``text``; None for an empty one. Duplicate keys are reported as problems.

    ``source`` names it in origins, with lines if ``numbered``. Raises YAMLInvalid.
    """
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        return _Conversion(loader, source, report, numbered).node(root, "") if root else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(filter(None, (error.context, error.problem)))
        raise YAMLInvalid(f"not YAML: {said}", mark.line + 1 if mark else 0) from error
    except yaml.reader.ReaderError as error:
        raise YAMLInvalid(f"not YAML: character {error.character!r} is not allowed") from error
    except RecursionError as error:
        raise YAMLInvalid("not a configuration: nested too deeply") from error


class _Conversion:
    """From PyYAML's nodes to ours: follows aliases and merge keys, within LIMIT values."""

    def __init__(self, loader: _Loader, source: str, report: Report, numbered: bool) -> None:
        self._loader = loader
        self._source = source
        self._report = report
        self._numbered = numbered
        self._left = LIMIT
        self._open: set[int] = set()

    def node(self, node: yaml.Node, path: str, origin: Origin | None = None) -> Node:
        line = node.start_mark.line + 1
        self._left -= 1
        if self._left < 0 or id(node) in self._open:
            raise YAMLInvalid("not a configuration: its aliases expand without end", line)
        origin = origin or self._origin(node)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path, origin)
            if isinstance(node, yaml.SequenceNode):
                items = [
                    self.node(item, f"{path}[{index}]") for index, item in enumerate(node.value)
                ]
                return Items(items, origin)
            return self._scalar(node, origin)
        finally:
            self._open.discard(id(node))

    def _origin(self, node: yaml.Node) -> Origin:
        return Origin(self._source, node.start_mark.line + 1 if self._numbered else 0)

    def _scalar(self, node: yaml.Node, origin: Origin) -> Scalar:
        try:
            value = self._loader.construct_object(node)
        except ValueError:
            value = node.value  # a number too long for Python, or a date that is none
        return Scalar(value, str(node.value), origin)

    def _mapping(self, node: yaml.MappingNode, path: str, origin: Origin) -> Entries:
        own: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                for source in self._merged(value_node, path):
                    merged = {**source.entries, **merged}
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise YAMLInvalid("not a configuration: a key is a list or a table", origin.line)
            key, here = str(key_node.value), self._origin(key_node)
            below = f"{path}.{key}" if path else key
            if key in own:
                self._report.problem(below, f"is given twice, first in {own[key].origin}", here)
            own[key] = self.node(value_node, below, here)
        return Entries({**merged, **own}, origin)

    def _merged(self, node: yaml.Node, path: str) -> list[Entries]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        tables = [self.node(source, path) for source in sources]
        found = [table for table in tables if isinstance(table, Entries)]
        if len(found) != len(tables):
            raise YAMLInvalid("not YAML: << wants a table", node.start_mark.line + 1)
        return found


def plain(node: Node | None) -> Any:
    """The values alone: dict, list and scalars."""
    match node:
        case Entries(entries):
            return {key: plain(value) for key, value in entries.items()}
        case Items(items):
            return [plain(item) for item in items]
        case Scalar(value):
            return value
        case None:
            return None
