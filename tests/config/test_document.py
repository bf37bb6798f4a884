"""YAML as distribution reads it, with lines, and without surprises."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from longshore.config.document import Entries, Scalar, YAMLInvalid, parse, plain
from longshore.config.problems import Report


def read(text: str) -> Any:
    """The values in `text`, which must be without fault."""
    report = Report()
    node = parse(text, "file", report)
    assert report.problems == []
    return plain(node)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("Yes", True), ("off", False), ("null", None), ("~", None), ("", None),
        ("12", 12), ("0x1f", 31), ("017", 15), ("1_000", 1000), ("-3", -3), ("0.1", 0.1),
        (":5000", ":5000"), ("12:30", "12:30"), ("2026-01-31", "2026-01-31"), ("1.2.3", "1.2.3"),
        ("089", "089"), ("=", "="), ("'12'", "12"), ("!!str 12", "12"),
    ],
)  # fmt: skip
def test_a_plain_value_is_read_as_go_reads_it(text: str, value: object):
    assert read(f"a: {text}") == {"a": value}


def test_the_text_of_a_number_is_kept():
    node = parse("0123", "file", Report())

    assert isinstance(node, Scalar)
    assert (node.value, node.text) == (83, "0123")


def test_a_value_knows_the_line_of_its_key():
    node = parse("a:\n  b: 1\n  c:\n    d: 2\n", "config.yml", Report())

    assert isinstance(node, Entries)
    table = node.entries["a"]
    assert isinstance(table, Entries)
    assert [str(value.origin) for value in (table, *table.entries.values())] == [
        "config.yml:1",
        "config.yml:2",
        "config.yml:3",
    ]


def test_a_key_that_is_given_twice_is_reported_with_both_lines():
    report = Report()
    parse("a:\n  b: 1\n  c: 2\n  b: 3\n", "config.yml", report)

    assert [str(problem) for problem in report.problems] == [
        "a.b: is given twice, first in config.yml:2 (config.yml:4)"
    ]


def test_anchors_and_merge_keys_are_followed():
    text = """
        base: &base {x: 1, y: 1}
        more: &more {y: 2, z: 2}
        one: {<<: *base, y: 9}
        two: {<<: [*more, *base], w: 0}
        """

    found = read(text)

    assert found["one"] == {"x": 1, "y": 9}
    assert found["two"] == {"x": 1, "y": 2, "z": 2, "w": 0}


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: [1, 2\nb: 3\n", 2, "not YAML"),
        ("a: 1\n\tb: 2\n", 2, "not YAML"),
        ("a: *nowhere\n", 1, "undefined alias"),
        ("a: !secret x\n", 1, "could not determine a constructor"),
        ("a: 1\n---\nb: 2\n", 2, "single document"),
        ("<<: 5\n", 1, "wants a table"),
        ("? [a]\n: 1\n", 1, "a key is a list"),
        ("a: &a [*a]\n", 1, "aliases expand without end"),
        ("a: \x01\n", 0, "not allowed"),
    ],
)
def test_what_is_not_yaml_is_refused_with_its_line(text: str, line: int, said: str):
    with pytest.raises(YAMLInvalid, match=said) as raised:
        parse(text, "file", Report())

    assert raised.value.line == line


def test_aliases_cannot_fill_the_memory():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]

    with pytest.raises(YAMLInvalid, match="expand without end"):
        parse("\n".join(lines), "file", Report())


def test_deep_nesting_is_refused():
    with pytest.raises(YAMLInvalid, match="nested too deeply"):
        parse("[" * 2_000, "file", Report())


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


@given(_values)
def test_what_pyyaml_writes_is_read_back(value: object):
    assert read(yaml.safe_dump(value)) == value


@given(st.text())
def test_any_text_is_read_or_refused(text: str):
    try:
        parse(text, "file", Report())
    except YAMLInvalid as error:
        assert str(error)


@pytest.mark.parametrize("text", ["!!int many", "!!timestamp 2026-99-99", f"{'9' * 5000}"])
def test_a_value_that_python_cannot_hold_is_text(text: str):
    (value,) = read(f"a: {text}").values()

    assert value == text.rpartition(" ")[2]
