"""Rules about the whole: what each route, command and decision must have."""

import importlib
import re
from pathlib import Path

import pytest

from longshore.cli.main import COMMANDS
from longshore.http.health import debug_routes, health_routes
from longshore.http.routing import Route
from longshore.registry.routes import data_plane
from longshore.telemetry.health import Health

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "longshore"


class Anything:
    """Stands for a slice's routes where only the table is looked at."""

    def __getattr__(self, name: str) -> "Anything":
        return self


def every_route() -> list[Route]:
    slices = [Anything() for _ in range(4)]
    plane = data_plane(*slices)  # type: ignore[arg-type]
    return [*plane, *health_routes(Health()), *debug_routes(Health(), None)]


def test_every_route_says_where_it_is_specified():
    assert all(route.specification for route in every_route())


def test_every_endpoint_of_the_specification_has_a_route():
    named = {
        name for route in every_route() for name in re.findall(r"end-\d+", route.specification)
    }

    assert named == {f"end-{number}" for number in range(1, 15)}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_exists_and_documents_itself(name):
    place, line = COMMANDS[name]
    module, _, attribute = place.partition(":")

    found = getattr(importlib.import_module(module), attribute)

    assert line.endswith(".")
    assert callable(found)


def test_every_module_says_what_it_is_for():
    silent = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if path.read_text().strip() and not path.read_text().lstrip().startswith(('"""', 'r"""'))
    ]

    assert silent == []


def test_every_page_that_the_readme_names_exists():
    text = (ROOT / "README.md").read_text()

    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / target).exists(), target


def test_no_package_is_a_drawer_for_everything():
    drawers = {"utils", "util", "common", "helpers", "misc", "core", "base"}

    assert {path.stem for path in PACKAGE.rglob("*.py")} & drawers == set()
