"""Effective values and where each comes from, with secrets hidden."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import yaml
from pydantic import SecretStr

from longshore.config.load import Configuration
from longshore.config.problems import Origin
from longshore.config.quantities import format_duration, format_size
from longshore.config.section import Table
from longshore.config.shape import Key, Kind, Leaf, ListOf, MapOf, Shape, of_model

HIDDEN: Final = "(hidden)"


@dataclass(frozen=True, slots=True)
class Value:
    """One value: its dotted key, how it would be written in config.yml, and its origin."""

    key: str
    text: str
    origin: Origin


def explain(configuration: Configuration) -> Iterator[Value]:
    """Every value of every section; of alternatives (drivers, logins) those that are chosen."""
    for section in configuration.sections:
        for key, text in _table(section, section.key):
            yield Value(key, text, configuration.origin(key))


def _table(table: Table, path: str) -> Iterator[tuple[str, str]]:
    keys = of_model(type(table)).keys
    if not keys:
        yield path, "{}"
    for name, key in keys.items():
        yield from _value(getattr(table, name), key.shape, f"{path}.{name}", name in table.one_of)


def _value(value: Any, shape: Shape, path: str, is_choice: bool) -> Iterator[tuple[str, str]]:
    if is_choice and value is None:
        return
    if isinstance(value, Table):
        yield from _table(value, path)
    elif value and isinstance(shape, ListOf) and not isinstance(shape.item, Leaf):
        for index, item in enumerate(value):
            yield from _value(item, shape.item, f"{path}[{index}]", False)
    elif value and isinstance(shape, MapOf):
        for name, item in value.items():
            yield from _value(item, shape.value, f"{path}.{name}", False)
    else:
        yield path, written(value, shape)


def written(value: Any, shape: Shape) -> str:
    """``value`` as it would be written in config.yml, on one line; empty when there is none."""
    if value is None:
        return ""
    if isinstance(shape, ListOf) and isinstance(shape.item, Leaf):
        return _yaml([item if isinstance(item, int) else _text(item) for item in value])
    if isinstance(value, SecretStr):
        return hide(value.get_secret_value())
    if isinstance(shape, Leaf) and shape.kind is Kind.DURATION:
        return format_duration(value)
    if isinstance(shape, Leaf) and shape.kind is Kind.SIZE:
        return format_size(value)
    if isinstance(value, Mapping | tuple):
        return "{}" if isinstance(value, Mapping) else "[]"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    return _yaml(_text(value))


def _text(value: Any) -> str:
    return str(value.value if isinstance(value, Enum) else value)


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).splitlines()[0]


#: Everything up to the last @ is the login: passwords are not always escaped.
_DATABASE_URL: Final = re.compile(
    r"((?:sqlite|postgres(?:ql)?)(?:\+\w+)?://)(?:([^/@:]*)(:.*)?@)?([^@?]*)(\?.*)?", re.DOTALL
)


def hide(secret: str) -> str:
    """A secret as it may be shown: nothing of it, except where a database is."""
    url = _DATABASE_URL.fullmatch(secret)
    if url is None:
        return HIDDEN if secret else "''"
    scheme, user, password, rest, query = url.groups()
    login = f"{user}{f':{HIDDEN}' if password else ''}@" if user is not None else ""
    return f"{scheme}{login}{rest}{f'?{HIDDEN}' if query else ''}"


def default_of(key: Key) -> str:
    """The default of a setting as it would be written; empty for none and for tables."""
    if key.field is None or key.field.is_required():
        return ""
    default = key.field.get_default(call_default_factory=True)
    if isinstance(default, Table):
        return ""
    if isinstance(default, SecretStr):
        return "''"
    return written(default, key.shape)
