"""Changes that somebody who logged in was refused are in the audit log, wherever in the API that happened."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from longshore.api import cookies
from longshore.http.mounted import SCOPE_KEY
from longshore.http.request import Request
from longshore.identity import store
from longshore.oci.errors import RegistryError
from longshore.outbox.model import Origin

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from longshore.api.services import Services

logger = logging.getLogger(__name__)

#: Not allowed, in conflict with what there is, still needed by something. What makes no sense (400, 404, 422) is
#: a mistake and no attempt, and who did not log in (401) is nobody: that would let everybody fill the log.
_REFUSED: Final = frozenset({403, 409, 412})
_OPERATIONS: Final = {"POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}
#: The part of a route's path that says what it is about, the last one that is here, and the word for that.
RESOURCE_TYPES: Final = {
    "artifacts": "artifact",
    "configurations": "configuration",
    "gc": "garbage-collection",
    "labels": "label",
    "ldap": "configuration",
    "members": "member",
    "oidc": "configuration",
    "projects": "project",
    "purgeaudit": "purge-audit",
    "quotas": "quota",
    "refresh-tokens": "token",
    "repositories": "repository",
    "robots": "robot",
    "roles": "role",
    "sessions": "session",
    "tags": "tag",
    "teams": "group",
    "tokens": "access-token",
    "usergroups": "group",
    "users": "user",
}


class RefusedChanges:
    """Goes before the application, and before what refuses requests of other sites."""

    def __init__(self, application: "ASGIApp", services: "Services") -> None:
        self.application = application
        self.services = services

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        request: Request = scope[SCOPE_KEY]

        async def told(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] in _REFUSED:
                await self._tell(request, scope)
            await send(message)

        watched = request.method in _OPERATIONS
        await self.application(scope, receive, told if watched else send)

    async def _tell(self, request: Request, scope: "Scope") -> None:
        try:
            await self._told(request, scope)
        except RegistryError as error:
            # The change was refused all the same.
            logger.warning("a refused change is not in the audit log: %s", error)

    async def _told(self, request: Request, scope: "Scope") -> None:
        exchange = request.exchange
        actor = exchange.user or await self._in_session(request)
        if not actor:
            return
        path: str = scope["path"]
        route = getattr(scope.get("route"), "path", path)
        await self.services.changes.failed(
            _OPERATIONS[request.method],
            resource_type(route),
            path,
            project=await self._project(scope.get("path_params", {}).get("project", "")),
            description=exchange.message,
            origin=Origin(
                actor,
                exchange.client,
                request.scope["scheme"],
                exchange.host,
                exchange.method,
                exchange.user_agent,
                exchange.request_id,
            ),
        )

    async def _in_session(self, request: Request) -> str:
        """Whose session a request belongs to that was refused before anybody looked."""
        text = request.cookies.get(cookies.SESSION, "")
        found = await self.services.sessions.find(text) if text else None
        return "" if found is None else found.user

    async def _project(self, given: str) -> str:
        """The name of the project that a path names; what does not exist has none."""
        key: Mapping[str, Any] = {"name": given}
        if given.isascii() and given.isdigit():
            key = {"id": min(int(given[:19]), 2**63 - 1)}
        find = partial(store.find_project, **key)
        found = await self.services.database.read(find) if given else None
        return "" if found is None else found.name


def resource_type(path: str) -> str:
    """What a route is about, as successful changes there say it; its own last word where there is none."""
    words = [part for part in path.split("/") if part and not part.startswith("{")]
    for word in reversed(words):
        if word in RESOURCE_TYPES:
            return RESOURCE_TYPES[word]
    return words[-1] if words else ""
