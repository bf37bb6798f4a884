"""Refresh tokens: where `docker login` keeps one, and revoking it; one's own, and with the right to those of
others."""

from functools import partial

from longshore.api.caller import Caller, Calling, in_person, in_system
from longshore.api.errors import NotFound
from longshore.api.owners import own_id, owner
from longshore.api.services import Services, Serving
from longshore.api.wire import Empty, Id, Moment, Router, Shape, moment
from longshore.db.database import Connection
from longshore.identity import store
from longshore.identity.model import RefreshToken

router = Router(tags=["refresh-tokens"])


class RefreshTokenResp(Shape):
    """What a client keeps instead of a password; never the token itself. ``address``, ``service`` and
    ``client_id`` are those of the login that it was given to."""

    id: int
    address: str
    service: str
    client_id: str
    creation_time: Moment
    last_used_time: Moment
    expiration_time: Moment

    @classmethod
    def of(cls, token: RefreshToken) -> "RefreshTokenResp":
        return cls(
            id=token.id,
            address=token.address,
            service=token.service,
            client_id=token.client_id,
            creation_time=moment(token.created_at),
            last_used_time=moment(token.last_used_at),
            expiration_time=moment(token.expires_at),
        )


@router.get("/refresh-tokens", dependencies=[in_person()])
async def list_own_refresh_tokens(caller: Calling, services: Serving) -> list[RefreshTokenResp]:
    """List one's refresh tokens, the last used first."""
    return await _listed(own_id(caller), services)


@router.delete("/refresh-tokens", response_class=Empty, dependencies=[in_person()])
async def revoke_own_refresh_tokens(caller: Calling, services: Serving) -> Empty:
    """Revoke all of one's refresh tokens: every docker login of one's own ends."""
    await _revoke_all(own_id(caller), caller.name, caller, services)
    return Empty()


@router.delete("/refresh-tokens/{token_id}", response_class=Empty, dependencies=[in_person()])
async def revoke_own_refresh_token(token_id: Id, caller: Calling, services: Serving) -> Empty:
    """Revoke one of one's refresh tokens."""
    await _revoke(own_id(caller), caller.name, token_id, caller, services)
    return Empty()


@router.get("/users/{user_id}/refresh-tokens", dependencies=[in_system("user", "read")])
async def list_refresh_tokens_of_user(user_id: Id, services: Serving) -> list[RefreshTokenResp]:
    """List a user's refresh tokens."""
    await owner(user_id, services)
    return await _listed(user_id, services)


@router.delete(
    "/users/{user_id}/refresh-tokens",
    response_class=Empty,
    dependencies=[in_system("user", "update")],
)
async def revoke_refresh_tokens_of_user(user_id: Id, caller: Calling, services: Serving) -> Empty:
    """Revoke all of a user's refresh tokens."""
    await _revoke_all(user_id, (await owner(user_id, services)).name, caller, services)
    return Empty()


@router.delete(
    "/users/{user_id}/refresh-tokens/{token_id}",
    response_class=Empty,
    dependencies=[in_system("user", "update")],
)
async def revoke_refresh_token_of_user(
    user_id: Id, token_id: Id, caller: Calling, services: Serving
) -> Empty:
    """Revoke one of a user's refresh tokens."""
    await _revoke(user_id, (await owner(user_id, services)).name, token_id, caller, services)
    return Empty()


async def _listed(user_id: int, services: Services) -> list[RefreshTokenResp]:
    work = partial(store.list_refresh_tokens, user_id=user_id)
    return [RefreshTokenResp.of(token) for token in await services.database.read(work)]


async def _revoke(user_id: int, name: str, id: int, caller: Caller, services: Services) -> None:
    def revoke(connection: Connection) -> None:
        if not store.remove_refresh_token(connection, user_id, id):
            raise NotFound(f"user {name!r} has no refresh token with the id {id}")

    await services.changes.make(
        revoke, "logout", "user", name, description="a refresh token ended", origin=caller.origin
    )


async def _revoke_all(user_id: int, name: str, caller: Caller, services: Services) -> None:
    await services.changes.make(
        partial(store.remove_refresh_tokens, user_id=user_id),
        "logout",
        "user",
        name,
        description="all refresh tokens ended",
        origin=caller.origin,
    )
