"""The description of the API as a page to read: made from the same document that programs get, with no
script and nothing from another host."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from typing import Any, Final

from fastapi import FastAPI, Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import Response

from longshore.api.caller import RULE_KEY, anybody
from longshore.api.wire import Router

router = Router(tags=["description"])

_DEEPEST: Final = 4
_NAMES: Final = {"integer": 0, "number": 0.0, "boolean": False, "string": "string"}


@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    place: str
    type: str
    description: str
    required: bool


@dataclass(frozen=True, slots=True)
class _Reply:
    status: str
    description: str
    body: str


@dataclass(frozen=True, slots=True)
class _Operation:
    id: str
    method: str
    path: str
    summary: str
    needs: str
    parameters: list[_Parameter]
    body: str
    replies: list[_Reply]


@dataclass(slots=True)
class _Group:
    name: str
    operations: list[_Operation] = field(default_factory=list)


@dataclass
class Description:
    """The page about one application; rendered once."""

    application: FastAPI

    @cached_property
    def style(self) -> str:
        return (resources.files("longshore.api") / "templates/description.css").read_text()

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """Nothing but the page's own style is let in."""
        digest = base64.b64encode(hashlib.sha256(self.style.encode()).digest()).decode()
        policy = f"default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'"
        return {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}

    @cached_property
    def page(self) -> str:
        loader = PackageLoader("longshore.api", "templates")
        environment = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        document = self.application.openapi()
        return environment.get_template("description.html").render(
            title=document["info"]["title"],
            description=document["info"]["description"],
            document=self.application.openapi_url,
            style=self.style,
            groups=list(_groups(document)),
        )


@router.get("/", include_in_schema=False, response_class=Response, dependencies=[anybody()])
@router.get("", include_in_schema=False, response_class=Response, dependencies=[anybody()])
def get_description(request: Request) -> Response:
    """The description of the API, to read."""
    found: Description = request.app.state.description
    return Response(found.page, media_type="text/html; charset=utf-8", headers=dict(found.headers))


def _groups(document: Mapping[str, Any]) -> Iterator[_Group]:
    groups: dict[str, _Group] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            name = operation.get("tags", ["other"])[0]
            group = groups.setdefault(name, _Group(name))
            group.operations.append(_operation(path, method, operation, document))
    yield from sorted(groups.values(), key=lambda group: group.name)


def _operation(
    path: str, method: str, operation: Mapping[str, Any], document: Mapping[str, Any]
) -> _Operation:
    body = operation.get("requestBody", {}).get("content", {})
    return _Operation(
        operation["operationId"],
        method.upper(),
        path,
        operation.get("description", operation.get("summary", "")),
        operation.get(RULE_KEY, ""),
        [_parameter(found) for found in operation.get("parameters", ())],
        _example(body, document),
        [
            _Reply(status, reply["description"], _example(reply.get("content", {}), document))
            for status, reply in operation["responses"].items()
        ],
    )


def _parameter(found: Mapping[str, Any]) -> _Parameter:
    schema = found.get("schema", {})
    options = [schema, *schema.get("anyOf", ())]
    kind = next((option["type"] for option in options if option.get("type", "null") != "null"), "")
    description = found.get("description", "")
    return _Parameter(found["name"], found["in"], kind, description, found.get("required", False))


def _example(content: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """The shape of a body, with the kind of each value in its place."""
    for media_type, found in content.items():
        if "json" in media_type and found.get("schema"):
            return json.dumps(_shape(found["schema"], document, 0), indent=2)
    return ", ".join(content)


def _shape(schema: Mapping[str, Any], document: Mapping[str, Any], depth: int) -> Any:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = document["components"]["schemas"][name]
    for option in schema.get("anyOf", ()):
        if option.get("type") != "null":
            return _shape(option, document, depth)
    if depth > _DEEPEST:
        return "..."
    match schema.get("type"):
        case "object":
            inner = schema.get("properties", {})
            return {name: _shape(value, document, depth + 1) for name, value in inner.items()}
        case "array":
            return [_shape(schema.get("items", {}), document, depth + 1)]
        case "string" if "format" in schema:
            return str(schema["format"])
        case kind:
            return _NAMES.get(str(kind), "any")
