"""One's password once more, and a code: an open browser is not enough for what changes who may log in as one."""

from typing import TYPE_CHECKING

from longshore.access.header import Login
from longshore.api.errors import Forbidden
from longshore.oci.errors import Unauthorized

if TYPE_CHECKING:
    from longshore.http.request import Request
    from longshore.identity.controller import ProjectController
    from longshore.identity.model import User


async def prove_password(
    people: "ProjectController", request: "Request", user: "User", password: str
) -> None:
    """Raises Forbidden when that is not the user's password; guessing is as slow as at a login."""
    try:
        standing = await people.prove_password(request, Login(user.name, password.encode()))
    except Unauthorized as error:
        raise Forbidden(
            f"that is not the password of user {user.name!r}, or they have none here: who logs in at a "
            "provider has a second factor there"
        ) from error
    if standing.user_id != user.id:
        raise Forbidden("that is the password of another user")


async def prove_code(
    people: "ProjectController", request: "Request", user: "User", code: str
) -> None:
    """Raises Forbidden when that is neither what the user's device shows now nor a recovery code."""
    client = request.exchange.client
    try:
        await people.second_factors.spend(user.id, user.name, code, client)
    except Unauthorized as error:
        raise Forbidden(error.message) from error
