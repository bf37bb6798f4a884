"""Second factors: enrolling one's own, new recovery codes, removing it; for administrators those of others."""

from typing import Annotated

from fastapi import Request, Response
from pydantic import Field

from longshore.access import refusals
from longshore.api.caller import (
    Caller,
    Calling,
    Enrolling,
    enrolling,
    in_person,
    in_system,
    registry_request,
)
from longshore.api.errors import Conflict, Forbidden, NotFound
from longshore.api.harbor.logins import go_on
from longshore.api.owners import oneself, owner
from longshore.api.proving import prove_code, prove_password
from longshore.api.services import Services, Serving
from longshore.api.wire import Empty, Id, Moment, Router, Shape, moment
from longshore.identity.model import User

router = Router(tags=["second-factor"])

_OWN = "/users/current/second-factor"
_SECRET = {"writeOnly": True}


class SecondFactorResp(Shape):
    """Whether a user has a second factor, and how many recovery codes are left; never what codes are made
    of. ``required``: without one the user can do nothing but enrol one."""

    enrolled: bool
    required: bool
    confirmation_time: Moment = ""
    recovery_codes_left: int


class PasswordProof(Shape):
    """One's password once more: an open browser is not enough."""

    password: Annotated[str, Field(max_length=1024, json_schema_extra=_SECRET)]


class CodeProof(Shape):
    """What the device shows."""

    code: Annotated[str, Field(max_length=64, json_schema_extra=_SECRET)]


class BothProofs(PasswordProof, CodeProof):
    """One's password once more, and what the device shows or a recovery code."""


class EnrolmentResp(Shape):
    """What the device is told, shown this once: ``secret`` to type in (Base32), ``uri`` for a QR code."""

    secret: str
    uri: str


class RecoveryCodesResp(Shape):
    """Each stands for one code, once; shown this once."""

    recovery_codes: list[str]


@router.get(_OWN, dependencies=[enrolling()])
async def get_own_second_factor(caller: Enrolling, services: Serving) -> SecondFactorResp:
    """Say whether one has a second factor."""
    return await _shown(await oneself(caller, services), caller.is_admin, services)


@router.post(_OWN, status_code=201, dependencies=[enrolling()])
async def begin_own_second_factor(
    body: PasswordProof, request: Request, caller: Enrolling, services: Serving, response: Response
) -> EnrolmentResp:
    """Begin to enrol a device. Its secret counts when a code has confirmed that it arrived."""
    user = await oneself(caller, services)
    if user.second_factor:
        raise Conflict("there is a second factor already: remove it to enrol another device")
    await prove_password(services.people, registry_request(request), user, body.password)
    issuer = refusals.host(registry_request(request))
    made = await services.people.second_factors.begin(user.id, user.name, issuer, caller.origin)
    response.headers["Cache-Control"] = "no-store"
    return EnrolmentResp(secret=made.secret, uri=made.uri)


@router.post(f"{_OWN}/confirmation", dependencies=[enrolling()])
async def confirm_own_second_factor(
    body: CodeProof, request: Request, caller: Enrolling, services: Serving, response: Response
) -> RecoveryCodesResp:
    """Confirm with a code that the device has the secret. From now on a password alone opens nothing; all other
    sessions and all tokens of logins end."""
    user = await oneself(caller, services)
    factors = services.people.second_factors
    codes = await factors.confirm(user.id, user.name, body.code, caller.origin)
    await go_on(request, services, caller, response)
    response.headers["Cache-Control"] = "no-store"
    return RecoveryCodesResp(recovery_codes=list(codes))


@router.post(f"{_OWN}/recovery-codes", dependencies=[in_person()])
async def renew_own_recovery_codes(
    body: BothProofs, request: Request, caller: Calling, services: Serving, response: Response
) -> RecoveryCodesResp:
    """Make new recovery codes; those of before count no longer."""
    user = await _proved(body, request, caller, services)
    codes = await services.people.second_factors.renew_recovery_codes(
        user.id, user.name, caller.origin
    )
    response.headers["Cache-Control"] = "no-store"
    return RecoveryCodesResp(recovery_codes=list(codes))


@router.post(f"{_OWN}/removal", response_class=Empty, dependencies=[in_person()])
async def remove_own_second_factor(
    body: BothProofs, request: Request, caller: Calling, services: Serving
) -> Empty:
    """Remove one's second factor. All other sessions and all tokens of logins end."""
    user = await _proved(body, request, caller, services)
    await services.people.second_factors.remove(user.id, user.name, caller.origin)
    reply = Empty()
    await go_on(request, services, caller, reply)
    return reply


@router.get("/users/{user_id}/second-factor", dependencies=[in_system("user", "read")])
async def get_second_factor_of_user(user_id: Id, services: Serving) -> SecondFactorResp:
    """Say whether a user has a second factor."""
    user = await owner(user_id, services)
    return await _shown(user, user.is_admin, services)


@router.delete(
    "/users/{user_id}/second-factor",
    response_class=Empty,
    dependencies=[in_system("user", "update")],
)
async def reset_second_factor_of_user(user_id: Id, caller: Calling, services: Serving) -> Empty:
    """Remove the second factor of a user who has lost the device. Their sessions and tokens of logins end."""
    if not caller.is_admin:
        raise Forbidden("only administrators reset the second factors of others")
    user = await owner(user_id, services)
    if user.id == caller.user_id:
        raise Forbidden(
            "one's own second factor goes with the password and a code: POST "
            f"/api/longshore/v1{_OWN}/removal; without them: longshore user second-factor --reset"
        )
    await services.people.second_factors.remove(user.id, user.name, caller.origin)
    return Empty()


async def _shown(user: User, is_admin: bool, services: Services) -> SecondFactorResp:
    found, left = await services.people.second_factors.find(user.id)
    confirmed = found.confirmed_at if found is not None else None
    return SecondFactorResp(
        enrolled=confirmed is not None,
        required=services.people.demands_second_factor(is_admin),
        confirmation_time=moment(confirmed) if confirmed else "",
        recovery_codes_left=left,
    )


async def _proved(body: BothProofs, request: Request, caller: Caller, services: Services) -> User:
    user = await oneself(caller, services)
    if not user.second_factor:
        raise NotFound(f"user {user.name!r} has no second factor")
    ours = registry_request(request)
    await prove_password(services.people, ours, user, body.password)
    await prove_code(services.people, ours, user, body.code)
    return user
