"""The page about security names tests that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text()


def test_every_test_that_the_page_names_is_there():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) > 30
    for path, name in named:
        assert re.search(rf"def {name}\(", (ROOT / path).read_text()), f"{path}::{name}"


def test_every_test_of_attacks_is_named_or_belongs_to_one_that_is():
    for path in Path(__file__).parent.glob("test_*.py"):
        assert path.name in PAGE or path.name == "test_documentation.py", path.name
