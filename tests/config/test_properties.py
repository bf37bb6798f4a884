"""A file under variables means the same as one file in which everything was written."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.config import shape
from longshore.config.binding import Binding
from longshore.config.document import Entries, parse
from longshore.config.environment import overlay
from longshore.config.problems import Report
from longshore.config.quantities import Seconds, Size, format_duration
from longshore.config.section import GoName, Section, Table, setting


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(Table):
    on: bool = setting(False, "A switch.")
    max_size: Size = setting(0, "A name with an underscore.")
    max: int = setting(0, "The beginning of that name.")
    names: tuple[str, ...] = setting((), "A list.")


class Outer(Section):
    key = "outer.most"

    text: str = setting("", "Text.")
    path: Path = setting(Path("/"), "A path.")
    wait: Seconds = setting(0.0, "A duration.")
    colour: Colour = setting(Colour.RED, "A choice.")
    inner: Inner = setting(Inner(), "A table.")
    others: Annotated[tuple[Inner, ...], GoName("OtherTables")] = setting((), "A list of tables.")
    free: Mapping[str, str] = setting({}, "Free keys.")
    lists: Mapping[str, tuple[int, ...]] = setting({}, "Free keys of lists.")


_texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]))
_names = st.from_regex(r"[a-z]+(_[a-z]+)?", fullmatch=True)
_inner = {
    "on": st.booleans(),
    "max_size": st.integers(0, 2**40),
    "max": st.integers(-5, 5),
    "names": st.lists(_texts, max_size=3),
}
_outer = {
    "text": _texts,
    "path": st.from_regex(r"/[a-z ]+", fullmatch=True),
    "wait": st.integers(0, 10**15).map(lambda ns: format_duration(ns / 1e9)),
    "colour": st.sampled_from(["red", "blue", "RED"]),
    "inner": st.fixed_dictionaries({}, optional=_inner),
    "others": st.lists(st.fixed_dictionaries({}, optional=_inner), max_size=3),
    "free": st.dictionaries(_names, _texts, max_size=3),
    "lists": st.dictionaries(_names, st.lists(st.integers(), max_size=3), max_size=3),
}
_files = st.fixed_dictionaries({}, optional=_outer)

Value = Any


def merged(below: Value, above: Value) -> Value:
    """`above` laid over `below`, table by table; a list is replaced as a whole."""
    if isinstance(below, dict) and isinstance(above, dict):
        both = below | above
        return {key: merged(below.get(key), value) if key in above else value for key, value in both.items()}  # fmt: skip
    return above


def variables(value: Value, name: str) -> dict[str, str]:
    """One variable for each value that is no table."""
    if isinstance(value, dict):
        return {
            variable: text
            for key, inner in value.items()
            for variable, text in variables(inner, f"{name}_{key.upper()}").items()
        }
    return {name: yaml.safe_dump(value, default_flow_style=True, allow_unicode=True)}


def load(file: Value, environ: Mapping[str, str]) -> Section:
    report = Report()
    structure = shape.build([Outer], [])
    root = parse(yaml.safe_dump({"outer": {"most": file}}, allow_unicode=True), "file", report)
    assert isinstance(root, Entries)
    overlay(root, structure, environ, report)
    bound = Binding(structure, report).sections(root, [Outer])
    assert (report.problems, report.warnings) == ([], [])
    return bound[Outer]


@settings(max_examples=60)
@given(_files, _files)
def test_variables_over_a_file_equal_the_merged_file(file: Value, above: Value):
    environ = variables(above, "REGISTRY_OUTER_MOST")

    assert load(file, environ) == load(merged(file, above), {})


@settings(max_examples=40)
@given(_files, st.lists(st.fixed_dictionaries(_inner), min_size=1, max_size=12))
def test_a_list_of_tables_can_be_given_item_by_item(file: Value, others: list[Value]):
    environ: dict[str, str] = {}
    for index, item in enumerate(others):
        environ |= variables(item, f"REGISTRY_OUTER_MOST_OTHERTABLES_{index}")
    older = file.get("others", [])
    expected = [*others, *older[len(others) :]]

    assert load(file, environ) == load({**file, "others": expected}, {})


@settings(max_examples=40)
@given(_files, st.randoms())
def test_the_order_of_variables_does_not_matter(above: Value, random: Any):
    pairs = list(variables(above, "REGISTRY_OUTER_MOST").items())
    shuffled = random.sample(pairs, len(pairs))

    assert load({}, dict(pairs)) == load({}, dict(shuffled))
