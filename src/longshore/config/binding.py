"""A tree of values becomes frozen sections; whatever does not fit becomes a problem."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from longshore.config.compat import Row, Status
from longshore.config.document import Entries, Items, Node, Scalar, plain
from longshore.config.problems import DEFAULT, Origin, Report
from longshore.config.section import Section
from longshore.config.shape import Kind, Leaf, ListOf, MapOf, Shape, Struct, walk
from longshore.config.tree import as_table, is_null
from longshore.config.wording import did_you_mean, sentence

S = TypeVar("S", bound=Section)

#: In place of a value that was not given: the key is left out, so its default holds.
_ABSENT: Final = object()


@dataclass(slots=True)
class Binding:
    """Binds one tree. ``origins`` fills with where each key was set."""

    shape: Struct
    report: Report
    dev: bool = False
    origins: dict[str, Origin] = field(default_factory=dict)
    _secrets: set[str] = field(default_factory=set)
    #: Tables in which a choice was made that cannot be had, so that nothing else is missing.
    _choice_refused: set[str] = field(default_factory=set)

    def sections(
        self, root: Entries, sections: Sequence[type[Section]]
    ) -> Mapping[type[Section], Section]:
        """Every section that could be made; the report says what is wrong with the others."""
        values = self._struct(root, self.shape, "")
        bound: dict[type[Section], Section] = {}
        for section in sections:
            given: Any = values
            for name in section.key.split("."):
                given = given.get(name, {})
            try:
                bound[section] = section.model_validate(given)
            except ValidationError as invalid:
                for error in invalid.errors(include_url=False):
                    self._explain(section, error)
        return bound

    def _explain(self, section: type[Section], error: ErrorDetails) -> None:
        path = section.key
        for step in error["loc"]:
            path += f"[{step}]" if isinstance(step, int) else f".{step}"
        if path not in self._choice_refused:
            said = sentence(error, show=path not in self._secrets)
            self.report.problem(path, said, self.origin(path))

    def origin(self, path: str) -> Origin:
        """Where ``path`` was set, or the nearest table around it."""
        while path:
            if path in self.origins:
                return self.origins[path]
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return DEFAULT

    def _value(self, node: Node, shape: Shape, path: str) -> Any:
        self.origins[path] = node.origin
        match shape:
            case Struct():
                table = as_table(node, shape, node.origin)
                if table is not None:
                    return self._struct(table, shape, path)
                said = "is not a table; write key: value lines below it"
                self.report.problem(path, said, node.origin)
                return _ABSENT
            case MapOf(value):
                if isinstance(node, Entries):
                    pairs = (
                        (name, self._value(child, value, f"{path}.{name}"))
                        for name, child in node.entries.items()
                    )
                    return {name: found for name, found in pairs if found is not _ABSENT}
            case ListOf(item):
                if isinstance(node, Items):
                    found = (
                        self._value(child, item, f"{path}[{index}]")
                        for index, child in enumerate(node.items)
                    )
                    return [each for each in found if each is not _ABSENT]
            case Leaf():
                return self._leaf(node, shape, path)
        if is_null(node):
            return _ABSENT
        return plain(node)

    def _leaf(self, node: Node, leaf: Leaf, path: str) -> Any:
        if leaf.kind is Kind.SECRET:
            self._secrets.add(path)
        if not isinstance(node, Scalar):
            return plain(node)
        if node.value is None or (node.text == "" and leaf.empty_is_absent):
            return _ABSENT
        if leaf.choices:
            # Spelled as the program spells it, however the file does: ``level: INFO``.
            spelled = {choice.lower(): choice for choice in leaf.choices}
            return spelled.get(node.text.lower(), node.text)
        return node.text if leaf.kind.is_literal else node.value

    def _struct(self, node: Entries, shape: Struct, path: str) -> dict[str, Any]:
        values = {}
        self._one_of(node, shape, path)
        for name, child in node.entries.items():
            here = f"{path}.{name}" if path else name
            key = shape.keys.get(name)
            if key is None:
                self._unknown(name, here, shape, child.origin)
                continue
            if key.row is not None and self._judge(key.row, child, shape):
                continue
            value = self._value(child, key.shape, here)
            if value is not _ABSENT and (key.field is not None or _leads_to_settings(key.shape)):
                values[name] = value
        return values

    def _judge(self, row: Row, node: Node, shape: Struct) -> bool:
        """Say what a row of the table says; true when there is nothing more to look at."""
        if not row.matters(plain(node)):
            return False
        match row.status:
            case Status.REFUSED:
                reason = row.reason
                if row.chooses:
                    table = row.key.rpartition(".")[0]
                    self._choice_refused.add(table)
                    reason += f"; there are: {', '.join(shape.one_of)}"
                self.report.problem(row.key, reason, node.origin)
                return True
            case Status.DEVELOPMENT:
                if self.dev:
                    return False
                self.report.problem(row.key, row.reason, node.origin)
                return True
            case Status.WARNED | Status.MOVED:
                self.report.warn(row.key, row.reason, node.origin)
                return False

    def _one_of(self, node: Entries, shape: Struct, path: str) -> None:
        chosen = [name for name in node.entries if name in shape.known]
        if len(chosen) > 1:
            found = " and ".join(f"{name} ({node.entries[name].origin})" for name in chosen)
            self.report.problem(path, f"only one may be chosen; found {found}")

    def _unknown(self, name: str, path: str, shape: Struct, origin: Origin) -> None:
        hint = did_you_mean(name, shape.keys)
        if shape.known:
            self._choice_refused.add(path.rpartition(".")[0])
            hint = hint or f"; there are: {', '.join(shape.one_of)}"
        self.report.problem(path, f"unknown key{hint or self._elsewhere(name)}", origin)

    def _elsewhere(self, name: str) -> str:
        """A setting of that name in another table, for what was only indented wrongly."""
        places = [
            known
            for known, key in walk(self.shape)
            if known.endswith(f".{name}") and key.field is not None
        ]
        return f"; did you mean {' or '.join(places)}?" if 0 < len(places) <= 2 else ""


def _leads_to_settings(shape: Shape) -> bool:
    """Whether a table is, or contains, a section; what only rows name does not."""
    if not isinstance(shape, Struct):
        return False
    return shape.model is not None or any(
        _leads_to_settings(key.shape) for key in shape.keys.values()
    )
