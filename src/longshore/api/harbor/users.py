"""Users."""

from functools import partial
from typing import Annotated, Final

import anyio.to_thread
from fastapi import Query, Request
from pydantic import Field

from longshore.access import passwords
from longshore.access.header import Login
from longshore.api.caller import (
    Caller,
    Calling,
    in_system,
    lacking,
    registering,
    registry_request,
    somebody,
)
from longshore.api.errors import BadRequest, Forbidden, Precondition
from longshore.api.owners import owner
from longshore.api.query import Paged
from longshore.api.services import Services, Serving
from longshore.api.wire import Empty, Id, Moment, Router, Shape, created, moment
from longshore.db.database import Connection
from longshore.identity import credentials, store, validation
from longshore.identity.model import User
from longshore.identity.permissions import Permission
from longshore.oci.errors import Unauthorized
from longshore.telemetry import clock

router = Router(tags=["user"])

#: The user who was made at the first start.
FIRST_USER: Final = 1
_LONGEST_COMMENT: Final = 30


class UserResp(Shape):
    """A user, for administrators and for themselves."""

    user_id: int = 0
    username: str = ""
    email: str = ""
    realname: str = ""
    comment: str = ""
    sysadmin_flag: bool
    admin_role_in_auth: bool
    creation_time: Moment
    update_time: Moment

    @classmethod
    def of(cls, user: User) -> "UserResp":
        return cls(
            user_id=user.id,
            username=user.name,
            email=user.email,
            realname=user.real_name,
            comment=user.comment,
            sysadmin_flag=user.is_admin,
            admin_role_in_auth=False,
            creation_time=moment(user.created_at),
            update_time=moment(user.updated_at),
        )


class UserSearchRespItem(Shape):
    """A user, for everybody who logged in."""

    user_id: int = 0
    username: str = ""


class UserCreationReq(Shape):
    """A new user."""

    username: str
    password: str = Field(json_schema_extra={"format": "password"})
    email: Annotated[str, Field(max_length=255)]
    realname: Annotated[str, Field(max_length=255)]
    comment: str = ""


class UserProfile(Shape):
    """What users change of themselves."""

    email: Annotated[str, Field(max_length=255)] = ""
    realname: Annotated[str, Field(max_length=255)] = ""
    comment: str = ""


class PasswordReq(Shape):
    """A new password, and the one until now when it is one's own."""

    old_password: str = Field(default="", max_length=1024, json_schema_extra={"writeOnly": True})
    new_password: str = Field(default="", max_length=1024, json_schema_extra={"writeOnly": True})


class OIDCCliSecretReq(Shape):
    """What somebody without a password here logs in with from a command line."""

    secret: str = Field(default="", max_length=1024, json_schema_extra={"writeOnly": True})


class UserSysAdminFlag(Shape):
    """Whether somebody may do everything."""

    sysadmin_flag: bool = False


@router.get("/users", dependencies=[in_system("user", "list")])
async def list_users(
    page: Paged, services: Serving, username: str = "", email: str = ""
) -> list[UserResp]:
    """List users."""
    listing = page.where(username=username and f"~{username}", email=email and f"~{email}")
    found, total = await services.database.read(partial(store.page_of_users, listing=listing))
    page.counted(total)
    return [UserResp.of(user) for user in found]


@router.post("/users", status_code=201, response_class=Empty, dependencies=[registering()])
async def create_user(body: UserCreationReq, caller: Calling, services: Serving) -> Empty:
    """Make a user who logs in with a password of this registry; oneself where that is allowed."""
    if caller.is_anonymous:
        await services.registrations.admit(caller.origin.address)
    name = validation.user_name(body.username)
    email, real_name = _profile(body.email, body.realname, body.comment)
    password = validation.password(body.password)
    if caller.is_anonymous:
        hashed = await services.registrations.hash(password)
    else:
        hashed = await anyio.to_thread.run_sync(passwords.hash_argon2, password)
    user = await services.changes.make(
        partial(
            store.add_user,
            name=name,
            password_hash=hashed,
            now=clock.timestamp(),
            email=email,
            real_name=real_name,
            comment=body.comment,
        ),
        "create",
        "user",
        name,
        description="by themselves" if caller.is_anonymous else "",
        origin=caller.origin,
    )
    return created(f"/api/v2.0/users/{user}")


