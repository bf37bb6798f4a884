"""Members of projects: users and groups."""

from functools import partial
from typing import Annotated, Any, Final

from fastapi import Query
from pydantic import Field

from longshore.access import refusals
from longshore.api import directories
from longshore.api.caller import InProject, in_project
from longshore.api.errors import BadRequest, Forbidden, NotFound
from longshore.api.query import Paged
from longshore.api.services import Services, Serving
from longshore.api.wire import LARGEST_ID, Empty, Id, Router, Shape, created
from longshore.identity import store
from longshore.identity.changes import ManagementChange
from longshore.identity.errors import Missing
from longshore.identity.model import AnyRole, CustomRole, GroupKind, Member, Role
from longshore.identity.permissions import IN_REPOSITORY
from longshore.identity.rules import SubjectKind
from longshore.ldap.model import Group as DirectoryGroup
from longshore.telemetry import clock

router = Router(tags=["member"])

#: As Harbor calls them.
_NAMES: Final = {
    Role.PROJECT_ADMIN: "projectAdmin",
    Role.MAINTAINER: "maintainer",
    Role.DEVELOPER: "developer",
    Role.GUEST: "guest",
    Role.LIMITED_GUEST: "limitedGuest",
}
_Number = Annotated[int, Field(ge=0, le=LARGEST_ID)]


class UserEntity(Shape):
    """A user, by id or by name."""

    user_id: _Number = 0
    username: str = ""


class UserGroupEntity(Shape):
    """A group, by id, by distinguished name, or by name and kind."""

    id: _Number = 0
    group_name: str = ""
    group_type: int = 0
    ldap_group_dn: str = ""


class ProjectMember(Shape):
    """Somebody who is to be a member."""

    role_id: int = 0
    member_user: UserEntity | None = None
    member_group: UserGroupEntity | None = None


class RoleRequest(Shape):
    """What a member is to be."""

    role_id: int = 0


class ProjectMemberEntity(Shape):
    """A member."""

    id: int = 0
    project_id: int = 0
    entity_name: str = ""
    role_name: str = ""
    role_id: int = 0
    entity_id: int = 0
    entity_type: str = ""

    @classmethod
    def of(cls, member: Member, project: int) -> "ProjectMemberEntity":
        return cls(
            id=member.id,
            project_id=project,
            entity_name=member.user or member.group,
            role_name=_name(member.role),
            role_id=member.role.value,
            entity_id=member.entity_id,
            entity_type="u" if member.user else "g",
        )


@router.get("/projects/{project}/members")
async def list_project_members(
    page: Paged,
    place: Annotated[InProject, in_project("member", "list")],
    services: Serving,
    entityname: Annotated[str, Query(max_length=255, description="A part of the name.")] = "",
) -> list[ProjectMemberEntity]:
    """List who is what in the project."""
    listing = page.where(entity_name=entityname and f"~{entityname}")
    work = partial(store.page_of_members, project=place.project.id, listing=listing)
    found, total = await services.database.read(work)
    page.counted(total)
    return [ProjectMemberEntity.of(member, place.project.id) for member in found]


@router.post("/projects/{project}/members", status_code=201, response_class=Empty)
async def create_project_member(
    body: ProjectMember,
    place: Annotated[InProject, in_project("member", "create")],
    services: Serving,
) -> Empty:
    """Make a user or a group a member."""
    role = await _role(body.role_id, services)
    await _may_give(role, place, services)
    if (body.member_user is None) == (body.member_group is None):
        raise BadRequest("one of member_user and member_group has to be given")
    now = clock.timestamp()
    directory = await _of_directories(body, place, services)

    def work(connection: Any) -> tuple[int, str]:
        if body.member_user is not None:
            user, name = _user(connection, body.member_user)
            return store.add_member(connection, place.project.id, role, user=user), name
        assert body.member_group is not None  # noqa: S101 - one of the two, see above
        if directory is not None:
            store.ensure_group(connection, GroupKind.LDAP, directory.dn, directory.name, now)
        group, name = _group(connection, body.member_group, directory)
        return store.add_member(connection, place.project.id, role, group=group), name

    member, _ = await services.changes.telling(
        work,
        lambda outcome: [
            ManagementChange(
                at=now,
                origin=place.caller.origin,
                operation="create",
                resource_type="member",
                resource=outcome[1],
                project=place.project.name,
                description=f"is to be {_name(role)}",
            )
        ],
    )
    return created(f"/api/v2.0/projects/{place.project.id}/members/{member}")


