"""Teams: groups whose members are named here, not by a directory or a provider. To projects they are groups
like any other (``/api/v2.0/usergroups``, Harbor's group type 2).

Administrators make, rename and remove them; a team's maintainers say who is in it; its members see it, and
may leave.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from pydantic import Field

from longshore.access import refusals
from longshore.api.caller import Caller, Calling, in_system, somebody
from longshore.api.errors import BadRequest, Conflict, Forbidden, NotFound
from longshore.api.query import Paged
from longshore.api.services import Services, Serving
from longshore.api.wire import LARGEST_ID, Empty, Id, Moment, Router, Shape, created, moment
from longshore.db.database import Connection
from longshore.identity import store, validation
from longshore.identity.changes import ManagementChange
from longshore.identity.model import Group, GroupKind, TeamMember, User
from longshore.identity.permissions import Permission
from longshore.telemetry import clock

router = Router(tags=["teams"])

_LONGEST = 255


class Team(Shape):
    """A team. ``maintainer``: who asks may say who is in it."""

    id: int
    name: str
    creation_time: Moment
    maintainer: bool

    @classmethod
    def of(cls, team: Group, *, maintainer: bool) -> "Team":
        return cls(
            id=team.id,
            name=team.name,
            creation_time=moment(team.created_at),
            maintainer=maintainer,
        )


class TeamReq(Shape):
    """A team to be made or renamed."""

    name: Annotated[str, Field(max_length=_LONGEST)]


class TeamMemberResp(Shape):
    """Somebody in a team."""

    user_id: int
    username: str
    maintainer: bool

    @classmethod
    def of(cls, member: TeamMember) -> "TeamMemberResp":
        return cls(user_id=member.user_id, username=member.user, maintainer=member.maintainer)


class TeamMemberReq(Shape):
    """Who is to be in a team: a user by id or by name."""

    user_id: Annotated[int, Field(ge=0, le=LARGEST_ID)] = 0
    username: Annotated[str, Field(max_length=_LONGEST)] = ""
    maintainer: bool = False


class MaintainerReq(Shape):
    """Whether a member may say who else is in the team."""

    maintainer: bool = False


@router.get("/teams", dependencies=[somebody()])
async def list_teams(page: Paged, caller: Calling, services: Serving, name: str = "") -> list[Team]:
    """List teams: administrators all, others those that they are in."""
    listing = page.where(group_name=name and f"~{name}")
    everything = Permission("user-group", "list") in caller.permissions
    of = None if everything else caller.user_id or 0

    def read(connection: Connection) -> tuple[list[Team], int]:
        found, total = store.page_of_groups(connection, listing, kind=GroupKind.TEAM, of=of)
        return [
            Team.of(team, maintainer=_manages(connection, team, caller)) for team in found
        ], total

    found, total = await services.database.read(read)
    page.counted(total)
    return found


@router.post(
    "/teams",
    status_code=201,
    response_class=Empty,
    dependencies=[in_system("user-group", "create")],
)
async def create_team(body: TeamReq, caller: Calling, services: Serving) -> Empty:
    """Make a team, of nobody yet."""
    name = validation.team_name(body.name)
    team = await services.changes.make(
        partial(store.add_group, kind=GroupKind.TEAM, name=name, now=clock.timestamp()),
        "create",
        "group",
        name,
        origin=caller.origin,
    )
    return created(f"/api/longshore/v1/teams/{team}")


@router.get("/teams/{team_id}", dependencies=[somebody()])
async def get_team(team_id: Id, caller: Calling, services: Serving) -> Team:
    """Get a team that one is in; administrators any."""

    def read(connection: Connection) -> Team:
        team = _seen(connection, team_id, caller)
        return Team.of(team, maintainer=_manages(connection, team, caller))

    return await services.database.read(read)


@router.put(
    "/teams/{team_id}", response_class=Empty, dependencies=[in_system("user-group", "update")]
)
async def update_team(team_id: Id, body: TeamReq, caller: Calling, services: Serving) -> Empty:
    """Give a team another name; its members and their roles stay."""
    name = validation.team_name(body.name)
    found = await _team(team_id, services)
    await services.changes.make(
        partial(store.rename_group, id=team_id, name=name),
        "update",
        "group",
        found.name,
        description=f"is called {name!r} from now on",
        origin=caller.origin,
    )
    return Empty()


@router.delete(
    "/teams/{team_id}", response_class=Empty, dependencies=[in_system("user-group", "delete")]
)
async def delete_team(team_id: Id, caller: Calling, services: Serving) -> Empty:
    """Remove a team with its roles in projects; its users stay."""
    found = await _team(team_id, services)
    await services.changes.make(
        partial(store.remove_group, id=team_id),
        "delete",
        "group",
        found.name,
        origin=caller.origin,
    )
    return Empty()


@router.get("/teams/{team_id}/members", dependencies=[somebody()])
async def list_team_members(
    team_id: Id, page: Paged, caller: Calling, services: Serving, username: str = ""
) -> list[TeamMemberResp]:
    """List who is in a team that one is in oneself; administrators of any."""
    listing = page.where(username=username and f"~{username}")

    def read(connection: Connection) -> tuple[list[TeamMember], int]:
        team = _seen(connection, team_id, caller)
        return store.page_of_team(connection, team.id, listing)

    found, total = await services.database.read(read)
    page.counted(total)
    return [TeamMemberResp.of(member) for member in found]


@router.post(
    "/teams/{team_id}/members", status_code=201, response_class=Empty, dependencies=[somebody()]
)
async def add_team_member(
    team_id: Id, body: TeamMemberReq, caller: Calling, services: Serving
) -> Empty:
    """Put a user into a team; for its maintainers."""

    def add(connection: Connection) -> _Change:
        team = _managed(connection, team_id, caller)
        user = _user(connection, body)
        if not store.add_to_group(connection, team.id, user.id, maintainer=body.maintainer):
            raise Conflict(f"user {user.name!r} is in team {team.name!r} already")
        role = "a maintainer of it" if body.maintainer else "in it"
        return _Change(team, user.id, f"user {user.name!r} is {role} from now on")

    user = await _change(add, caller, services)
    return created(f"/api/longshore/v1/teams/{team_id}/members/{user}")


@router.get("/teams/{team_id}/members/{user_id}", dependencies=[somebody()])
async def get_team_member(
    team_id: Id, user_id: Id, caller: Calling, services: Serving
) -> TeamMemberResp:
    """Get somebody in a team that one is in oneself."""

    def read(connection: Connection) -> TeamMember:
        return _member(connection, _seen(connection, team_id, caller), user_id)

    return TeamMemberResp.of(await services.database.read(read))


@router.put("/teams/{team_id}/members/{user_id}", response_class=Empty, dependencies=[somebody()])
async def update_team_member(
    team_id: Id, user_id: Id, body: MaintainerReq, caller: Calling, services: Serving
) -> Empty:
    """Say whether a member is a maintainer; for its maintainers."""

    def change(connection: Connection) -> _Change:
        team = _managed(connection, team_id, caller)
        member = _member(connection, team, user_id)
        store.set_maintainer(connection, team.id, member.user_id, maintainer=body.maintainer)
        now_is = "is" if body.maintainer else "is no longer"
        return _Change(team, user_id, f"user {member.user!r} {now_is} a maintainer of it")

    await _change(change, caller, services)
    return Empty()


@router.delete(
    "/teams/{team_id}/members/{user_id}", response_class=Empty, dependencies=[somebody()]
)
async def remove_team_member(team_id: Id, user_id: Id, caller: Calling, services: Serving) -> Empty:
    """Take a user out of a team; for its maintainers, and for oneself."""

    def remove(connection: Connection) -> _Change:
        reached = _seen if user_id == caller.user_id else _managed
        team = reached(connection, team_id, caller)
        member = _member(connection, team, user_id)
        store.remove_from_group(connection, team.id, member.user_id)
        return _Change(team, user_id, f"user {member.user!r} is in it no more")

    await _change(remove, caller, services)
    return Empty()


@dataclass(frozen=True, slots=True)
class _Change:
    """What became of a user in a team."""

    team: Group
    user_id: int
    description: str


async def _change(work: Callable[[Connection], _Change], caller: Caller, services: Services) -> int:
    """Make it, and tell of it; the user's id."""
    done = await services.changes.telling(
        work,
        lambda change: [
            ManagementChange(
                at=clock.timestamp(),
                origin=caller.origin,
                operation="update",
                resource_type="group",
                resource=change.team.name,
                description=change.description,
            )
        ],
    )
    return done.user_id


