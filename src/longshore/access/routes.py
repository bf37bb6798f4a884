"""The token endpoint, when there is one."""

from longshore.access.basic import HtpasswdController
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
        reply = await controller.token(issuer, request)
        return JSONResponse(reply, headers={"Cache-Control": "no-store"})

    # GET only: for POST (OAuth 2) clients fall back to GET when they are told 405.
    return [Route("token", PATH, {"GET": token}, "Docker token authentication")]
