"""Personal access tokens: one's own, and with the right to those of others."""

from functools import partial
from typing import Annotated, Final

from fastapi import Response
from pydantic import Field

from longshore.api.caller import Caller, Calling, in_person, in_system
from longshore.api.errors import BadRequest, NotFound
from longshore.api.owners import own_id, owner
from longshore.api.services import Services, Serving
from longshore.api.wire import Empty, Id, Moment, Router, Shape, moment
from longshore.db.database import Connection
from longshore.identity import access_tokens, credentials, store
from longshore.identity.access_tokens import AccessToken
from longshore.telemetry import clock

router = Router(tags=["access tokens"])

_DAY: Final = 86400.0
_MOST_DAYS: Final = 3650
_Name = Annotated[str, Field(max_length=255)]
_Networks = Annotated[list[Annotated[str, Field(max_length=60)]], Field(max_length=50)]


class TokenCreation(Shape):
    """A new token. ``scopes``: pull, push, delete, manage (whatever its user may); ``projects``: the only ones
    that it is good for, none: all; ``days`` that it lasts, 0: until it is removed."""

    name: _Name
    scopes: Annotated[list[str], Field(max_length=20)]
    projects: Annotated[list[_Name], Field(max_length=1000)] = Field(default_factory=list)
    days: Annotated[int, Field(ge=0, le=_MOST_DAYS)] = 0
    allowed_networks: _Networks = Field(default_factory=list)


class TokenRotation(Shape):
    """The token until now counts for ``overlap`` seconds more; the new one lasts ``days`` (0: for ever;
    not given: as long as the one until now)."""

    overlap: Annotated[int, Field(ge=0, le=int(credentials.LONGEST_OVERLAP))] = 0
    days: Annotated[int, Field(ge=0, le=_MOST_DAYS)] | None = None


class TokenMade(Shape):
    """The token, which is shown this once."""

    id: int
    name: str
    token: str


class TokenResp(Shape):
    """A token, without what it is."""

    id: int
    name: str
    scopes: list[str]
    projects: list[str]
    allowed_networks: list[str]
    creation_time: Moment
    expiration_time: Moment | None
    last_used_time: Moment | None
    last_used_from: str

    @classmethod
    def of(cls, token: AccessToken) -> "TokenResp":
        return cls(
            id=token.id,
            name=token.name,
            scopes=list(token.scopes),
            projects=list(token.projects),
            allowed_networks=list(token.networks),
            creation_time=moment(token.created_at),
            expiration_time=_when(token.expires_at),
            last_used_time=_when(token.last_used_at),
            last_used_from=token.last_used_from,
        )


@router.get("/tokens", dependencies=[in_person()])
async def list_own_tokens(caller: Calling, services: Serving) -> list[TokenResp]:
    """List one's access tokens."""
    return await _listed(own_id(caller), services)


@router.post("/tokens", status_code=201, dependencies=[in_person()])
async def create_own_token(
    body: TokenCreation, caller: Calling, services: Serving, response: Response
) -> TokenMade:
    """Make an access token for oneself."""
    user_id = own_id(caller)
    name = access_tokens.name_of(body.name)
    text, hashed = credentials.make(credentials.PERSONAL_PREFIX)
    now = clock.timestamp()
    work = partial(
        store.add_access_token,
        user_id=user_id,
        name=name,
        secret_hash=hashed,
        now=now,
        scopes=access_tokens.scopes_of(body.scopes),
        projects=access_tokens.projects_of(body.projects),
        expires_at=now + body.days * _DAY if body.days else None,
        networks=credentials.networks(body.allowed_networks),
    )
    described = f"{name!r} for {', '.join(body.scopes)}"
    id = await services.changes.make(
        work, "create", "access-token", caller.name, description=described, origin=caller.origin
    )
    response.headers["Location"] = f"/api/longshore/v1/tokens/{id}"
    return TokenMade(id=id, name=name, token=text)


@router.get("/tokens/{token_id}", dependencies=[in_person()])
async def get_own_token(token_id: Id, caller: Calling, services: Serving) -> TokenResp:
    """Get one of one's access tokens."""
    return TokenResp.of(await _token(caller.name, token_id, services))


@router.post("/tokens/{token_id}/rotate", dependencies=[in_person()])
async def rotate_own_token(
    token_id: Id, body: TokenRotation, caller: Calling, services: Serving
) -> TokenMade:
    """Replace an access token; its rights stay."""
    found = await _token(caller.name, token_id, services)
    text, hashed = credentials.make(credentials.PERSONAL_PREFIX)
    now = clock.timestamp()
    expires_at = _new_end(found, body.days, now)
    work = partial(
        store.rotate_access_token,
        id=found.id,
        secret_hash=hashed,
        now=now,
        former_until=credentials.former_until(found, body.overlap, now),
        expires_at=expires_at,
    )
    await services.changes.make(
        work,
        "update",
        "access-token",
        caller.name,
        description=f"{found.name!r} was replaced",
        origin=caller.origin,
    )
    return TokenMade(id=found.id, name=found.name, token=text)


@router.delete("/tokens/{token_id}", response_class=Empty, dependencies=[in_person()])
async def remove_own_token(token_id: Id, caller: Calling, services: Serving) -> Empty:
    """End one of one's access tokens, at once and everywhere."""
    await _remove(own_id(caller), caller.name, token_id, caller, services)
    return Empty()


@router.get("/users/{user_id}/tokens", dependencies=[in_system("user", "read")])
async def list_tokens_of_user(user_id: Id, services: Serving) -> list[TokenResp]:
    """List a user's access tokens."""
    await owner(user_id, services)
    return await _listed(user_id, services)


@router.delete(
    "/users/{user_id}/tokens/{token_id}",
    response_class=Empty,
    dependencies=[in_system("user", "update")],
)
async def remove_token_of_user(
    user_id: Id, token_id: Id, caller: Calling, services: Serving
) -> Empty:
    """End one of a user's access tokens."""
    await _remove(user_id, (await owner(user_id, services)).name, token_id, caller, services)
    return Empty()


def _when(posix: float | None) -> str | None:
    return None if posix is None else moment(posix)


async def _listed(user_id: int, services: Services) -> list[TokenResp]:
    found = await services.database.read(partial(store.list_access_tokens, user_id=user_id))
    return [TokenResp.of(token) for token in found]


async def _token(user: str, id: int, services: Services) -> AccessToken:
    found = await services.database.read(partial(store.find_access_token, user=user, id=id))
    if found is None:
        raise NotFound(f"there is no access token with the id {id} of this user")
    return found


async def _remove(user_id: int, user: str, id: int, caller: Caller, services: Services) -> None:
    def work(connection: Connection) -> None:
        store.remove_access_token(connection, user_id, id)

    found = await _token(user, id, services)
    await services.changes.make(
        work,
        "delete",
        "access-token",
        user,
        description=f"{found.name!r}",
        origin=caller.origin,
    )


def _new_end(token: AccessToken, days: int | None, now: float) -> float | None:
    if days is not None:
        return now + days * _DAY if days else None
    if token.expires_at is None:
        return None
    lasting = token.expires_at - token.updated_at
    if lasting <= 0:
        raise BadRequest(
            "days is missing: the access token has ended, and nobody knows for how long"
        )
    return now + lasting