@router.get("/projects/{project}/members/{mid}")
async def get_project_member(
    mid: Id, place: Annotated[InProject, in_project("member", "read")], services: Serving
) -> ProjectMemberEntity:
    """Get a member."""
    return ProjectMemberEntity.of(await _member(mid, place, services), place.project.id)


@router.put("/projects/{project}/members/{mid}", response_class=Empty)
async def update_project_member(
    mid: Id,
    body: RoleRequest,
    place: Annotated[InProject, in_project("member", "update")],
    services: Serving,
) -> Empty:
    """Give a member another role."""
    role = await _role(body.role_id, services)
    await _may_give(role, place, services)
    await _change(mid, role, place, services)
    return Empty()


@router.delete("/projects/{project}/members/{mid}", response_class=Empty)
async def delete_project_member(
    mid: Id, place: Annotated[InProject, in_project("member", "delete")], services: Serving
) -> Empty:
    """Take a member's role."""
    await _change(mid, None, place, services)
    return Empty()


async def _member(id: int, place: InProject, services: Services) -> Member:
    work = partial(store.find_member, project=place.project.id, id=id)
    found = await services.database.read(work)
    if found is None:
        raise NotFound(f"there is no member with the id {id} in project {place.project.name!r}")
    return found


async def _change(id: int, role: AnyRole | None, place: InProject, services: Services) -> None:
    found = await _member(id, place, services)
    await _may_give(found.role, place, services)
    await services.changes.make(
        partial(store.change_member, project=place.project.id, id=id, role=role),
        "delete" if role is None else "update",
        "member",
        found.user or found.group,
        project=place.project.name,
        description="is a member no more" if role is None else f"is to be {_name(role)}",
        origin=place.caller.origin,
    )


async def _role(id: int, services: Services) -> AnyRole:
    try:
        return await services.database.read(partial(store.any_role, id=id))
    except Missing as error:
        known = ", ".join(f"{role.value} {name}" for role, name in _NAMES.items())
        raise BadRequest(
            f"role_id {id} is no role; there are {known}, and those of GET /api/longshore/v1/roles"
        ) from error


def _name(role: AnyRole) -> str:
    return role.name if isinstance(role, CustomRole) else _NAMES[role]


async def _may_give(role: AnyRole, place: InProject, services: Services) -> None:
    """Nobody gives more than they have, nor takes it from others; with a role goes what rules of the project give
    to it. Raises Forbidden."""
    rules = await services.database.read(partial(store.list_rules, project=place.project.id))
    ruled = (
        IN_REPOSITORY[action]
        for rule in rules
        if rule.allows and (rule.subject.kind, rule.subject.id) == (SubjectKind.ROLE, role.value)
        for action in rule.effective
    )
    lacking = sorted(role.permissions.union(*ruled) - place.standing.grantable)
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise Forbidden(
            f"the role {_name(role)} has the permission {lacking[0]}{more}, which user "
            f"{refusals.shown(place.caller.name)} lacks: nobody gives or takes a role that may do more than "
            "they may themselves"
        )


def _user(connection: Any, given: UserEntity) -> tuple[int, str]:
    found = (
        store.find_user(connection, id=given.user_id)
        if given.user_id
        else store.find_user(connection, name=given.username)
    )
    if found is None:
        raise NotFound(f"there is no user {given.username or given.user_id!r}")
    return found.id, found.name


async def _of_directories(
    body: ProjectMember, place: InProject, services: Services
) -> DirectoryGroup | None:
    """Make the user whom only a directory knows; the group of a directory that is meant."""
    user, group = body.member_user, body.member_group
    if user is not None and user.username and not user.user_id:
        await directories.onboarded(services, user.username, place.caller)
    if group is None or group.id or not await directories.servers(services):
        return None
    if group.ldap_group_dn:
        return await directories.resolved(services, group.ldap_group_dn, place.caller)
    return None


def _group(
    connection: Any, given: UserGroupEntity, directory: DirectoryGroup | None
) -> tuple[int, str]:
    if given.id:
        found = store.find_group(connection, id=given.id)
    elif given.ldap_group_dn:
        dn = given.ldap_group_dn if directory is None else directory.dn
        found = store.find_group(connection, kind=GroupKind.LDAP, external_id=dn)
    else:
        try:
            kind = GroupKind(given.group_type)
        except ValueError as error:
            raise BadRequest(f"group_type {given.group_type} is none") from error
        found = store.find_group(connection, kind=kind, external_id=given.group_name)
    if found is None:
        raise NotFound(
            f"there is no group {(given.ldap_group_dn or given.group_name or given.id)!r}"
        )
    return found.id, found.name
