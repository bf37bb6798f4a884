"""Writes docs/reference/api.md from the routes and the table of errors."""

import inspect
import re
from pathlib import Path

from longshore.http.health import debug_routes, health_routes
from longshore.http.routing import Route
from longshore.oci import errors
from longshore.registry.routes import data_plane
from longshore.registry.routes_blobs import BlobRoutes
from longshore.registry.routes_listing import ListingRoutes
from longshore.registry.routes_manifests import ManifestRoutes
from longshore.registry.routes_uploads import UploadRoutes
from longshore.telemetry.health import Health

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "api.md"
_HEAD = """\
# The HTTP API

Every path that a server answers. `<name>` is a repository and may hold slashes. The endpoints below `/v2/` follow OCI
Distribution 1.1 and the Docker Registry HTTP API V2; the last column names the endpoint as the specification numbers them. Where there is GET there is HEAD.
"""
_ERRORS = """
## Errors

A refusal is `{"errors": [{"code": ..., "message": ..., "detail": ...}]}`. The message says what was wrong, with which value,
and what to do.

| code | status |
|---|---|
"""
_TAIL = """
This page is made from the code: `python -m scripts.api_reference`.
"""


def render() -> str:
    """The page's text."""
    slices = (ListingRoutes, ManifestRoutes, BlobRoutes, UploadRoutes)
    plane = data_plane(*(cls.__new__(cls) for cls in slices))  # type: ignore[arg-type]
    text = _HEAD + _table("The registry", plane)
    text += _table("Health, on the same address", health_routes(Health()))
    own = [r for r in debug_routes(Health(), _nothing) if r.name.startswith(("debug", "metrics"))]
    text += _table("The debug address (`http.debug.addr`)", own)
    rows = (f"| `{code}` | {statuses(found)} |\n" for code, found in errors.SPECIFIED.items())
    return text + _ERRORS + "".join(rows) + _TAIL


def statuses(found: tuple[int, ...]) -> str:
    return ", ".join(map(str, found))


def _table(title: str, routes: list[Route]) -> str:
    rows = [
        f"| {method} | `{path(route)}` | {_first_line(handler)} | {route.specification} |\n"
        for route in routes
        for method, handler in route.handlers.items()
    ]
    head = f"\n## {title}\n\n| method | path | what it does | specification |\n|---|---|---|---|\n"
    return head + "".join(rows)


def path(route: Route) -> str:
    """The route's pattern as a person would write it."""
    named = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", route.pattern)
    return named.removesuffix("?").replace("\\", "")


def _first_line(handler: object) -> str:
    said = (inspect.getdoc(handler) or "").partition("\n")[0]
    return (
        re.sub(r"^[A-Z ]+(?:and [A-Z]+)?(?: /[\w/<>_]+)?: ", "", said)
        .rstrip(".")
        .replace("``", "`")
    )


async def _nothing() -> bytes:
    return b""


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(render())
