"""The token endpoint, when there is one."""

from typing import Any

from longshore.access.basic import HtpasswdController
from longshore.access.grant import read_grant
from longshore.access.issuer import PATH, TokenIssuer
from longshore.access.model import AccessController
from longshore.http.request import Request
from longshore.http.response import JSONResponse, Response
from longshore.http.routing import Route


def routes(controller: AccessController) -> list[Route]:
    """What ``controller`` needs clients to reach; put these before the registry's own."""
    if not isinstance(controller, HtpasswdController) or controller.issuer is None:
        return []
    issuer: TokenIssuer = controller.issuer

    async def token(request: Request) -> Response:
        return _reply(await controller.token(issuer, request))

    async def grant(request: Request) -> Response:
        return _reply(await controller.grant(issuer, request, await read_grant(request)))

    handlers = {"GET": token, "POST": grant}
    # A read-only registry gives out tokens: they are how to pull.
    return [Route("token", PATH, handlers, "Docker token authentication", writes=frozenset())]


def _reply(content: dict[str, Any]) -> Response:
    return JSONResponse(content, headers={"Cache-Control": "no-store"})
