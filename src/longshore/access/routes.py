"""The token endpoint and the keys of its tokens, when there are any."""

from typing import Any, Final, Protocol, runtime_checkable

from longshore.access.grant import Asking, Grant, read_grant, read_query
from longshore.access.issuer import HARBOR_PATH, PATH, TokenIssuer
from longshore.access.model import AccessController
from longshore.http.request import Request
from longshore.http.response import JSONResponse, Response
from longshore.http.routing import Route

#: Where verifiers look for keys, and the same where a proxy passes nothing but the registry's API.
WELL_KNOWN: Final = "/.well-known/jwks.json"
KEYS_PATH: Final = f"{PATH}/keys"
_TOKENS: Final = "Docker token authentication"
#: A new key is published for longer than this before it signs: longshore.identity.signing.
_KEPT: Final = "public, max-age=300"


@runtime_checkable
class GivesTokens(Protocol):
    """A controller whose challenge names the token endpoint, if it has an ``issuer``."""

    issuer: TokenIssuer | None

    async def token(self, issuer: TokenIssuer, request: Request, asking: Asking) -> dict[str, Any]:
        """The reply to GET: a token for as much of the asked scopes as the client may have."""

    async def grant(self, issuer: TokenIssuer, request: Request, asked: Grant) -> dict[str, Any]:
        """The same for POST, whose body is ``asked``."""


def routes(controller: AccessController) -> list[Route]:
    """What ``controller`` needs clients to reach; put these before the registry's own."""
    if not isinstance(controller, GivesTokens) or controller.issuer is None:
        return []
    issuer: TokenIssuer = controller.issuer

    async def token(request: Request) -> Response:
        return _reply(await controller.token(issuer, request, read_query(request)))

    async def grant(request: Request) -> Response:
        return _reply(await controller.grant(issuer, request, await read_grant(request)))

    async def keys(_: Request) -> Response:
        content = {"keys": await issuer.published()}
        return JSONResponse(content, headers={"Cache-Control": _KEPT})

    tokens, key_set = {"GET": token, "POST": grant}, {"GET": keys}
    # A read-only registry gives out tokens: they are how to pull.
    found = [Route("token", PATH, tokens, _TOKENS, writes=frozenset())]
    if issuer.publishes:
        found += [
            Route("harbor-token", HARBOR_PATH, tokens, _TOKENS, writes=frozenset()),
            Route(
                "token-keys", KEYS_PATH, key_set, "JSON Web Key Set (RFC 7517)", writes=frozenset()
            ),
            Route("jwks", WELL_KNOWN, key_set, "The same, at its usual place", writes=frozenset()),
        ]
    return found


def _reply(content: dict[str, Any]) -> Response:
    return JSONResponse(content, headers={"Cache-Control": "no-store"})
