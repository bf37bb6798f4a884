"""The schema agrees with the loader about what is a configuration."""

from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
import yaml

from longshore.config.schema import json_schema
from longshore.settings import SECTIONS
from tests.config.test_examples import FILES

HEAD = "version: 0.1\nstorage: inmemory\n"


@pytest.fixture(scope="module")
def valid() -> Any:
    """A function that raises for what the schema does not allow."""
    return fastjsonschema.compile(json_schema(SECTIONS))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_example_is_valid(valid: Any, path: Path):
    valid(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    "text",
    [
        "storage: {filesystem: }",
        "storage: {inmemory: {}, delete: , cache: {blobdescriptor: inmemory}}",
        "auth: none",
        "http: {draintimeout: 1h30m, relativeurls: true}",
        "longshore: {manifests: {maxsize: 4MiB}, access: }",
        "redis: {addrs: [a], tls: {rootcas: [/a]}}",
        "log: {hooks: [{type: mail, options: {to: [a]}}]}",
        "health: {http: [{uri: 'http://x', interval: 5s}]}",
    ],
)
def test_what_the_loader_takes_is_valid(valid: Any, text: str):
    valid({"version": 0.1, "storage": "inmemory", **yaml.safe_load(text)})


@pytest.mark.parametrize(
    "text",
    [
        "version: 0.2",
        "storage: s3aws",
        "storage: {s3aws: {bucket: b}}",
        "storage: {s3: {region: r}}",
        "auth: {htpasswd: {realm: r}}",
        "http: {adr: x}",
        "http: {draintimeout: soon}",
        "longshore: {acces: {}}",
        "proxy: {remoteurl: x}",
        "redis: {adrs: []}",
        "log: {level: loud}",
        "catalog: {maxentries: 0}",
    ],
)
def test_what_the_loader_refuses_is_not_valid(valid: Any, text: str):
    with pytest.raises(fastjsonschema.JsonSchemaException):
        valid({"version": 0.1, "storage": "inmemory", **yaml.safe_load(text)})


def test_every_setting_is_described():
    schema = json_schema(SECTIONS)
    undescribed = [
        f"{table}.{name}"
        for table, definition in schema["$defs"].items()
        for name, entry in definition.get("properties", {}).items()
        if "$ref" not in str(entry) and "description" not in str(entry)
    ]

    assert undescribed == []
