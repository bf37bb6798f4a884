"""Identities: as whom directories and providers know a user; one's own, and for administrators those of others."""

import hashlib
from collections.abc import Set
from functools import partial
from typing import Annotated

from fastapi import Path, Request
from pydantic import Field

from longshore.api.caller import Caller, Calling, in_person, in_system
from longshore.api.errors import BadRequest, Forbidden, NotFound
from longshore.api.harbor.logins import go_on
from longshore.api.owners import oneself, owner
from longshore.api.services import Services, Serving
from longshore.api.wire import Empty, Id, Moment, Router, Shape, created, moment
from longshore.identity import store
from longshore.identity.model import LinkedIdentity, User
from longshore.ldap.accounts import provider as ldap_key
from longshore.oidc.accounts import provider_key as oidc_key
from longshore.telemetry import clock

router = Router(tags=["identities"])

_DIGITS = 16
_LONGEST = 255
_IdentityId = Annotated[str, Path(pattern=rf"^[0-9a-f]{{{_DIGITS}}}$")]


class IdentityResp(Shape):
    """``provider`` (``ldap:NAME`` or ``oidc:NAME``) knows the user as ``subject``. ``usable``: it is configured, so
    that the user can log in with it."""

    id: str
    provider: str
    subject: str
    usable: bool
    creation_time: Moment

    @classmethod
    def of(cls, identity: LinkedIdentity, configured: Set[str]) -> "IdentityResp":
        return cls(
            id=_id(identity),
            provider=identity.provider,
            subject=identity.subject,
            usable=identity.provider in configured,
            creation_time=moment(identity.created_at),
        )


class IdentityReq(Shape):
    """``subject`` is what never changes at the provider: the claim ``sub``, or what `longshore ldap test` calls
    "stays the same"."""

    provider: Annotated[str, Field(max_length=_LONGEST)]
    subject: Annotated[str, Field(min_length=1, max_length=_LONGEST)]


@router.get("/users/current/identities", dependencies=[in_person()])
async def list_own_identities(caller: Calling, services: Serving) -> list[IdentityResp]:
    """List as whom directories and providers know one."""
    return await _listed(await oneself(caller, services), services)


@router.delete(
    "/users/current/identities/{identity_id}", response_class=Empty, dependencies=[in_person()]
)
async def unlink_own_identity(
    identity_id: _IdentityId, request: Request, caller: Calling, services: Serving
) -> Empty:
    """Unlink one of one's identities; another way to log in has to be left. All other sessions and all tokens of
    logins end."""
    gone = await _unlink(await oneself(caller, services), identity_id, caller, services)
    reply = Empty()
    if caller.session is not None and caller.session.provider != gone.provider:
        await go_on(request, services, caller, reply)
    return reply


@router.get("/users/{user_id}/identities", dependencies=[in_system("user", "read")])
async def list_identities_of_user(user_id: Id, services: Serving) -> list[IdentityResp]:
    """List as whom directories and providers know a user."""
    return await _listed(await owner(user_id, services), services)


@router.post(
    "/users/{user_id}/identities",
    status_code=201,
    response_class=Empty,
    dependencies=[in_system("user", "update")],
)
async def link_identity_to_user(
    user_id: Id, body: IdentityReq, caller: Calling, services: Serving
) -> Empty:
    """Say as whom a directory or a provider knows a user: from now on that login is theirs."""
    _administers(caller, user_id)
    user = await owner(user_id, services)
    known = await _configured(services)
    if body.provider not in known:
        named = ", ".join(sorted(known)) or "none is configured"
        raise BadRequest(f"provider {body.provider[:100]!r} is none of this registry's: {named}")
    if not body.subject.isprintable():
        raise BadRequest("subject holds characters that are not printable")
    linked = LinkedIdentity(body.provider, body.subject, clock.timestamp())
    await services.changes.make(
        partial(
            store.link_identity,
            provider=linked.provider,
            subject=linked.subject,
            user=user.id,
            now=linked.created_at,
        ),
        "update",
        "user",
        user.name,
        description=f"is {linked.subject!r} of {linked.provider!r} from now on",
        origin=caller.origin,
    )
    return created(f"/api/longshore/v1/users/{user.id}/identities/{_id(linked)}")


@router.delete(
    "/users/{user_id}/identities/{identity_id}",
    response_class=Empty,
    dependencies=[in_system("user", "update")],
)
async def unlink_identity_of_user(
    user_id: Id, identity_id: _IdentityId, caller: Calling, services: Serving
) -> Empty:
    """Unlink one of a user's identities; another way to log in has to be left. Their sessions and tokens of
    logins end."""
    _administers(caller, user_id)
    await _unlink(await owner(user_id, services), identity_id, caller, services)
    return Empty()


async def _configured(services: Services) -> Set[str]:
    """The directories and providers that people can log in at now, as identities name them."""
    directories, providers = await services.ldap_servers(), await services.oidc_providers()
    return {
        *(ldap_key(one.name) for one in directories),
        *(oidc_key(one.account_name) for one in providers),
    }


def _administers(caller: Caller, user: int) -> None:
    """Whoever links an identity to somebody can become them, and would stay that when their token ends."""
    if not caller.is_admin:
        raise Forbidden("only administrators link and unlink the identities of others")
    if caller.standing.token and user == caller.user_id:
        raise Forbidden("an access token changes no identity of its own user: use a session")


async def _listed(user: User, services: Services) -> list[IdentityResp]:
    found = await services.database.read(partial(store.identities_of, user=user.id))
    known = await _configured(services)
    return [IdentityResp.of(identity, known) for identity in found]


async def _unlink(user: User, id: str, caller: Caller, services: Services) -> LinkedIdentity:
    found = await services.database.read(partial(store.identities_of, user=user.id))
    gone = next((identity for identity in found if _id(identity) == id), None)
    if gone is None:
        raise NotFound(f"user {user.name!r} has no identity with the id {id}")
    await services.changes.make(
        partial(store.unlink_identity, user=user.id, gone=gone, usable=await _configured(services)),
        "update",
        "user",
        user.name,
        description=f"is no longer {gone.subject!r} of {gone.provider!r}",
        origin=caller.origin,
    )
    return gone


def _id(identity: LinkedIdentity) -> str:
    """Fit for a path, as subjects may hold anything."""
    text = f"{identity.provider}\0{identity.subject}"
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
