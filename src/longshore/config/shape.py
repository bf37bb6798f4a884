"""The shape of config.yml: which keys there are and what kind of value each takes.

Made from the sections and from the table of distribution's other keys. It is what the environment
variables are matched against, where unknown keys are found, and what the reference page lists.
"""

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, Union

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from longshore.config.compat import Row
from longshore.config.quantities import Written
from longshore.config.section import GoName, Section, Table


class Kind(StrEnum):
    """What one value is. All but the first four are taken as they are written."""

    ANY = "anything"
    BOOLEAN = "true or false"
    INTEGER = "a whole number"
    NUMBER = "a number"
    TEXT = "text"
    PATH = "a path"
    SECRET = "a secret text"  # noqa: S105 - a description
    DURATION = "a duration"
    SIZE = "a size"
    SCHEDULE = "a schedule"

    @property
    def is_literal(self) -> bool:
        return self not in (Kind.ANY, Kind.BOOLEAN, Kind.INTEGER, Kind.NUMBER)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value. ``choices``: the only texts it may have."""

    kind: Kind
    choices: tuple[str, ...] = ()

    @property
    def empty_is_absent(self) -> bool:
        """Whether an empty text is the same as nothing, as it is in Go."""
        return bool(self.choices) or self.kind is Kind.PATH


@dataclass(frozen=True, slots=True)
class ListOf:
    item: "Shape"


@dataclass(frozen=True, slots=True)
class MapOf:
    """A table whose keys the user invents, of single values, lists of them, or tables."""

    value: "Leaf | ListOf | Struct"


@dataclass(slots=True)
class Key:
    """A key of a table. ``row`` says what distribution's key of that name means here."""

    shape: "Shape"
    spellings: tuple[str, ...]
    field: FieldInfo | None = None
    row: Row | None = None


@dataclass(slots=True)
class Struct:
    """A table with known keys. Exactly one of ``one_of`` may be given; ``known`` are all the words
    that would choose, also those that are refused."""

    keys: dict[str, Key] = field(default_factory=dict)
    one_of: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    model: type[Table] | None = None


Shape = Leaf | ListOf | MapOf | Struct
ANYTHING = Leaf(Kind.ANY)


def build(sections: Sequence[type[Section]], rows: Sequence[Row]) -> Struct:
    """The shape of the whole file, without ``version``."""
    root = Struct()
    for section in sections:
        *above, last = section.key.split(".")
        _descend(root, above).keys[last] = Key(of_model(section), (last.upper(),))
    for row in rows:
        _add(root, row)
    return root


def of_model(model: type[Table]) -> Struct:
    """The shape of one table."""
    keys = {}
    for name, declared in model.model_fields.items():
        spellings = [name.upper()]
        spellings += [mark.name.upper() for mark in declared.metadata if isinstance(mark, GoName)]
        keys[name] = Key(
            _of(declared.annotation, declared.metadata), tuple(spellings), field=declared
        )
    return Struct(keys, model.one_of, model.one_of, model)


_KINDS: Mapping[Any, Kind] = {
    bool: Kind.BOOLEAN,
    int: Kind.INTEGER,
    float: Kind.NUMBER,
    str: Kind.TEXT,
    Path: Kind.PATH,
    SecretStr: Kind.SECRET,
}


def _of(annotation: Any, marks: Sequence[Any] = ()) -> Shape:
    for mark in marks:
        if isinstance(mark, Written):
            return Leaf(Kind[mark.kind.upper()])
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _of(arguments[0], arguments[1:])
    if origin in (Union, types.UnionType):
        (inner,) = (argument for argument in arguments if argument is not types.NoneType)
        return _of(inner)
    if origin is typing.Literal:
        return Leaf(Kind.TEXT, tuple(arguments))
    if origin is tuple:
        return ListOf(_of(arguments[0]))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        value = _of(arguments[1])
        if isinstance(value, MapOf):
            raise TypeError(f"{annotation}: free keys below free keys cannot be told apart")
        return MapOf(value)
    if issubclass(annotation, Table):
        return of_model(annotation)
    if issubclass(annotation, Enum):
        return Leaf(Kind.TEXT, tuple(str(member.value) for member in annotation))
    return Leaf(_KINDS[annotation])


def _descend(root: Struct, path: Sequence[str]) -> Struct:
    at = root
    for name in path:
        shape = at.keys.setdefault(name, Key(Struct(), (name.upper(),))).shape
        if isinstance(shape, ListOf):
            shape = shape.item
        if not isinstance(shape, Struct):
            raise TypeError(f"{name} in {'.'.join(path)} is not a table")
        at = shape
    return at


def _add(root: Struct, row: Row) -> None:
    *above, last = row.key.split(".")
    parent = _descend(root, above)
    key = parent.keys.setdefault(last, Key(_of_row(row), (last.upper(),)))
    key.row = row
    if row.chooses:
        parent.known = (*parent.known, last)


def _of_row(row: Row) -> Shape:
    """``keys`` of a row as a shape: dots for tables, ``[]`` for lists, in front of all
    when the key itself is a list of tables."""
    if not row.keys:
        return ANYTHING
    top = Struct()
    is_list_of_tables = row.keys.startswith("[].")
    for written in row.keys.split():
        at = top
        *above, last = written.removeprefix("[].").split(".")
        for step in above:
            name, spellings, is_list = _step(step)
            inner: Shape = ListOf(Struct()) if is_list else Struct()
            found = at.keys.setdefault(name, Key(inner, spellings)).shape
            found = found.item if isinstance(found, ListOf) else found
            if not isinstance(found, Struct):
                raise TypeError(f"{step} in {written} is not a table")
            at = found
        name, spellings, is_list = _step(last)
        at.keys[name] = Key(ListOf(ANYTHING) if is_list else ANYTHING, spellings)
    return ListOf(top) if is_list_of_tables else top


def _step(text: str) -> tuple[str, tuple[str, ...], bool]:
    """``endpoints[]`` or ``events=EventConfig``: the key, its spellings, whether it is a list."""
    name, _, go_name = text.removesuffix("[]").partition("=")
    spellings = (name.upper(), go_name.upper()) if go_name else (name.upper(),)
    return name, spellings, text.endswith("[]")


def walk(shape: Struct, path: str = "") -> Iterator[tuple[str, Key]]:
    """Every key with its dotted path, tables before what is in them; lists of tables as ``[]``. What
    is below keys that the user invents is left out."""
    for name, key in shape.keys.items():
        here = f"{path}.{name}" if path else name
        yield here, key
        inner = key.shape
        if isinstance(inner, ListOf):
            inner, here = inner.item, f"{here}[]"
        if isinstance(inner, Struct):
            yield from walk(inner, here)