@router.get("/users/current", dependencies=[somebody()])
async def get_current_user_info(caller: Calling, services: Serving) -> UserResp:
    """Get the user who asks."""
    found = None
    if caller.user_id is not None:
        found = await services.database.read(partial(store.find_user, id=caller.user_id))
    if found is None:
        raise Precondition(f"{caller.name!r} is no user: robots have no profile")
    return UserResp.of(found)


@router.get("/users/current/permissions", dependencies=[somebody()])
async def get_current_user_permissions(
    caller: Calling,
    services: Serving,
    scope: Annotated[str, Query(description="/project/ID; empty: beside projects.")] = "",
    relative: Annotated[bool, Query(description="Resources without the scope.")] = False,
) -> list[dict[str, str]]:
    """List what the user who asks may do."""
    granted = caller.permissions
    if scope:
        number = scope.removeprefix("/project/")
        project = None
        if number.isascii() and number.isdigit():
            asked = min(int(number[:19]), 2**63 - 1)
            project = await services.database.read(partial(store.find_project, id=asked))
        if project is None:
            return []
        granted = (await caller.before(project.name)).permissions
    return [
        {
            "resource": permission.resource
            if relative or not scope
            else f"{scope}/{permission.resource}",
            "action": permission.action,
        }
        for permission in sorted(granted)
    ]


@router.get("/users/search", dependencies=[somebody()])
async def search_users(
    page: Paged, services: Serving, username: Annotated[str, Query(max_length=255)]
) -> list[UserSearchRespItem]:
    """Find users whose name begins or goes on like this; for choosing a member."""
    listing = page.where(username=f"~{username}")
    found, total = await services.database.read(partial(store.page_of_users, listing=listing))
    page.counted(total)
    return [UserSearchRespItem(user_id=user.id, username=user.name) for user in found]


@router.get("/users/{user_id}", dependencies=[somebody()])
async def get_user(user_id: Id, caller: Calling, services: Serving) -> UserResp:
    """Get a user; oneself, or with the right to."""
    return UserResp.of(await _reachable(user_id, caller, services, "read"))


@router.put("/users/{user_id}", response_class=Empty, dependencies=[somebody()])
async def update_user_profile(
    user_id: Id, body: UserProfile, caller: Calling, services: Serving
) -> Empty:
    """Change names and address; one's own, or with the right to."""
    found = await _reachable(user_id, caller, services, "update")
    email, real_name = _profile(body.email, body.realname, body.comment)
    work = partial(
        store.update_user, id=found.id, email=email, real_name=real_name, comment=body.comment
    )
    await services.changes.make(work, "update", "user", found.name, origin=caller.origin)
    return Empty()


@router.delete("/users/{user_id}", response_class=Empty, dependencies=[in_system("user", "delete")])
async def delete_user(user_id: Id, caller: Calling, services: Serving) -> Empty:
    """Remove a user with their roles; projects and images stay."""
    found = await _reachable(user_id, caller, services, "delete")
    if found.id in (caller.user_id, FIRST_USER):
        raise Forbidden(f"user {found.name!r} cannot be removed: oneself and the first user stay")
    work = partial(store.remove_user, name=found.name)
    await services.changes.make(work, "delete", "user", found.name, origin=caller.origin)
    return Empty()


@router.put(
    "/users/{user_id}/sysadmin", response_class=Empty, dependencies=[in_system("user", "update")]
)
async def set_user_sys_admin(
    user_id: Id, body: UserSysAdminFlag, caller: Calling, services: Serving
) -> Empty:
    """Let a user do everything, or no longer."""
    if not caller.is_admin:
        raise Forbidden("only administrators make administrators")
    found = await _reachable(user_id, caller, services, "update")
    work = partial(store.update_user, id=found.id, is_admin=body.sysadmin_flag)
    description = "made an administrator" if body.sysadmin_flag else "no longer an administrator"
    await services.changes.make(
        work, "update", "user", found.name, description=description, origin=caller.origin
    )
    return Empty()


