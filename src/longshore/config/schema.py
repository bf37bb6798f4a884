"""The JSON Schema of config.yml, for editors that complete and check YAML."""

from collections.abc import Sequence
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from longshore.config import shape
from longshore.config.compat import ROWS, Status
from longshore.config.load import VERSION
from longshore.config.section import Section
from longshore.config.shape import Key, Leaf, ListOf, Shape, Struct

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def json_schema(sections: Sequence[type[Section]]) -> Schema:
    """Of the whole file. Keys that are refused are left out, those without effect deprecated."""
    refs, definitions = models_json_schema(
        [(section, "validation") for section in sections], ref_template="#/$defs/{model}"
    )
    root: Schema = {
        "$schema": _DIALECT,
        "title": "config.yml of Longshore",
        **_table({"version": {"enum": [float(VERSION), VERSION]}}),
        "required": ["version", "storage"],
        "$defs": definitions.get("$defs", {}),
    }
    for section in sections:
        *above, last = section.key.split(".")
        at = root
        for name in above:
            at = at["properties"].setdefault(name, _table({}))
        at["properties"][last] = refs[section, "validation"]
    _complete(root, root, shape.build(sections, ROWS))
    return root


def _table(properties: Schema) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _complete(root: Schema, at: Schema, structure: Struct) -> None:
    """Add what pydantic does not know: words for tables, empty tables, distribution's keys."""
    for name, key in structure.keys.items():
        properties = at["properties"]
        if name in properties:
            inner = _resolve(root, properties[name])
            if isinstance(key.shape, Struct):
                _complete(root, inner, key.shape)
                properties[name] = {"anyOf": [properties[name], *_instead(key.shape)]}
        elif key.row is not None and key.row.status is not Status.REFUSED:
            properties[name] = {
                **_of_row(key.shape),
                "deprecated": True,
                "description": f"{key.row.status.value}: {key.row.reason}",
            }


def _instead(structure: Struct) -> list[Schema]:
    words: list[Schema] = [{"enum": list(structure.one_of)}] if structure.one_of else []
    return [*words, {"type": "null"}]


def _resolve(root: Schema, schema: Schema) -> Schema:
    """The definition that a property refers to, be it optional or not."""
    for option in (schema, *schema.get("anyOf", ())):
        if "$ref" in option:
            found: Schema = root["$defs"][option["$ref"].rpartition("/")[2]]
            return found
    return schema


def _of_row(found: Shape) -> Schema:
    match found:
        case Struct(keys):
            return {**_table(_below(keys)), "type": ["object", "null"]}
        case ListOf(item):
            return {"type": ["array", "null"], "items": _of_row(item)}
        case Leaf() | _:
            return {}


def _below(keys: dict[str, Key]) -> Schema:
    return {name: _of_row(key.shape) for name, key in keys.items()}
