"""What is checked of the code and of what it is made of without asking anybody: docs/decisions/047."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINES = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.strip()]
PINS = dict(line.split("==", 1) for line in LINES)
#: What makes virtual environments brings these, in versions of its own; neither runs in the registry.
BROUGHT = {"pip", "setuptools"}


def canonical(name: str) -> str:
    """PEP 503, "Normalized Names"."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_bandits_rules_are_on_and_only_single_ones_are_off():
    lint = PROJECT["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    assert not [rule for rule in lint["ignore"] if rule.startswith("S")]
    for path, rules in lint["per-file-ignores"].items():
        assert "S" not in rules, path


def test_every_exception_in_the_code_has_a_reason():
    for directory in ("src", "benchmarks", "scripts"):
        for path in (ROOT / directory).rglob("*.py"):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                found = re.search(r"# noqa: (S\d+)(.*)", line)
                assert not found or len(found[2].strip(" -()")) > 4, (
                    f"{path}:{number} says no reason"
                )


def test_every_package_is_pinned_to_one_version():
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line) for line in LINES)
    assert len({canonical(name) for name in PINS}) == len(LINES)


def test_what_is_installed_is_what_is_pinned():
    pins = {canonical(name): version for name, version in PINS.items()}
    found = {canonical(one.metadata["Name"]): one.version for one in metadata.distributions()}
    of_others = {name: version for name, version in found.items() if name not in BROUGHT}
    del of_others["longshore"]
    assert {name: pins.get(name) for name in of_others} == of_others


def test_every_package_that_is_asked_for_is_pinned():
    pins = {canonical(name) for name in PINS}
    asked = [*PROJECT["project"]["dependencies"]]
    for extra in PROJECT["project"]["optional-dependencies"].values():
        asked += extra
    names = {canonical(re.split(r"[\[<>=~! ]", one, maxsplit=1)[0]) for one in asked}
    assert names - {"longshore"} <= pins
