"""Every example is read as it stands; so is every configuration in the documentation."""

import re
from pathlib import Path

import pytest

from longshore.config.load import load
from longshore.settings import SECTIONS
from tests.config.loading import Loader

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yml"))
FILES = [*EXAMPLES, *sorted((Path(__file__).parent / "files").glob("*.yml"))]
DOCUMENT = ROOT / "docs" / "configuration.md"
BLOCKS = [
    block
    for document in (DOCUMENT, ROOT / "docs" / "storage.md")
    for block in re.findall(r"^```yaml\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE)
]


def test_there_are_examples():
    assert len(EXAMPLES) > 4
    assert len(BLOCKS) > 3


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_read_without_a_warning(path: Path):
    assert load(path, {}, SECTIONS).warnings == ()


@pytest.mark.parametrize("block", BLOCKS)
def test_a_configuration_in_the_documentation_is_read_without_a_warning(config: Loader, block: str):
    head = "" if "version:" in block else "version: 0.1\n"
    head += "" if re.search("^storage:", block, re.MULTILINE) else "storage: inmemory\n"

    assert config.warnings(head + block) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_says_what_it_is_for(path: Path):
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_listed_in_the_documentation(path: Path):
    assert f"examples/{path.name}" in DOCUMENT.read_text()
