"""Whose that is which a route is about: the caller's own, or a user's whom administrators name."""

from functools import partial

from longshore.access import refusals
from longshore.api.caller import Caller
from longshore.api.errors import Forbidden, NotFound
from longshore.api.services import Services
from longshore.identity import store
from longshore.identity.model import User


def own_id(caller: Caller) -> int:
    """The id of the user who asks. Raises Forbidden for who is none, and for access tokens that may do less."""
    if caller.user_id is None:
        raise Forbidden(
            f"{refusals.shown(caller.name)} is a robot or an access token, and this is a user's own"
        )
    return caller.user_id


async def oneself(caller: Caller, services: Services) -> User:
    """The user who asks. Raises Forbidden as :func:`own_id`."""
    return await owner(own_id(caller), services)


async def owner(user_id: int, services: Services) -> User:
    """The user with that id. Raises NotFound."""
    found = await services.database.read(partial(store.find_user, id=user_id))
    if found is None:
        raise NotFound(f"there is no user with the id {user_id}")
    return found
