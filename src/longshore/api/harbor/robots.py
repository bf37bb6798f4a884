"""Robots: logins of programs.

Beside Harbor's fields: ``allowed_networks``, when one was used last, and ``overlap`` at a new secret.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Final, Literal

import anyio.to_thread
from fastapi import Response
from pydantic import Field

from longshore.access import refusals
from longshore.api.caller import Caller, Calling, lacking, somebody
from longshore.api.errors import BadRequest, Forbidden, NotFound
from longshore.api.query import Paged
from longshore.api.services import Services, Serving
from longshore.api.wire import LARGEST_ID, Empty, Id, Moment, Router, Shape, moment
from longshore.db.listing import Exactly, Listing
from longshore.identity import credentials, robots, store
from longshore.identity.model import ROBOT
from longshore.identity.permissions import Permission, Permissions
from longshore.identity.robots import Given, Robot
from longshore.oci.errors import Denied
from longshore.telemetry import clock

router = Router(tags=["robot"])

_DAY: Final = 86400.0
_FOREVER: Final = -1
_MOST_DAYS: Final = 36500
#: Of what robots may be given, what no role has: whoever administers a project gives it nevertheless.
_HARBORS_GAP: Final = Permission("metadata", "list")
_WHOLE: Final = Permission("metadata", "create")
_Word = Annotated[str, Field(max_length=100)]
_Networks = Annotated[list[Annotated[str, Field(max_length=60)]], Field(max_length=50)]


class Access(Shape):
    """An action on a resource, allowed or denied."""

    resource: _Word = ""
    action: _Word = ""
    effect: Literal["", "allow", "deny"] = ""


class RobotPermission(Shape):
    """Rights in a project (kind project, its name; * in all) or beside projects (kind system, /)."""

    kind: _Word = ""
    namespace: Annotated[str, Field(max_length=255)] = ""
    access: Annotated[list[Access], Field(max_length=500)] = Field(default_factory=list)

    def read(self) -> Given:
        """The same as it is kept."""
        (given,) = robots.from_document([self.model_dump()])
        return given


_Permissions = Annotated[list[RobotPermission], Field(max_length=500)]


class RobotCreate(Shape):
    """A new robot. ``duration`` is in days, -1 for ever; without it, what administrators configured."""

    name: Annotated[str, Field(max_length=255)] = ""
    description: Annotated[str, Field(max_length=1024)] = ""
    level: str = ""
    disable: bool = False
    duration: int | None = None
    permissions: _Permissions = Field(default_factory=list)
    allowed_networks: _Networks = Field(default_factory=list)


class RobotCreated(Shape):
    """The secret is shown this once. ``expires_at`` in POSIX seconds, -1 for never."""

    id: int
    name: str
    secret: str
    creation_time: Moment
    expires_at: int


class RobotUpdate(Shape):
    """A robot as it is to be; what is not given stays, but ``permissions`` have to be."""

    name: str = ""
    description: Annotated[str, Field(max_length=1024)] = ""
    level: str = ""
    disable: bool = False
    duration: int | None = None
    permissions: _Permissions = Field(default_factory=list)
    allowed_networks: _Networks | None = None


class RobotSecReq(Shape):
    """A secret: chosen, or empty for one that is made and shown once. The one until now counts for
    ``overlap`` seconds more."""

    secret: str = Field(default="", max_length=1024, json_schema_extra={"writeOnly": True})
    overlap: Annotated[int, Field(ge=0, le=int(credentials.LONGEST_OVERLAP))] = 0


class RobotSec(Shape):
    """A secret that was made, shown this once."""

    secret: str = ""


class RobotResp(Shape):
    """A robot. ``expires_at`` in POSIX seconds, -1 for never."""

    id: int = 0
    name: str = ""
    description: str = ""
    level: str = ""
    duration: int = 0
    editable: bool
    disable: bool
    expires_at: int = 0
    permissions: list[RobotPermission] = Field(default_factory=list)
    allowed_networks: list[str] = Field(default_factory=list)
    creator_type: str = ""
    creator_ref: int = 0
    creation_time: Moment
    update_time: Moment
    last_used_time: Moment = ""
    last_used_from: str = ""

    @classmethod
    def of(cls, robot: Robot, prefix: str) -> "RobotResp":
        return cls(
            id=robot.id,
            name=prefix + robot.name,
            description=robot.description,
            level=_level(robot),
            duration=robot.duration,
            editable=True,
            disable=robot.disabled,
            expires_at=_ends(robot.expires_at),
            permissions=[
                RobotPermission.model_validate(one) for one in robots.to_document(robot.given)
            ],
            allowed_networks=list(robot.networks),
            creator_type=robot.creator_kind,
            creator_ref=robot.creator_id,
            creation_time=moment(robot.created_at),
            update_time=moment(robot.updated_at),
            last_used_time=moment(robot.last_used_at) if robot.last_used_at else "",
            last_used_from=robot.last_used_from,
        )


@router.get("/robots", dependencies=[somebody()])
async def list_robot(page: Paged, caller: Calling, services: Serving) -> list[RobotResp]:
    """List the robots of the registry or, with q=Level=project,ProjectID=N, of a project."""
    listing, project = _asked(page.listing)
    name = await _project_name(project, services) if project is not None else None
    await _needs("list", name, caller, project)
    work = partial(store.page_of_robots, listing=listing, project_id=project)
    found, total = await services.database.read(work)
    page.counted(total)
    prefix = await services.system.robot_name_prefix()
    return [RobotResp.of(robot, prefix) for robot in found]


@router.post("/robots", status_code=201, dependencies=[somebody()])
async def create_robot(
    body: RobotCreate, caller: Calling, services: Serving, response: Response
) -> RobotCreated:
    """Make a robot. It may be given no more than who makes it has."""
    _lasts(caller)
    given = [one.read() for one in body.permissions]
    project = _project_of(body.level, given)
    project_id = None
    if project is not None:
        place = await services.database.read(partial(store.find_project, name=project))
        project_id = place.id if place is not None else None
    await _needs("create", project if project_id is not None else None, caller, project)
    robots.checked(given, project)
    await _within(given, caller, services)
    days = body.duration
    if days is None:
        days = await services.system.robot_token_duration()
    name = robots.name_of(body.name, project)
    secret, hashed = credentials.make(credentials.ROBOT_PREFIX)
    now = clock.timestamp()
    expires_at = _expiry(days, now)
    creator_kind, creator_id = await _creator(caller, services)
    id = await services.changes.make(
        partial(
            store.add_robot,
            name=name,
            secret_hash=hashed,
            given=given,
            now=now,
            project_id=project_id,
            description=body.description,
            duration=days,
            expires_at=expires_at,
            disabled=body.disable,
            networks=credentials.networks(body.allowed_networks),
            creator_kind=creator_kind,
            creator_id=creator_id,
        ),
        "create",
        "robot",
        ROBOT + name,
        project=project or "",
        origin=caller.origin,
    )
    response.headers["Location"] = f"/api/v2.0/robots/{id}"
    return RobotCreated(
        id=id,
        name=await services.system.robot_name_prefix() + name,
        secret=secret,
        creation_time=moment(now),
        expires_at=_ends(expires_at),
    )


@router.get("/robots/{robot_id}", dependencies=[somebody()])
async def get_robot_by_id(robot_id: Id, caller: Calling, services: Serving) -> RobotResp:
    """Get a robot."""
    robot = await _robot(robot_id, "read", caller, services)
    return RobotResp.of(robot, await services.system.robot_name_prefix())


@router.put("/robots/{robot_id}", response_class=Empty, dependencies=[somebody()])
async def update_robot(
    robot_id: Id, body: RobotUpdate, caller: Calling, services: Serving
) -> Empty:
    """Change a robot: what it may do, for how long, where from, and whether at all."""
    robot = await _robot(robot_id, "update", caller, services)
    _lasts(caller)
    prefix = await services.system.robot_name_prefix()
    if robots.spelled(body.name, prefix) != robot.name or body.level != _level(robot):
        raise BadRequest(
            f"cannot update the level or name of robot: they are {_level(robot)!r} and "
            f"{prefix + robot.name!r}"
        )
    given = [one.read() for one in body.permissions]
    robots.checked(given, robot.project)
    await _within(given, caller, services, robot.given)
    days = robot.duration if body.duration is None else body.duration
    values: dict[str, Any] = {
        "given": given,
        "description": body.description,
        "disabled": body.disable,
        "duration": days,
        "expires_at": robot.expires_at
        if days == robot.duration
        else _expiry(days, robot.created_at),
    }
    if body.allowed_networks is not None:
        values["networks"] = credentials.networks(body.allowed_networks)
    work = partial(store.update_robot, id=robot.id, now=clock.timestamp(), **values)
    await _change(work, "update", robot, caller, services)
    return Empty()


@router.patch("/robots/{robot_id}", dependencies=[somebody()])
async def refresh_sec(
    robot_id: Id, body: RobotSecReq, caller: Calling, services: Serving
) -> RobotSec:
    """Give a robot a new secret."""
    robot = await _robot(robot_id, "update", caller, services)
    _lasts(caller)
    # Whoever has the secret has the rights: no more than who asks for it may give.
    await _within(robot.given, caller, services)
    secret = ""
    if body.secret:
        hashed = await anyio.to_thread.run_sync(credentials.hash_chosen, body.secret)
    else:
        secret, hashed = credentials.make(credentials.ROBOT_PREFIX)
    now = clock.timestamp()
    until = credentials.former_until(robot, body.overlap, now)
    work = partial(store.rotate_robot, id=robot.id, secret_hash=hashed, now=now, former_until=until)
    await _change(work, "update", robot, caller, services, "a new secret")
    return RobotSec(secret=secret)


@router.delete("/robots/{robot_id}", response_class=Empty, dependencies=[somebody()])
async def delete_robot(robot_id: Id, caller: Calling, services: Serving) -> Empty:
    """Remove a robot."""
    robot = await _robot(robot_id, "delete", caller, services)
    work = partial(store.remove_robot, id=robot.id)
    await _change(work, "delete", robot, caller, services)
    return Empty()


async def _change(
    work: Any,
    operation: str,
    robot: Robot,
    caller: Caller,
    services: Services,
    description: str = "",
) -> None:
    await services.changes.make(
        work,
        operation,
        "robot",
        robot.login,
        project=robot.project or "",
        description=description,
        origin=caller.origin,
    )


async def _robot(id: int, action: str, caller: Caller, services: Services) -> Robot:
    """Raises NotFound to administrators, to others Forbidden."""
    found = await services.database.read(partial(store.find_robot, id=id))
    if found is None:
        caller.logged_in()
        if not caller.is_admin:
            raise Forbidden(f"there is no robot {id}, or you may not {action} it")
        raise NotFound(f"there is no robot with the id {id}")
    if not await _may(action, found.project, caller):
        raise Forbidden(f"there is no robot {id}, or you may not {action} it")
    return found


async def _may(action: str, project: str | None, caller: Caller) -> bool:
    needed = Permission("robot", action)
    if project is None:
        return needed in caller.permissions
    return needed in (await caller.before(project)).permissions


async def _needs(action: str, project: str | None, caller: Caller, asked: object) -> None:
    """Raises Forbidden; the same whether there is the project that was ``asked`` for or not."""
    if project is None and asked is not None:
        if caller.is_admin:
            raise NotFound(f"there is no project {str(asked)[:255]!r}")
    elif await _may(action, project, caller):
        return
    raise lacking(caller, Permission("robot", action))


def _lasts(caller: Caller) -> None:
    """Raises Forbidden for who has less than their user, or is let in from some networks only: what they made would
    know nothing of that, and go on when they have ended."""
    standing = caller.standing
    if standing.limited or standing.networks:
        raise Forbidden(
            f"{refusals.shown(caller.name)} is limited to some scopes, projects or networks, and a robot would "
            "outlast it: log in in person to make, change or renew one"
        )


async def _within(
    given: Sequence[Given], caller: Caller, services: Services, known: Sequence[Given] = ()
) -> None:
    """Raises Denied for rights that the caller may not give: nobody gives what they have not, anywhere. What a robot
    has already (``known``) it may keep. Raises NotFound for rights in a project that does not exist."""
    if not caller.is_admin:
        beside = robots.system_rights(given) - robots.system_rights(known) - caller.permissions
        _refuse(beside, "beside projects", caller)
        robot = await _asking_robot(caller, services)
        own = robot.given if robot is not None else ()
        # What holds everywhere holds also where only the caller, or the robot until now, knows of an exception.
        mentioned = robots.namespaces([*given, *known, *own])
        for name in sorted(mentioned | {robots.EVERYWHERE}):
            more = robots.rights(given, name) - robots.rights(known, name)
            if more:
                where = "everywhere" if name == robots.EVERYWHERE else f"in {name!r}"
                _refuse(more - await _givable(name, own, caller), where, caller)
    new = robots.namespaces(given) - robots.namespaces(known) - {robots.EVERYWHERE}
    found = await services.database.read(partial(store.projects_named, names=new))
    for name in sorted(new - found.keys()):
        raise NotFound(f"permissions: there is no project {name[:255]!r}")


def _refuse(lacking: Permissions, where: str, caller: Caller) -> None:
    for permission in sorted(lacking):
        raise Denied(
            f"{refusals.shown(caller.name)} may not give the right to {permission} {where}, having it not"
        )


async def _givable(name: str, own: Sequence[Given], caller: Caller) -> Permissions:
    """What the caller, a robot with the rights ``own`` or a user without, may give in a project or EVERYWHERE."""
    has = robots.rights(own, name)
    if name != robots.EVERYWHERE:
        has |= (await caller.before(name)).grantable
    return has | {_HARBORS_GAP} if _WHOLE in has else has


async def _asking_robot(caller: Caller, services: Services) -> Robot | None:
    name = robots.spelled(caller.name)
    if name is None:
        return None
    return await services.database.read(partial(store.find_robot, name=name))


async def _creator(caller: Caller, services: Services) -> tuple[str, int]:
    robot = await _asking_robot(caller, services)
    return ("local", caller.standing.user_id) if robot is None else ("robot", robot.id)


def _asked(listing: Listing) -> tuple[Listing, int | None]:
    """What is listed, and the id of the project whose robots are; None: those of the registry."""
    conditions = dict(listing.conditions)
    level, project = conditions.pop("level", None), conditions.pop("project_id", None)
    if level in (None, Exactly(robots.SYSTEM)) and project is None:
        return replace(listing, conditions=conditions), None
    number = project.value if isinstance(project, Exactly) else ""
    if level != Exactly(robots.PROJECT) or not (number.isascii() and number.isdigit()):
        raise BadRequest("q: robots of a project are asked for with Level=project,ProjectID=NUMBER")
    return replace(listing, conditions=conditions), min(int(number[:19]), LARGEST_ID)


async def _project_name(id: int, services: Services) -> str | None:
    found = await services.database.read(partial(store.find_project, id=id))
    return found.name if found is not None else None


def _project_of(level: str, given: list[Given]) -> str | None:
    """The project that a new robot is of; None: the registry."""
    if level == robots.SYSTEM:
        return None
    if level != robots.PROJECT:
        raise BadRequest(f"level is {level[:40]!r}; it should be project or system")
    if len(given) != 1 or given[0].kind != robots.PROJECT:
        raise BadRequest("permissions: a robot of level project has one entry, of kind project")
    return given[0].namespace


def _level(robot: Robot) -> str:
    return robots.SYSTEM if robot.project is None else robots.PROJECT


def _expiry(days: int, since: float) -> float | None:
    if days == _FOREVER:
        return None
    if not 0 < days <= _MOST_DAYS:
        raise BadRequest(
            f"duration is {days}; it should be -1 (for ever) or 1 to {_MOST_DAYS} days"
        )
    return since + days * _DAY


def _ends(expires_at: float | None) -> int:
    return _FOREVER if expires_at is None else int(expires_at)
