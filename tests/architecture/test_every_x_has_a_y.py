"""Rules about the whole: what each route, command and decision must have."""

import importlib
import re
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from longshore.api.application import ROUTERS
from longshore.api.refused import RESOURCE_TYPES, resource_type
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


def test_no_command_changes_people_past_the_audit_log():
    """``People.change`` makes a change and tells of it; ``write`` would only make it."""
    commands = [path.read_text() for path in (PACKAGE / "cli").glob("*.py")]

    changing = [text for text in commands if "from longshore.cli.people import" in text]

    assert len(changing) >= 4
    assert not any(re.search(r"\.write\(partial|metadata\.write\(", text) for text in changing)


def test_the_audit_log_has_a_word_for_what_every_route_of_the_api_changes():
    routes = [
        f"{prefix}{route.path}"
        for prefix, routers in ROUTERS.items()
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute) and (route.methods or set()) - {"GET", "HEAD"} and prefix
    ]

    unnamed = [path for path in routes if resource_type(path) not in RESOURCE_TYPES.values()]

    assert len(routes) > 30
    assert unnamed == [], "name the last word of the path in longshore.api.refused.RESOURCE_TYPES"
