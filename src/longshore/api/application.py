"""The management API as one application: every group of routes, errors in one form, its description."""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from longshore.api import description
from longshore.api.caller import RULE_KEY, registry_request, rule_of
from longshore.api.characters import WithoutNul
from longshore.api.csrf import ForeignRequests
from longshore.api.description import Description
from longshore.api.errors import (
    TRANSLATED,
    BadRequest,
    MethodNotAllowed,
    NotFound,
    Unprocessable,
    refusal_of,
)
from longshore.api.harbor import (
    artifacts,
    auditlog,
    configurations,
    gc,
    labels,
    ldap,
    logins,
    members,
    oidc,
    permissions,
    projects,
    purgeaudit,
    quotas,
    repositories,
    robots,
    search,
    systeminfo,
    tags,
    usergroups,
    users,
)
from longshore.api.own import audit as audit_export
from longshore.api.own import (
    identities,
    refresh_tokens,
    repository_rules,
    roles,
    second_factor,
    sessions,
    teams,
    tokens,
)
from longshore.api.own import ldap as ldap_tests
from longshore.api.refused import RefusedChanges
from longshore.api.services import Services
from longshore.api.wire import Router, operation_id
from longshore.http.errors import error_response
from longshore.oci.errors import RegistryError, Unknown

if TYPE_CHECKING:
    from fastapi import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

logger = logging.getLogger(__name__)

HARBOR: Final = "/api/v2.0"
OWN: Final = "/api/longshore/v1"
#: Where each group of routes lies: below Harbor's address, below our own, or at whole paths.
ROUTERS: Final[Mapping[str, Sequence[Router]]] = {
    HARBOR: (
        description.router,
        users.router,
        usergroups.router,
        quotas.router,
        auditlog.router,
        projects.router,
        members.router,
        # The more a path says, the earlier: names of repositories have slashes.
        tags.router,
        artifacts.router,
        repositories.router,
        labels.router,
        search.router,
        ldap.router,
        oidc.router,
        permissions.router,
        robots.router,
        gc.router,
        purgeaudit.router,
        configurations.router,
        systeminfo.router,
    ),
    OWN: (
        identities.router,
        audit_export.router,
        ldap_tests.router,
        refresh_tokens.router,
        roles.router,
        repository_rules.router,
        second_factor.router,
        sessions.router,
        teams.router,
        tokens.router,
    ),
    "": (logins.router, systeminfo.version_router),
}

_REQUEST_ID: Final = re.compile(r"[!-~]{1,128}")

Explain = Callable[[Exception], RegistryError | None]


def create(services: Services, explain: Explain) -> "ASGIApp":
    """The application. ``explain`` says how an error of a lower layer is told to a client."""
    application = FastAPI(
        title="Longshore",
        version="2.0",
        description="Harbor's API v2.0 and, below /api/longshore/v1, what it has no words for.",
        openapi_url=f"{HARBOR}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        strict_content_type=False,
        generate_unique_id_function=operation_id,
    )
    application.state.services = services
    for prefix, routers in ROUTERS.items():
        for router in routers:
            for route in router.routes:
                if isinstance(route, APIRoute):
                    route.openapi_extra = {RULE_KEY: rule_of(route).needs}
            application.include_router(router, prefix=prefix)
    application.state.description = Description(application)
    handlers = _handlers(explain)
    for kind, handler in handlers.items():
        application.add_exception_handler(kind, handler)
    return _Identified(RefusedChanges(ForeignRequests(WithoutNul(application)), services))


class _Identified:
    """Every reply has the request's id; paths are the same with and without a slash at the end."""

    def __init__(self, application: "ASGIApp") -> None:
        self.application = application

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        path = scope["path"]
        if path.endswith("/") and len(path) > 1:
            scope["path"] = path.rstrip("/")
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        ours = scope["longshore.request"].exchange.request_id
        chosen = (given if _REQUEST_ID.fullmatch(given) else ours).encode()

        answered = False

        async def identified(message: Any) -> None:
            nonlocal answered
            answered = True
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", chosen)]
            await send(message)

        try:
            await self.application(scope, receive, identified)
        except Exception:
            # What failed was logged and answered; the framework raises it once more.
            if not answered:
                raise


_Handler = Callable[["Request", Any], Awaitable[Response]]


def _handlers(explain: Explain) -> dict[type[Exception], _Handler]:
    async def refused(request: "Request", error: RegistryError) -> Response:
        return _reply(request, error)

    async def translated(request: "Request", error: Exception) -> Response:
        return _reply(request, refusal_of(error))

    async def unroutable(request: "Request", error: HTTPException) -> Response:
        method, path = request.method[:20], request.url.path[:200]
        refusal: RegistryError
        match error.status_code:
            case 404:
                refusal = NotFound(f"{path!r} is no endpoint of the API")
            case 405:
                refusal = MethodNotAllowed(
                    f"{method} is not supported on {path!r}", headers=dict(error.headers or {})
                )
            case _:
                refusal = BadRequest(str(error.detail)[:200])
        return _reply(request, refusal)

    async def invalid(request: "Request", error: RequestValidationError) -> Response:
        found = error.errors()
        text = "; ".join(_problem(problem) for problem in found[:5])
        broken = any(problem["type"] == "json_invalid" for problem in found)
        return _reply(request, (BadRequest if broken else Unprocessable)(text))

    async def failed(request: "Request", error: Exception) -> Response:
        known = explain(error)
        if known is None:
            exchange = registry_request(request).exchange
            logger.error("request %s failed", exchange.request_id, exc_info=error)
            known = Unknown(
                "internal server error; the log has the details under request id "
                f"{exchange.request_id}"
            )
        return _reply(request, known)

    kinds: dict[type[Exception], _Handler] = dict.fromkeys(TRANSLATED, translated)
    return {
        **kinds,
        RegistryError: refused,
        HTTPException: unroutable,
        RequestValidationError: invalid,
        Exception: failed,
    }


def _reply(request: "Request", error: RegistryError) -> Response:
    exchange = registry_request(request).exchange
    exchange.reason, exchange.message = error.code, error.message
    made = error_response(error)
    reply = Response(made.body, made.status, media_type="application/json; charset=utf-8")
    for name, value in error.headers.items():
        reply.headers[name] = value
    return reply


def _problem(problem: Any) -> str:
    """Where a request does not fit, and why: without the value, which may be a secret."""
    if problem["type"] == "json_invalid":
        *_, position = problem["loc"]
        return f"the body is no JSON: {problem['ctx']['error']} (at character {position})"
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}"