# Who may what is looked at in the transaction that does it.


def _manages(connection: Connection, team: Group, caller: Caller) -> bool:
    if Permission("user-group", "update") in caller.permissions:
        return True
    mine = store.find_team_member(connection, team.id, caller.user_id or 0)
    return mine is not None and mine.maintainer


def _seen(connection: Connection, id: int, caller: Caller) -> Group:
    """The team, if the caller may know of it. Raises Forbidden, NotFound."""
    found = store.find_group(connection, id=id)
    is_team = found is not None and found.kind is GroupKind.TEAM
    if Permission("user-group", "read") in caller.permissions:
        if found is None or not is_team:
            raise _unknown(id)
        return found
    mine = store.find_team_member(connection, id, caller.user_id or 0)
    if found is None or not is_team or mine is None:
        # The same whether there is such a team or not.
        raise Forbidden(
            f"user {refusals.shown(caller.name)} is not in team {id}, or there is no such team"
        )
    return found


def _managed(connection: Connection, id: int, caller: Caller) -> Group:
    """The team, if the caller may say who is in it. Raises Forbidden, NotFound."""
    team = _seen(connection, id, caller)
    if not _manages(connection, team, caller):
        raise Forbidden(
            f"user {refusals.shown(caller.name)} is no maintainer of team {team.name!r}: its maintainers "
            "and administrators say who is in it"
        )
    return team


def _member(connection: Connection, team: Group, user_id: int) -> TeamMember:
    found = store.find_team_member(connection, team.id, user_id)
    if found is None:
        raise NotFound(f"nobody with the id {user_id} is in team {team.name!r}")
    return found


def _user(connection: Connection, given: TeamMemberReq) -> User:
    if bool(given.user_id) == bool(given.username):
        raise BadRequest("one of user_id and username has to be given")
    found = (
        store.find_user(connection, id=given.user_id)
        if given.user_id
        else store.find_user(connection, name=given.username)
    )
    if found is None:
        raise NotFound(f"there is no user {given.username or given.user_id!r}")
    return found


async def _team(id: int, services: Services) -> Group:
    found = await services.database.read(partial(store.find_group, id=id))
    if found is None or found.kind is not GroupKind.TEAM:
        raise _unknown(id)
    return found


def _unknown(id: int) -> NotFound:
    return NotFound(f"there is no team with the id {id}")