@router.put("/users/{user_id}/password", response_class=Empty, dependencies=[somebody()])
async def update_user_password(
    user_id: Id, body: PasswordReq, request: Request, caller: Calling, services: Serving
) -> Empty:
    """Change a password: one's own, with the one until now, or as an administrator. All sessions of the user
    and all tokens that the registry gave them end."""
    found = await _secretly_reachable(user_id, caller, services)
    if not found.local:
        raise Forbidden(
            f"user {found.name!r} has no password here: a directory or a provider has it"
        )
    new = validation.password(body.new_password)
    hashed, _ = await services.database.read(partial(store.find_password, user=found.name))
    if found.id == caller.user_id:
        # Guessing is as slow as at a login: whoever found an open browser must not be quicker.
        login = Login(found.name, body.old_password.encode())
        try:
            await services.people.prove_password(registry_request(request), login)
        except Unauthorized as error:
            raise Forbidden("old_password is not the password until now") from error
    if await anyio.to_thread.run_sync(passwords.verify, hashed or "", new):
        raise BadRequest("the new password is the one until now: choose another")
    made = await anyio.to_thread.run_sync(passwords.hash_argon2, new)

    def change(connection: Connection) -> None:
        store.update_user(connection, found.id, password_hash=made)
        store.remove_refresh_tokens(connection, found.id)

    await services.changes.make(
        change, "update", "user", found.name, description="a new password", origin=caller.origin
    )
    return Empty()


@router.put("/users/{user_id}/cli_secret", response_class=Empty, dependencies=[somebody()])
async def set_cli_secret(
    user_id: Id, body: OIDCCliSecretReq, caller: Calling, services: Serving
) -> Empty:
    """Set what a user of a directory or a provider logs in with from a command line; one's own, or as an
    administrator. It is never shown."""
    found = await _secretly_reachable(user_id, caller, services)
    if caller.standing.token:
        raise Forbidden("an access token sets no secrets: log in in person")
    if found.local:
        raise Precondition(
            f"user {found.name!r} has a password here: that, or an access token, is for command lines"
        )
    hashed = await anyio.to_thread.run_sync(credentials.hash_chosen, body.secret)
    work = partial(
        store.set_cli_secret, user_id=found.id, secret_hash=hashed, now=clock.timestamp()
    )
    await services.changes.make(
        work, "update", "user", found.name, description="a new CLI secret", origin=caller.origin
    )
    return Empty()


async def _reachable(user_id: int, caller: Caller, services: Services, action: str) -> User:
    """The user, if it is the caller or the caller may do that; who administers is changed by those only who do.
    Raises Forbidden, NotFound."""
    if user_id != caller.user_id and Permission("user", action) not in caller.permissions:
        raise lacking(caller, Permission("user", action))
    found = await owner(user_id, services)
    if found.is_admin and action != "read" and not caller.is_admin and found.id != caller.user_id:
        raise Forbidden(
            f"user {found.name!r} is an administrator, and only administrators change those"
        )
    return found


async def _secretly_reachable(user_id: int, caller: Caller, services: Services) -> User:
    """The same for what somebody logs in with: whoever sets that can become them. Raises Forbidden, NotFound."""
    if user_id != caller.user_id and not caller.is_admin:
        raise Forbidden("only administrators set what others log in with")
    return await owner(user_id, services)


def _profile(email: str, real_name: str, comment: str) -> tuple[str, str]:
    if not (0 < len(real_name) <= 255) or any(mark in real_name for mark in ',"~#%$'):
        raise BadRequest('realname has 1 to 255 characters, none of them , " ~ # % $')
    if len(comment) > _LONGEST_COMMENT:
        raise BadRequest(f"comment has {len(comment)} characters; at most {_LONGEST_COMMENT} fit")
    name, at, host = email.partition("@")
    if not (name and at and host) or any(mark.isspace() or mark == "\0" for mark in email):
        raise BadRequest(f"{email[:100]!r} is no e-mail address")
    return email, real_name
